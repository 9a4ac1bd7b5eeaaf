//! The only way out: resolves once, checks every address, connects to a checked one, and speaks TLS.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls_pki_types::CertificateDer;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Connected, Network};
use crate::clock::Clock;

/// What the operator decides about the way out.
#[derive(Clone, Debug)]
pub struct EgressSettings {
    /// Addresses that are allowed although they are not public. Plain `http` is spoken to these only.
    pub allow_private: Vec<Network>,
    /// Everything goes through it, where there is one.
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

/// A proxy that speaks CONNECT. The ambient variables (`HTTPS_PROXY` and its kin) are never read.
#[derive(Clone)]
pub struct Proxy {
    /// `http` or `https`; credentials in it are sent as Basic.
    pub url: Url,
    /// Trusted for the proxy's own certificate, beside the public roots.
    pub ca: Vec<CertificateDer<'static>>,
}

/// Who resolves names.
#[derive(Clone, Default)]
pub enum Resolver {
    /// The system.
    #[default]
    System,
    /// A function.
    Custom(Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>),
}

/// The only way out.
#[derive(Clone)]
pub struct Egress {
    settings: EgressSettings,
    tls: TlsConnector,
    proxy_tls: Option<TlsConnector>,
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
        let _ = settings;
        todo!()
    }

    /// Connects to `endpoint` and makes ready to send. Nothing secret leaves.
    pub async fn connect(&self, endpoint: &Url) -> Result<Connected, ConnectError> {
        let _ = (&self.settings, &self.tls, &self.proxy_tls, endpoint);
        todo!()
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

impl fmt::Debug for Proxy {
    /// Without the credentials in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?})", self.url.host_str())
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
