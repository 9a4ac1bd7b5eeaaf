//! The explicit way through a proxy. The ambient variables (`HTTPS_PROXY` and its kin) are never read: whoever
//! sets a variable would choose who sees the traffic.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use zeroize::Zeroizing;

use super::stream::Stream;

/// A proxy that speaks CONNECT.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// `http` or `https`, a host and a port; no credentials.
    pub url: Url,
    /// `user:password`, sent as Basic.
    pub credentials: Option<SecretString>,
    /// Trusted for the proxy's own certificate, beside the public roots.
    pub ca: Vec<CertificateDer<'static>>,
}

/// Why a proxy did not connect.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("the proxy does not speak HTTP")]
    Http(#[from] hyper::Error),
    #[error("the proxy answered {0}")]
    Answered(StatusCode),
    #[error("not something a proxy can be asked for")]
    Request(#[from] http::Error),
}

impl Proxy {
    /// Has the proxy at the other end of `stream` connect to `authority`.
    pub(super) async fn tunnel(&self, stream: Stream, authority: &str) -> Result<Stream, TunnelError> {
        let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
        let mut request = Request::connect(authority).header(header::HOST, authority);
        if let Some(credentials) = &self.credentials {
            request = request.header(header::PROXY_AUTHORIZATION, basic(credentials));
        }
        let response = sender.send_request(request.body(Empty::new())?).await?;
        if !response.status().is_success() {
            return Err(TunnelError::Answered(response.status()));
        }
        Ok(Box::new(TokioIo::new(hyper::upgrade::on(response).await?)))
    }
}

fn basic(credentials: &SecretString) -> HeaderValue {
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(credentials.expose_secret()));
    let header = Zeroizing::new(format!("Basic {}", *encoded));
    let mut header = HeaderValue::from_str(&header).expect("base64 is visible ASCII");
    header.set_sensitive(true);
    header
}
