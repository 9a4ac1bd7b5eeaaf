//! Hosts that are in the way of a refresh.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A host; it is gone with this value.
pub struct Host {
    /// Where it listens, or does not.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
    _sockets: Vec<TcpStream>,
    _bound: Option<TcpSocket>,
}

/// Certificates, all from one authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Host {
    fn new(address: SocketAddr) -> Self {
        let (connections, serving) = (Arc::default(), JoinSet::new());
        Self { address, connections, _serving: serving, _sockets: Vec::new(), _bound: None }
    }

    async fn accepting<F>(ip: Ipv4Addr, script: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let mut host = Self::new(listener.local_addr().unwrap());
        let connections = host.connections.clone();
        host._serving.spawn(async move {
            let mut scripts = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                scripts.spawn(script(stream));
            }
        });
        host
    }

    /// Nobody listens.
    pub fn closed() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let host = Self::new(socket.local_addr().unwrap());
        Self { _bound: Some(socket), ..host }
    }

    /// Its queue is full: it swallows every packet.
    pub async fn swallowing() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut host = Self::new(listener.local_addr().unwrap());
        let address = host.address;
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            host._sockets.push(connected.unwrap());
        }
        host._serving.spawn(async move {
            let _listener = listener;
            std::future::pending().await
        });
        host
    }

    /// It takes what comes and says nothing.
    pub async fn silent() -> Self {
        Self::accepting(Ipv4Addr::LOCALHOST, |mut stream| async move {
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        })
        .await
    }

    /// On an address that no provider may have.
    pub async fn private() -> Self {
        Self::accepting(Ipv4Addr::new(127, 0, 0, 2), |stream| async move { drop(stream) }).await
    }

    /// RST, right after the connection was made.
    pub async fn resetting() -> Self {
        Self::accepting(Ipv4Addr::LOCALHOST, |stream| async move { drop(stream.set_zero_linger()) }).await
    }

    /// TLS in front of another host.
    pub async fn tls(acceptor: TlsAcceptor, origin: &str) -> Self {
        let origin = origin.to_owned();
        Self::accepting(Ipv4Addr::LOCALHOST, move |stream| {
            let (acceptor, origin) = (acceptor.clone(), origin.clone());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut origin = TcpStream::connect(origin).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut origin).await;
            }
        })
        .await
    }

    /// Connections that it took.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server with a certificate for `name`, good until the beginning of a year.
    pub fn certifies(&self, name: &str, until: i32) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
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
        TlsAcceptor::from(Arc::new(config))
    }
}
