//! Gathers what an HTTP/2 connection writes until it has nothing left to read.
//!
//! h2 flushes every DATA frame above 256 bytes alone: one system call per reply, half of a server's time.
//! Behind a cork the replies that are ready together leave in one write.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

#[cfg(test)]
mod tests;

/// The most that is gathered; then a write waits for the socket.
const LIMIT: usize = 64 * 1024;

/// The most that an idle connection keeps allocated.
const KEEP: usize = 8 * 1024;

/// A byte stream whose flush is put off until its reader would block.
///
/// It is put off only while a reader waits and the socket takes writes; otherwise a flush is a flush. Both
/// halves must belong to one task that reads again when it is woken: the read that finds nothing flushes.
/// An h2 connection does so as long as its read half is open.
#[derive(Debug)]
pub struct Cork<T> {
    inner: T,
    gathered: Vec<u8>,
    /// How much of `gathered` has left.
    sent: usize,
    /// Bytes were accepted that have not been flushed.
    owing: bool,
    /// The reader waits and will come by, and nothing says that the socket is full.
    may_defer: bool,
}

impl<T> Cork<T> {
    /// Puts a cork on a byte stream.
    pub const fn new(inner: T) -> Self {
        Self { inner, gathered: Vec::new(), sent: 0, owing: false, may_defer: false }
    }
}

impl<T: AsyncWrite + Unpin> Cork<T> {
    /// Sends and flushes all that was gathered.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.gathered.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.gathered[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.sent = 0;
        self.gathered.clear();
        self.gathered.shrink_to(KEEP);
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.owing = false;
        Poll::Ready(Ok(()))
    }

    /// How much may be gathered now: never nothing.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= LIMIT {
            ready!(self.poll_drain(cx))?;
        }
        Poll::Ready(Ok(LIMIT - self.gathered.len()))
    }

    /// Takes as much of `bytes` as there is room for.
    fn gather(&mut self, bytes: &[u8], room: usize) -> usize {
        let taken = bytes.len().min(room);
        self.gathered.extend_from_slice(&bytes[..taken]);
        self.owing |= taken > 0;
        taken
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Cork<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        // Whoever has met the end of the stream, or an error, may never read again.
        self.may_defer = read.is_pending();
        if read.is_pending() && self.owing {
            match self.poll_drain(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // The socket wakes the task. A flush that did too would spin until then.
                Poll::Pending => self.may_defer = false,
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Cork<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx))?;
        Poll::Ready(Ok(self.gather(buf, room)))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx))?;
        let taken = bufs.iter().fold(0, |taken, buf| taken + self.gather(buf, room - taken));
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.owing && self.may_defer {
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Connected> Connected for Cork<T> {
    type ConnectInfo = T::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.inner.connect_info()
    }
}
