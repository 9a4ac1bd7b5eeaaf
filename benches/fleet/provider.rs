//! A provider that costs next to nothing: one request per connection, answered at once or after a while.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The OAuth client that it knows.
pub(crate) const CLIENT: (&str, &str) = ("bench", "a-client-secret");

/// Bytes of an access token: those of real providers are signed documents.
const TOKEN: usize = 1_000;
/// Seconds that a client-credentials token lives.
const LEASE: u64 = 5_400;

/// A running provider.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    presented: AtomicUsize,
    presented_at: Mutex<Option<Instant>>,
    issued: AtomicUsize,
    life: AtomicU64,
    latency: AtomicU64,
}

impl Provider {
    /// Starts one whose tokens live so many seconds.
    pub(crate) async fn start(life: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            presented: AtomicUsize::new(0),
            presented_at: Mutex::new(None),
            issued: AtomicUsize::new(0),
            life: AtomicU64::new(life),
            latency: AtomicU64::new(0),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                // A broken connection shows as a refresh that did not come.
                tokio::spawn(async move { drop(state.answer(stream).await) });
            }
        });
        Ok(Self { address, state })
    }

    /// How often a refresh token was presented so far.
    pub(crate) fn presented(&self) -> usize {
        self.state.presented.load(Ordering::Relaxed)
    }

    /// When the last one was.
    pub(crate) fn presented_at(&self) -> Option<Instant> {
        *self.state.presented_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on tokens live so many seconds.
    pub(crate) fn tokens_live(&self, seconds: u64) {
        self.state.life.store(seconds, Ordering::Relaxed);
    }

    /// From now on it takes so long.
    pub(crate) fn takes(&self, latency: Duration) {
        self.state.latency.store(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl State {
    async fn answer(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let mut request = Vec::with_capacity(2_048);
        let body = loop {
            ensure!(stream.read_buf(&mut request).await? > 0, "half a request");
            if let Some(body) = body(&request) {
                break body;
            }
        };
        let refresh = contains(body, b"grant_type=refresh_token");
        let life = if refresh { self.life.load(Ordering::Relaxed) } else { LEASE };
        let serial = self.issued.fetch_add(1, Ordering::Relaxed);
        if refresh {
            self.presented.fetch_add(1, Ordering::Relaxed);
            *self.presented_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        let latency = self.latency.load(Ordering::Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        let pair =
            if refresh { format!(r#","refresh_token":"refresh-{serial:032}""#) } else { String::new() };
        let answer = format!(
            r#"{{"access_token":"{serial:0TOKEN$}","token_type":"Bearer","expires_in":{life}{pair}}}"#
        );
        let length = answer.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{answer}").as_bytes()).await?;
        Ok(())
    }
}

/// The body, once all of it is there.
fn body(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&request[..end]).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    request.get(end..end + length)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
