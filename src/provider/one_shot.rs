//! A request body that can leave once, knows whether it did, and refuses when it is late.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use zeroize::Zeroizing;

use crate::clock::Clock;

/// Whether the bytes were handed to the socket layer. One-way: what is handed cannot be taken back, and what is
/// sealed can never be handed, not even by a connection task that lives on.
#[derive(Clone, Debug, Default)]
pub struct Latch(Arc<AtomicU8>);

const ARMED: u8 = 0;
const HANDED: u8 = 1;
const LATE: u8 = 2;
const SEALED: u8 = 3;

impl Latch {
    /// Whether the bytes were handed over.
    #[must_use]
    pub fn handed(&self) -> bool {
        self.0.load(Ordering::SeqCst) == HANDED
    }

    /// Whether the body refused because it was late.
    #[must_use]
    pub fn late(&self) -> bool {
        self.0.load(Ordering::SeqCst) == LATE
    }

    /// Shuts the latch. `true`: the bytes were not handed over, and now never will be.
    #[must_use]
    pub fn seal(&self) -> bool {
        self.leave(SEALED) || !self.handed()
    }

    fn leave(&self, for_state: u8) -> bool {
        self.0.compare_exchange(ARMED, for_state, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// The body. Its bytes are wiped when the last holder lets go of them.
#[derive(Debug)]
pub struct OneShot {
    bytes: Option<Secret>,
    latch: Latch,
    clock: Clock,
    deadline: Duration,
}

/// The body does not leave: it is late, or its request was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request body refuses to leave")]
pub struct Refusal;

impl OneShot {
    /// A body that refuses from `deadline` on, by [`Clock::since_boot`]: suspended time counts.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>, deadline: Duration, clock: Clock) -> Self {
        Self { bytes: Some(Secret(bytes)), latch: Latch::default(), clock, deadline }
    }

    /// No body at all.
    #[must_use]
    pub fn empty() -> Self {
        Self { bytes: None, latch: Latch::default(), clock: Clock::System, deadline: Duration::ZERO }
    }

    /// What tells whether the bytes were handed over.
    #[must_use]
    pub fn latch(&self) -> Latch {
        self.latch.clone()
    }
}

impl Body for OneShot {
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        // The last moment before the token is gone: a process that was paused after its burn stops here.
        if self.clock.since_boot() >= self.deadline {
            self.latch.leave(LATE);
            return Poll::Ready(Some(Err(Refusal)));
        }
        if !self.latch.leave(HANDED) {
            return Poll::Ready(Some(Err(Refusal)));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.0.len() as u64))
    }
}

struct Secret(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::model::Timestamp;

    fn body(clock: &Clock) -> OneShot {
        OneShot::new(Zeroizing::new(b"token".to_vec()), Duration::from_secs(5), clock.clone())
    }

    fn poll(body: &mut OneShot) -> Option<Result<Bytes, Refusal>> {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().expect("data"))),
            Poll::Pending => panic!("the body is always ready"),
        }
    }

    #[test]
    fn leaves_once() {
        let clock = Clock::manual(Timestamp::default());
        let mut body = body(&clock);
        let latch = body.latch();
        assert!(!latch.handed() && body.size_hint().exact() == Some(5));
        assert_eq!(poll(&mut body), Some(Ok(Bytes::from_static(b"token"))));
        assert!(latch.handed() && body.is_end_stream() && !latch.seal());
        assert_eq!(poll(&mut body), None);
    }

    #[test]
    fn refuses_from_its_deadline_on() {
        let clock = Clock::manual(Timestamp::default());
        let mut body = body(&clock);
        clock.advance(Duration::from_secs(5));
        assert_eq!(poll(&mut body), Some(Err(Refusal)));
        assert!(body.latch().late() && !body.latch().handed() && body.latch().seal());
    }

    #[test]
    fn sealed_it_never_leaves() {
        let mut body = body(&Clock::manual(Timestamp::default()));
        assert!(body.latch().seal() && body.latch().seal());
        assert_eq!(poll(&mut body), Some(Err(Refusal)));
        assert!(!body.latch().handed() && !body.latch().late());
    }
}
