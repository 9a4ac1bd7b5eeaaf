//! The settings and their defaults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Identity, Network, Redis, duration};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which environment this is. Part of everything sealed, hence never to be changed.
    pub environment: String,
    /// This replica's name; the host's, unless it is set.
    pub replica: String,
    /// Where the broker listens.
    pub listen: Listen,
    /// Where things are kept.
    pub database: Database,
    /// The second medium of received answers.
    pub journal: Journal,
    /// How many replicas agree; absent where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// What they are encrypted with.
    pub keys: Keys,
    /// The refresh protocol.
    pub refresh: Refresh,
    /// When refreshes through an OAuth client stop.
    pub breaker: Breaker,
    /// Connections to providers.
    pub egress: Egress,
    /// Who may call.
    pub identity: Identity,
    /// How long records are kept.
    pub retention: Retention,
    /// How it ends.
    pub shutdown: Shutdown,
    /// What is logged.
    pub log: Log,
    /// Provider profiles beside the built-in ones.
    pub profiles: Vec<toml::Table>,
}

/// `[listen]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// gRPC.
    pub grpc: SocketAddr,
    /// Probes.
    pub probes: SocketAddr,
}

/// `[database]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// The embedded database's file; without meaning where there is a URL.
    pub path: PathBuf,
    /// `PostgreSQL`, without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file with the URL, password and all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Past a pooler, without a password; where absent, as `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_url: Option<String>,
    /// A file with that URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct_url_file: Option<PathBuf>,
    /// Connections at most.
    pub pool: u32,
    /// Whether statements are prepared once per connection.
    pub prepared_statements: bool,
    /// What becomes of a commit when the database's machine is lost.
    pub durability: Durability,
}

/// What the operator says of the database's replication: what a failover may forget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// There is no other machine to fail over to.
    #[default]
    Single,
    /// Commits wait for a standby: a failover forgets nothing.
    Synchronous,
    /// Commits do not wait: a failover forgets the last ones.
    Asynchronous,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// Its folder: this replica's alone.
    pub path: PathBuf,
    /// The size of one file; a record may have a quarter of it.
    pub segment_bytes: u64,
    /// Room that is kept on the disk for answers to what is spent already.
    pub reserve_bytes: u64,
    /// What the database has, too, is kept this long: it may forget.
    #[serde(with = "duration")]
    pub horizon: Duration,
}

/// `[keys]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The key-encryption keys, made by `token-broker keys generate`.
    pub file: PathBuf,
}

/// `[refresh]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refresh {
    /// A token with less life left than this is not handed out while a better one can be had.
    #[serde(with = "duration")]
    pub margin: Duration,
    /// The margin is never more than this share of a token's life.
    pub margin_share: f64,
    /// Past this share of a token's life the next caller starts a renewal behind its back.
    pub renew_after_share: f64,
    /// From the burn to the moment at which the request's body refuses to be sent.
    #[serde(with = "duration")]
    pub body_deadline: Duration,
    /// TCP and TLS to the token endpoint, before the burn.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// From the sending to the end of the answer. A slow success is a success: long on purpose.
    #[serde(with = "duration")]
    pub total_timeout: Duration,
    /// A dispatched attempt older than this has lost its holder (D).
    #[serde(with = "duration")]
    pub holder_lost_after: Duration,
    /// Doubt lasts at least this long before a person must act.
    #[serde(with = "duration")]
    pub doubt_grace: Duration,
    /// A caller without a usable token waits at most this long.
    #[serde(with = "duration")]
    pub caller_wait: Duration,
    /// Refreshes in flight through one OAuth client.
    pub in_flight_per_client: u32,
    /// Refreshes in flight through one OAuth client in all replicas together, where Redis counts them.
    pub in_flight_per_client_fleet: u32,
    /// Refreshes in flight towards one token host: one that hangs leaves room for the others.
    pub in_flight_per_host: u32,
    /// Refreshes in flight altogether: what a crash can cost.
    pub in_flight: u32,
    /// Between two looks for lost holders and doubts to end.
    #[serde(with = "duration")]
    pub sweep_interval: Duration,
    /// After a start more and more early renewals run, and all of them only after this; zero: at once.
    #[serde(with = "duration")]
    pub ramp: Duration,
    /// A replica that waits for another one looks into the database this often where nobody tells it.
    #[serde(with = "duration")]
    pub look_again: Duration,
    /// The same where Redis tells it: in case a message was lost.
    #[serde(with = "duration")]
    pub look_again_told: Duration,
    /// Between two looks into journal and escrow for answers that the database does not have.
    #[serde(with = "duration")]
    pub drain_interval: Duration,
    /// Between two answers to `rejected_generation` that ask the provider, per generation.
    #[serde(with = "duration")]
    pub recheck_interval: Duration,
    /// After a refusal that names no time of its own.
    #[serde(with = "duration")]
    pub refusal_pause: Duration,
}

/// `[breaker]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// From opening to the next trial.
    #[serde(with = "duration")]
    pub open_for: Duration,
    /// Unknown outcomes in a row that open it.
    pub unknowns: u32,
}

/// `[egress]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Private addresses that providers may have all the same. Each is logged at start.
    pub allow_private: Vec<Network>,
    /// More roots of trust for providers: PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The proxy that leads to providers. Ambient proxy variables are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
}

/// `[egress.proxy]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// Roots of trust for the proxy itself: PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is left out.
    pub level: Level,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    #[default]
    Json,
}

/// The least important lines that are still logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody must look.
    Error,
    /// Somebody should look.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            environment: "development".to_owned(),
            replica: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            listen: Listen::default(),
            database: Database::default(),
            journal: Journal::default(),
            redis: None,
            keys: Keys::default(),
            refresh: Refresh::default(),
            breaker: Breaker::default(),
            egress: Egress::default(),
            identity: Identity::default(),
            retention: Retention::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
            profiles: Vec::new(),
        }
    }
}

/// `[retention]`: of the shared database's records.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Closed attempts of earlier generations.
    #[serde(with = "duration")]
    pub attempts: Duration,
    /// Events.
    #[serde(with = "duration")]
    pub events: Duration,
    /// Audit entries.
    #[serde(with = "duration")]
    pub audit: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let quarter = Duration::from_hours(90 * 24);
        Self { attempts: quarter, events: quarter, audit: Duration::from_hours(400 * 24) }
    }
}

/// `[shutdown]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// From SIGTERM to the end at most, where other replicas go on.
    #[serde(with = "duration")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(150) }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { grpc: (Ipv4Addr::LOCALHOST, 7171).into(), probes: (Ipv4Addr::LOCALHOST, 7172).into() }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self {
            path: "token-broker.db".into(),
            url: None,
            url_file: None,
            direct_url: None,
            direct_url_file: None,
            pool: 16,
            prepared_statements: true,
            durability: Durability::default(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            path: "token-broker.journal".into(),
            segment_bytes: 16 << 20,
            reserve_bytes: 32 << 20,
            horizon: Duration::from_hours(24),
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { file: "token-broker.keys".into() }
    }
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            margin: Duration::from_mins(1),
            margin_share: 0.1,
            renew_after_share: 0.667,
            body_deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(2),
            holder_lost_after: Duration::from_mins(3),
            doubt_grace: Duration::from_mins(10),
            caller_wait: Duration::from_secs(30),
            in_flight_per_client: 4,
            in_flight_per_client_fleet: 8,
            in_flight_per_host: 16,
            in_flight: 32,
            sweep_interval: Duration::from_secs(5),
            ramp: Duration::from_secs(30),
            look_again: Duration::from_secs(1),
            look_again_told: Duration::from_secs(10),
            drain_interval: Duration::from_secs(2),
            recheck_interval: Duration::from_mins(1),
            refusal_pause: Duration::from_secs(5),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { open_for: Duration::from_secs(30), unknowns: 2 }
    }
}

impl Refresh {
    /// The same protocol in another tempo: every duration times `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let scale = |duration: Duration| duration.mul_f64(factor);
        Self {
            margin: scale(self.margin),
            margin_share: self.margin_share,
            renew_after_share: self.renew_after_share,
            body_deadline: scale(self.body_deadline),
            connect_timeout: scale(self.connect_timeout),
            total_timeout: scale(self.total_timeout),
            holder_lost_after: scale(self.holder_lost_after),
            doubt_grace: scale(self.doubt_grace),
            caller_wait: scale(self.caller_wait),
            in_flight_per_client: self.in_flight_per_client,
            in_flight_per_client_fleet: self.in_flight_per_client_fleet,
            in_flight_per_host: self.in_flight_per_host,
            in_flight: self.in_flight,
            sweep_interval: scale(self.sweep_interval),
            ramp: scale(self.ramp),
            look_again: scale(self.look_again),
            look_again_told: scale(self.look_again_told),
            drain_interval: scale(self.drain_interval),
            recheck_interval: scale(self.recheck_interval),
            refusal_pause: scale(self.refusal_pause),
        }
    }
}

impl Breaker {
    /// See [`Refresh::scaled`].
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { open_for: self.open_for.mul_f64(factor), unknowns: self.unknowns }
    }
}
