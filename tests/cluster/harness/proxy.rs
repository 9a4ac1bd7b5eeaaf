//! The way from one replica to Redis, which can be cut without anybody being told: what a partition does.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::AbortHandle,
};

/// How a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As if there were nothing between.
    Open,
    /// Everything is swallowed, in both directions, and nobody is told.
    Cut,
    /// Everything takes so long.
    Slow(Duration),
}

/// A way that can be changed.
pub struct Proxy {
    port: u16,
    way: Arc<watch::Sender<Way>>,
    task: AbortHandle,
}

impl Proxy {
    /// To a server on a port of this machine.
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let seen = way.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    tokio::spawn(forward(from_client, to_server, seen.clone()));
                    tokio::spawn(forward(from_server, to_client, seen));
                });
            }
        });
        Self { port, way, task: task.abort_handle() }
    }

    /// Where it begins.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16_384];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *way.borrow();
        match now {
            Way::Open => {}
            // What went missing breaks the stream: the connection is of no use afterwards, and nobody is told.
            Way::Cut => return std::future::pending().await,
            Way::Slow(delay) => tokio::time::sleep(delay).await,
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
