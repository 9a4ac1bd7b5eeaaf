//! From the settings to a connection: one server, the primary that the sentinels name, or a cluster. Files are read
//! anew every time, so that a password may change.

use std::{path::Path, sync::Arc};

use rand::seq::SliceRandom as _;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo as _, RedisResult, TlsCertificates, TlsMode, Value,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo},
    io::tcp::TcpSettings,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::away::Why;
use crate::config;

/// Retries of a cluster's client where a key has moved.
const REDIRECTS: u32 = 3;

/// A connection that many callers share.
#[derive(Clone)]
pub(super) enum Connection {
    /// To one server.
    Single(MultiplexedConnection),
    /// To each server of a cluster.
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends commands one behind the other, and waits for the answer of each: in a cluster they may go to several
    /// servers. The first error ends it.
    pub(super) async fn send_all(&mut self, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        let mut answers = Vec::with_capacity(commands.len());
        for command in commands {
            answers.push(match self {
                Self::Single(connection) => command.query_async(connection).await?,
                Self::Cluster(connection) => command.query_async(connection).await?,
            });
        }
        Ok(answers)
    }

    /// Proves that a server is alive: one that is stopped still accepts connections. Of a cluster, any.
    pub(super) async fn ping(&mut self) -> Result<Value, Why> {
        let answer = match self {
            Self::Single(connection) => redis::cmd("PING").query_async(connection).await,
            Self::Cluster(connection) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
                connection.route_command(redis::cmd("PING"), any).await
            }
        };
        answer.map_err(|error| Why::of(&error))
    }

    /// Asks every server that takes writes.
    pub(super) async fn ask_all(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.route_command(command.clone(), all).await
            }
        }
    }
}

/// Connects for commands. What takes longer than the time-out is for the caller to end.
pub(super) async fn connect(settings: &config::Redis) -> Result<Connection, Why> {
    let access = Access::read(settings).await?;
    if settings.cluster.is_empty() {
        let client = primary(settings, &access).await?;
        // The time-outs are the link's: one place, whatever the servers are.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        return connection.map(Connection::Single).map_err(|error| Why::of(&error));
    }
    let mut seeds = Vec::new();
    for url in &settings.cluster {
        seeds.push(access.server(url)?);
    }
    let mut builder = ClusterClientBuilder::new(seeds)
        .connection_timeout(settings.connect_timeout)
        .response_timeout(settings.response_timeout)
        .tcp_settings(at_once())
        .retries(REDIRECTS);
    if let Some(certificates) = access.certificates.clone().filter(|_| access.tls) {
        builder = builder.certs(certificates);
    }
    let client = builder.build().map_err(|error| Why::of(&error))?;
    client.get_async_connection().await.map(Connection::Cluster).map_err(|error| Why::of(&error))
}

/// Connects for messages. In a cluster any server will do: it hands every message to all the others.
pub(super) async fn subscribe(settings: &config::Redis, channel: &str) -> Result<PubSub, Why> {
    let access = Access::read(settings).await?;
    let client = match settings.cluster.as_slice() {
        [] => primary(settings, &access).await?,
        seeds => {
            let seed = &seeds[rand::random_range(0..seeds.len())];
            access.client(access.server(seed)?)?
        }
    };
    let mut messages = client.get_async_pubsub().await.map_err(|error| Why::of(&error))?;
    messages.subscribe(channel).await.map_err(|error| Why::of(&error))?;
    Ok(messages)
}

/// The one server that takes writes.
async fn primary(settings: &config::Redis, access: &Access) -> Result<Client, Why> {
    if let Some(sentinel) = &settings.sentinel {
        return ask_sentinels(settings, sentinel, access).await;
    }
    let server = match (&access.url, &settings.url) {
        (Some(url), _) => access.server(url.expose_secret())?,
        (None, Some(url)) => access.server(url)?,
        (None, None) => return Err(Why::Unreachable("no server is configured".into())),
    };
    access.client(server)
}

/// Asks one after the other, in an order of its own: one that swallows packets must not hide the others.
async fn ask_sentinels(
    settings: &config::Redis,
    sentinel: &config::Sentinel,
    access: &Access,
) -> Result<Client, Why> {
    let mut urls: Vec<_> = sentinel.urls.iter().collect();
    urls.shuffle(&mut rand::rng());
    let share = settings.connect_timeout / u32::try_from(urls.len()).unwrap_or(u32::MAX).max(1);
    let mut why = Why::NoPrimary;
    for url in urls {
        let asked = timeout(share, ask_sentinel(settings, sentinel, access, url)).await;
        match asked.unwrap_or(Err(Why::Slow)) {
            Ok(client) => return Ok(client),
            Err(other) => why = other,
        }
    }
    Err(why)
}

async fn ask_sentinel(
    settings: &config::Redis,
    sentinel: &config::Sentinel,
    access: &Access,
    url: &str,
) -> Result<Client, Why> {
    let address = parse(url)?.addr().clone();
    let tls = matches!(address, ConnectionAddr::TcpTls { .. });
    let name = sentinel.master.as_str();
    let build = || {
        let mut builder = SentinelClientBuilder::new([address], name, SentinelServerType::Master)?
            .set_client_to_redis_tcp_settings(at_once())
            .set_client_to_sentinel_tcp_settings(at_once());
        if let Some(user) = &settings.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &access.password {
            builder = builder.set_client_to_redis_password(password.expose_secret());
        }
        if let Some(user) = &sentinel.user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &access.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password.expose_secret());
        }
        if tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
            if let Some(certificates) = &access.certificates {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build()
    };
    let mut client = build().map_err(|error: redis::RedisError| Why::of(&error))?;
    client.async_get_client().await.map_err(|error| Why::of(&error))
}

/// What the files say.
struct Access {
    url: Option<SecretString>,
    user: Option<String>,
    password: Option<SecretString>,
    sentinel_password: Option<SecretString>,
    certificates: Option<TlsCertificates>,
    tls: bool,
}

impl Access {
    async fn read(settings: &config::Redis) -> Result<Self, Why> {
        let sentinel_password =
            settings.sentinel.as_ref().and_then(|sentinel| sentinel.password_file.as_ref());
        let client_tls = match (&settings.client_cert_file, &settings.client_key_file) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: file(cert).await?, client_key: file(key).await? })
            }
            _ => None,
        };
        let root_cert = match &settings.ca_file {
            Some(path) => Some(file(path).await?),
            None => None,
        };
        let certificates = (client_tls.is_some() || root_cert.is_some())
            .then_some(TlsCertificates { client_tls, root_cert });
        Ok(Self {
            url: secret(settings.url_file.as_deref()).await?,
            user: settings.user.clone(),
            password: secret(settings.password_file.as_deref()).await?,
            sentinel_password: secret(sentinel_password.map(AsRef::as_ref)).await?,
            certificates,
            tls: settings.cluster.iter().all(|url| url.starts_with("rediss:")),
        })
    }

    /// A server, with the credentials for it: those of its URL before the others.
    fn server(&self, url: &str) -> Result<ConnectionInfo, Why> {
        let server = parse(url)?;
        let mut login = server.redis_settings().clone();
        if let (None, Some(user)) = (login.username(), &self.user) {
            login = login.set_username(user);
        }
        if let (None, Some(password)) = (login.password(), &self.password) {
            login = login.set_password(password.expose_secret());
        }
        Ok(server.set_redis_settings(login).set_tcp_settings(at_once()))
    }

    fn client(&self, server: ConnectionInfo) -> Result<Client, Why> {
        let client = match (server.addr(), &self.certificates) {
            (ConnectionAddr::TcpTls { .. }, Some(certificates)) => {
                Client::build_with_tls(server, certificates.clone())
            }
            _ => Client::open(server),
        };
        client.map_err(|error| Why::of(&error))
    }
}

/// A command leaves at once, also where the one before it is not acknowledged yet: a peer may put that off for 40 ms.
fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// TCP and verified TLS only: a URL could ask for less (`#insecure`).
fn parse(url: &str) -> Result<ConnectionInfo, Why> {
    let unusable = || Why::Unreachable("not a server's URL".into());
    let server = url.into_connection_info().map_err(|_| unusable())?;
    match server.addr() {
        ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { insecure: false, .. } => Ok(server),
        _ => Err(unusable()),
    }
}

async fn file(path: &Path) -> Result<Vec<u8>, Why> {
    tokio::fs::read(path).await.map_err(|error| Why::file(path, &error))
}

async fn secret(path: Option<&Path>) -> Result<Option<SecretString>, Why> {
    let Some(path) = path else { return Ok(None) };
    let text = zeroize::Zeroizing::new(file(path).await?);
    let text = std::str::from_utf8(&text).map_err(|_| Why::File(Arc::from(path), "is not text"))?;
    Ok(Some(SecretString::from(text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_leave_at_once() {
        let settings = config::Redis { url: Some("redis://127.0.0.1:1".to_owned()), ..Default::default() };
        let access = Access::read(&settings).await.unwrap();
        let client = primary(&settings, &access).await.unwrap();
        assert!(client.get_connection_info().tcp_settings().nodelay());
    }
}
