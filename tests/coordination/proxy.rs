//! A way to Redis that can go silent without closing: what a partition does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    task::AbortHandle,
};

/// Passes everything on, until it swallows the answers of subscriptions.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    /// Subscriptions numbered below this are silent.
    silent_below: AtomicU32,
    subscriptions: AtomicU32,
}

impl Proxy {
    /// Before the server on a port of this machine.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let seen = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let number = Arc::new(AtomicU32::new(u32::MAX));
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(forward(from_client, to_server, seen.clone(), number.clone(), true));
                tokio::spawn(forward(from_server, to_client, seen.clone(), number, false));
            }
        });
        Self { port, shared, task: task.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// No subscription of now hears anything any more; later ones do.
    pub fn silence_subscriptions(&self) {
        self.shared.silent_below.store(self.shared.subscriptions.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How many there were.
    pub fn subscriptions(&self) -> u32 {
        self.shared.subscriptions.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: Arc<Shared>,
    number: Arc<AtomicU32>,
    from_client: bool,
) {
    let subscribed = AtomicBool::new(false);
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let asks = from_client && buffer[..read].windows(11).any(|bytes| bytes == b"\r\nSUBSCRIBE");
        if asks && !subscribed.swap(true, Ordering::SeqCst) {
            number.store(shared.subscriptions.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
        }
        let silent = number.load(Ordering::SeqCst) < shared.silent_below.load(Ordering::SeqCst);
        if !silent && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
