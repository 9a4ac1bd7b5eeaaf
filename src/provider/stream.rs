//! Byte streams to somewhere: TCP to an address that was checked, and TLS.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{CertificateError, ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::Host;

use super::ConnectError;

/// What HTTP is spoken over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Some stream.
pub(super) type Stream = Box<dyn Duplex>;

/// Connects to `address` and nowhere else.
pub(super) async fn tcp(address: SocketAddr) -> Result<Stream, ConnectError> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused(error),
        io::ErrorKind::TimedOut => ConnectError::Timeout,
        _ => ConnectError::Unreachable(error),
    })?;
    // A peer that vanished is noticed well within the time that an answer is waited for.
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(15));
    let options =
        || stream.set_nodelay(true).and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&probes));
    options().map_err(ConnectError::Unreachable)?;
    Ok(Box::new(stream))
}

/// TLS with the public roots and `extra`. Nothing is resumed, so nothing can be sent early.
pub(super) fn tls_connector(extra: &[CertificateDer<'static>]) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    extra.iter().try_for_each(|root| roots.add(root.clone()))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Speaks TLS to `host` over `stream`.
pub(super) async fn tls(
    connector: &TlsConnector,
    host: &Host<&str>,
    stream: Stream,
) -> Result<Stream, ConnectError> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(|_| ConnectError::Endpoint)?,
        Host::Ipv4(address) => ServerName::IpAddress((*address).into()),
        Host::Ipv6(address) => ServerName::IpAddress((*address).into()),
    };
    let stream = connector.connect(name, stream).await.map_err(|source| {
        let name_failure = matches!(
            source.get_ref().and_then(|inner| inner.downcast_ref()),
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        );
        ConnectError::Tls { name_failure, source }
    })?;
    Ok(Box::new(stream))
}
