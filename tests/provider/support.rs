//! Servers that do what a test says, and a client towards them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use secrecy::SecretString;
use token_broker::{
    clock::Clock,
    model::Timestamp,
    provider::{
        Answer, Classified, ClientCredentials, ConnectError, Connected, Egress, EgressSettings, Profile,
        Resolver, Response, SendLimits, TokenRequest, classify,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

pub(crate) const REFRESH_TOKEN: &str = "canary-refresh-token";
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret";
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
/// A good answer's body.
pub(crate) const PAIR: &str = r#"{"access_token":"new-access","token_type":"bearer","expires_in":5400,"refresh_token":"new-refresh","created_at":1484786897}"#;

// === servers ===

/// A server that gives every connection to the same script, and remembers what it heard.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    record: Record,
    task: AbortHandle,
}

#[derive(Clone, Default)]
struct Record {
    connections: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// The server's end of a connection.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    record: Record,
}

impl Server {
    pub(crate) async fn new<F>(script: impl Fn(Peer) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let record = Record::default();
        let shared = record.clone();
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(Peer { stream, record: shared.clone() }));
            }
        };
        Self { address, record, task: tokio::spawn(serve).abort_handle() }
    }

    /// Reads the request and answers with `bytes`, then ends the connection.
    pub(crate) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |mut peer| {
            let bytes = bytes.clone();
            async move {
                peer.request().await;
                peer.write(&bytes).await;
                peer.end().await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> Url {
        format!("{}/oauth/token", self.base()).parse().unwrap()
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.record.heard.lock().unwrap()).into_owned()
    }

    /// The one request that arrived.
    pub(crate) fn head_and_body(&self) -> (String, String) {
        let request = self.heard();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    /// How often the refresh token arrived.
    pub(crate) fn presentations(&self) -> usize {
        self.heard().matches(REFRESH_TOKEN).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    /// RST.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    pub(crate) async fn tls(
        self,
        acceptor: &TlsAcceptor,
    ) -> Option<Peer<tokio_rustls::server::TlsStream<TcpStream>>> {
        let stream = acceptor.accept(self.stream).await.ok()?;
        Some(Peer { stream, record: self.record })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Reads one request to its end; `false` where the client ended first.
    pub(crate) async fn request(&mut self) -> bool {
        let mut request = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.split("content-length: ").nth(1).map_or("0", |rest| rest.lines().next().unwrap());
                if body.len() >= length.parse().unwrap() {
                    return true;
                }
            }
            let mut buffer = [0; 4096];
            let Ok(count @ 1..) = self.stream.read(&mut buffer).await else { return false };
            request.extend_from_slice(&buffer[..count]);
            self.record.heard.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // A client that has gone is the test's subject, not its failure.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// FIN, after the client has read everything.
    pub(crate) async fn end(mut self) {
        let _ = self.stream.shutdown().await;
        self.drain().await;
    }

    /// Reads until the client ends the connection.
    pub(crate) async fn drain(&mut self) {
        while self.request().await {}
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + body).into_bytes()
}

/// A listener whose queue is full: what connects to it is neither accepted nor refused.
pub(crate) async fn blackhole() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        queued.push(stream.unwrap());
    }
    (socket, address, queued)
}

// === certificates ===

/// A certificate authority, and a server certificate of it for `names`, valid until `last_year`.
pub(crate) fn certified(names: &[&str], last_year: i32) -> (CertificateDer<'static>, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (issuer.der().clone(), TlsAcceptor::from(Arc::new(config)))
}

// === the client ===

pub(crate) fn settings() -> EgressSettings {
    EgressSettings {
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        connect_timeout: Duration::from_secs(5),
        ..EgressSettings::default()
    }
}

pub(crate) fn egress(settings: EgressSettings) -> Egress {
    Egress::new(settings).unwrap()
}

/// Answers every look-up with the next of `answers`, and counts.
pub(crate) fn resolver(answers: Vec<Vec<SocketAddr>>) -> (Resolver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolve = move |_: &str, _: u16| {
        let index = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        let answer = answers[index].clone();
        Box::pin(async move { Ok(answer) }) as futures_util::future::BoxFuture<'static, _>
    };
    (Resolver::Custom(Arc::new(resolve)), asked)
}

pub(crate) fn at(ip: impl Into<IpAddr>) -> SocketAddr {
    (ip, 443).into()
}

pub(crate) async fn connect(server: &Server) -> Connected {
    egress(settings()).connect(&server.url()).await.unwrap()
}

pub(crate) async fn connect_to(settings: EgressSettings, url: &str) -> Result<Connected, ConnectError> {
    egress(settings).connect(&url.parse().unwrap()).await
}

pub(crate) fn client() -> ClientCredentials {
    ClientCredentials { id: "client".to_owned(), secret: SecretString::from(CLIENT_SECRET) }
}

pub(crate) fn request() -> TokenRequest {
    TokenRequest::refresh(&Profile::procore(), &client(), &SecretString::from(REFRESH_TOKEN))
}

/// Long where an answer comes; short where a hang is the subject.
pub(crate) fn within(total: Duration) -> SendLimits {
    SendLimits { body_deadline: Clock::System.since_boot() + Duration::from_mins(1), total }
}

pub(crate) const PATIENT: Duration = Duration::from_secs(30);
pub(crate) const IMPATIENT: Duration = Duration::from_millis(250);

pub(crate) async fn refresh(server: &Server) -> Answer {
    connect(server).await.send(request(), within(PATIENT)).await
}

pub(crate) async fn refresh_impatiently(server: &Server) -> Answer {
    connect(server).await.send(request(), within(IMPATIENT)).await
}

/// An answer as the client would have read it.
pub(crate) fn response(status: u16, headers: &[(&'static str, &str)], body: impl AsRef<[u8]>) -> Response {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.as_ref().to_vec().into(),
        handed: true,
        took: Duration::ZERO,
    }
}

pub(crate) fn meaning(answer: &Answer) -> Classified {
    classify(&Profile::procore(), answer, NOW)
}

/// Keeps the connection, and is silent.
pub(crate) async fn hang(peer: Peer) {
    let _peer = peer;
    std::future::pending::<()>().await;
}
