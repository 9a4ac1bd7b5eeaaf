//! The only way out: resolves once, checks every address, connects to a checked one, and speaks TLS.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustls_pki_types::CertificateDer;
use tokio::{
    net::lookup_host,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    Connected, Network, Proxy, is_public,
    stream::{Stream, tcp, tls, tls_connector},
};
use crate::clock::Clock;

/// What the operator decides about the way out.
#[derive(Clone, Debug)]
pub struct EgressSettings {
    /// Addresses that are allowed although they are not public. Plain `http` is spoken to these only.
    pub allow_private: Vec<Network>,
    /// Everything goes through it, where there is one. Ambient variables are never read.
    pub proxy: Option<Proxy>,
    /// Trusted beside the public roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// For name, connection and TLS together.
    pub connect_timeout: Duration,
    /// Who resolves names.
    pub resolver: Resolver,
    /// What the deadline of a body is measured by.
    pub clock: Clock,
}

/// Who resolves names.
#[derive(Clone, Default)]
pub enum Resolver {
    /// The system.
    #[default]
    System,
    /// A function.
    Custom(Arc<Lookup>),
}

/// The addresses of a name, for a port.
pub type Lookup = dyn Fn(&str, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// The only way out.
#[derive(Clone)]
pub struct Egress {
    settings: EgressSettings,
    tls: TlsConnector,
    proxy: Option<(Proxy, Option<TlsConnector>)>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEgress {
    /// Not a certificate that can be a root.
    #[error("not a root certificate")]
    Root(#[source] rustls::Error),
    /// Neither `http` nor `https`, or no host.
    #[error("not a proxy's URL")]
    Proxy,
}

/// Why there is no connection. Nothing secret has left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not an endpoint: no host, credentials in the URL, or neither `https` nor `http`.
    #[error("not an endpoint that can be connected to")]
    Endpoint,
    /// The name does not resolve.
    #[error("the name does not resolve")]
    Dns(#[source] io::Error),
    /// The name resolves to an address that is not public, and not allowed.
    #[error("the address {0} is not public")]
    PrivateAddress(IpAddr),
    /// Plain `http` to an address that is not listed as private, or through a proxy.
    #[error("plain http is only spoken to listed private addresses")]
    Plaintext,
    /// Nobody listens.
    #[error("the connection was refused")]
    Refused(#[source] io::Error),
    /// No way there.
    #[error("the address cannot be reached")]
    Unreachable(#[source] io::Error),
    /// TLS failed.
    #[error("TLS failed")]
    Tls {
        /// The certificate is for another name: somebody else answers there.
        name_failure: bool,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Name, connection and TLS took too long together.
    #[error("the connection took too long")]
    Timeout,
    /// The proxy cannot be reached, or does not connect.
    #[error("the proxy does not connect")]
    Proxy(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Egress {
    /// Prepares the way out.
    pub fn new(settings: EgressSettings) -> Result<Self, InvalidEgress> {
        let tls = tls_connector(&settings.extra_roots).map_err(InvalidEgress::Root)?;
        let proxy = settings.proxy.as_ref().map(|proxy| {
            let target = Target::of(&proxy.url).map_err(|_| InvalidEgress::Proxy)?;
            let tls =
                target.tls.then(|| tls_connector(&proxy.ca)).transpose().map_err(InvalidEgress::Root)?;
            Ok((proxy.clone(), tls))
        });
        Ok(Self { tls, proxy: proxy.transpose()?, settings })
    }

    /// Connects to `endpoint` and makes ready to send. Nothing secret leaves.
    pub async fn connect(&self, endpoint: &Url) -> Result<Connected, ConnectError> {
        let deadline = Instant::now() + self.settings.connect_timeout;
        timeout_at(deadline, self.open(endpoint, deadline)).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn open(&self, endpoint: &Url, deadline: Instant) -> Result<Connected, ConnectError> {
        let target = Target::of(endpoint)?;
        let mut stream = match &self.proxy {
            Some((proxy, tls)) => self.through(proxy, tls.as_ref(), &target, deadline).await?,
            None => self.direct(&target, deadline).await?,
        };
        if target.tls {
            stream = tls(&self.tls, &target.host, stream).await?;
        }
        Connected::new(stream, endpoint.clone(), self.settings.clock.clone())
            .await
            .map_err(|error| ConnectError::Unreachable(io::Error::other(error)))
    }

    /// Resolves once: a second look-up could name another host than the one that was checked (DNS rebinding).
    /// One address that is not public spoils the name: public names do not have such.
    async fn direct(&self, target: &Target<'_>, deadline: Instant) -> Result<Stream, ConnectError> {
        let addresses = self.settings.resolver.resolve(target).await?;
        for address in &addresses {
            let allowed = self.allowed_private(address.ip());
            if !allowed && !is_public(address.ip()) {
                return Err(ConnectError::PrivateAddress(address.ip()));
            }
            if !allowed && !target.tls {
                return Err(ConnectError::Plaintext);
            }
        }
        first_of(&addresses, deadline).await
    }

    /// The proxy resolves names, and answers for where they lead; an address is still checked here. The
    /// proxy's own address is the operator's word.
    async fn through(
        &self,
        proxy: &Proxy,
        proxy_tls: Option<&TlsConnector>,
        target: &Target<'_>,
        deadline: Instant,
    ) -> Result<Stream, ConnectError> {
        if !target.tls {
            return Err(ConnectError::Plaintext);
        }
        if let Some(ip) = target.ip().filter(|ip| !is_public(*ip) && !self.allowed_private(*ip)) {
            return Err(ConnectError::PrivateAddress(ip));
        }
        let failed = |error: ConnectError| ConnectError::Proxy(Box::new(error));
        let hop = Target::of(&proxy.url)?;
        let addresses = self.settings.resolver.resolve(&hop).await.map_err(failed)?;
        let mut stream = first_of(&addresses, deadline).await.map_err(failed)?;
        if let Some(connector) = proxy_tls {
            stream = tls(connector, &hop.host, stream).await.map_err(failed)?;
        }
        proxy.tunnel(stream, &target.authority()).await.map_err(|error| ConnectError::Proxy(Box::new(error)))
    }

    fn allowed_private(&self, address: IpAddr) -> bool {
        self.settings.allow_private.iter().any(|network| network.contains(address))
    }
}

/// Tries each address in turn; an early one that swallows packets leaves time for the later ones.
async fn first_of(addresses: &[SocketAddr], deadline: Instant) -> Result<Stream, ConnectError> {
    let mut result = Err(ConnectError::Dns(io::ErrorKind::NotFound.into()));
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        result = timeout(share, tcp(*address)).await.unwrap_or(Err(ConnectError::Timeout));
        if result.is_ok() {
            break;
        }
    }
    result
}

/// What to connect to, of a URL.
struct Target<'a> {
    host: Host<&'a str>,
    port: u16,
    tls: bool,
}

impl<'a> Target<'a> {
    fn of(url: &'a Url) -> Result<Self, ConnectError> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(ConnectError::Endpoint),
        };
        let secret_free = url.username().is_empty() && url.password().is_none();
        match (url.host(), url.port_or_known_default()) {
            (Some(host), Some(port)) if secret_free => Ok(Self { host, port, tls }),
            _ => Err(ConnectError::Endpoint),
        }
    }

    fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Resolver {
    async fn resolve(&self, target: &Target<'_>) -> Result<Vec<SocketAddr>, ConnectError> {
        let addresses = match (&target.host, self) {
            (Host::Domain(name), Self::System) => {
                lookup_host((*name, target.port)).await.map(Iterator::collect)
            }
            (Host::Domain(name), Self::Custom(resolve)) => resolve(name, target.port).await,
            _ => Ok(target.ip().map(|ip| (ip, target.port).into()).into_iter().collect()),
        };
        // An IPv4-mapped address is connected to as what it is checked as.
        addresses
            .map(|list: Vec<SocketAddr>| {
                list.into_iter().map(|to| SocketAddr::new(to.ip().to_canonical(), to.port())).collect()
            })
            .map_err(ConnectError::Dns)
    }
}

impl Default for EgressSettings {
    /// Public addresses only, without a proxy, within ten seconds.
    fn default() -> Self {
        Self {
            allow_private: Vec::new(),
            proxy: None,
            extra_roots: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            resolver: Resolver::System,
            clock: Clock::System,
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Egress").field(&self.settings).finish()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Custom(_) => "Custom",
        })
    }
}
