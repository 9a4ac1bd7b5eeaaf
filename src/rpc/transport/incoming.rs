//! Accepted connections.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Sleep, sleep},
};
use tokio_stream::Stream;

use super::Cork;

/// Connections that wait for `accept`; the kernel may allow fewer.
const BACKLOG: u32 = 4096;

/// How long a peer may be silent before the kernel asks whether it is there, and how often it then asks.
const KEEP_ALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(10));

/// How long to wait for resources when `accept` has none.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens on an address, and says on which: port 0 lets the system choose.
pub fn listen(addr: SocketAddr) -> io::Result<(SocketAddr, Incoming)> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    Ok((listener.local_addr()?, Incoming { listener, pause: None }))
}

/// A stream of accepted connections, for `serve_with_incoming`. It outlives every failure to accept.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Stream for Incoming {
    type Item = Result<Cork<TcpStream>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)).and_then(|(socket, _)| tuned(socket)) {
                Ok(socket) => return Poll::Ready(Some(Ok(Cork::new(socket)))),
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    // Out of descriptors or memory, `accept` fails again at once, and tonic would spin.
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

/// Small replies leave at once, and a peer that vanished is found out. `serve_with_incoming` ignores what
/// tonic's builder says about either.
fn tuned(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    SockRef::from(&socket).set_tcp_keepalive(&KEEP_ALIVE)?;
    Ok(socket)
}

/// Errors of a connection that was gone before it was accepted.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::InvalidInput
            | Kind::NotConnected
    )
}
