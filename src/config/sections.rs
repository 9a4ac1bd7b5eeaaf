//! The settings and their defaults.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Breaker, Identity, Network, Redis, Refresh, duration};

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
