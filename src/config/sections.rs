//! The settings and their defaults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Identity, Network, duration};

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
    /// The embedded database's file.
    pub path: PathBuf,
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
    /// Refreshes in flight towards one token host: one that hangs leaves room for the others.
    pub in_flight_per_host: u32,
    /// Refreshes in flight altogether: what a crash can cost.
    pub in_flight: u32,
    /// Between two looks for lost holders and doubts to end.
    #[serde(with = "duration")]
    pub sweep_interval: Duration,
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
            keys: Keys::default(),
            refresh: Refresh::default(),
            breaker: Breaker::default(),
            egress: Egress::default(),
            identity: Identity::default(),
            log: Log::default(),
            profiles: Vec::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { grpc: (Ipv4Addr::LOCALHOST, 7171).into(), probes: (Ipv4Addr::LOCALHOST, 7172).into() }
    }
}

impl Default for Database {
    fn default() -> Self {
        Self { path: "token-broker.db".into() }
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
            in_flight_per_host: 16,
            in_flight: 32,
            sweep_interval: Duration::from_secs(5),
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
            in_flight_per_host: self.in_flight_per_host,
            in_flight: self.in_flight,
            sweep_interval: scale(self.sweep_interval),
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
