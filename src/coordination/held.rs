//! What a replica holds at Redis until it lets go: a task keeps it and gives it back, one command after the other, so
//! that no renewal comes after the giving back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::Cmd;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{Signal, link::Link, signals::Announcer};

/// Between two tries to give something back.
const AGAIN: Duration = Duration::from_secs(1);

/// What is held, and how.
pub(super) struct Terms {
    pub(super) link: Link,
    pub(super) announcer: Announcer,
    /// Whom those who wait for it wait for.
    pub(super) subject: Uuid,
    /// Sent every third of the time it lasts; answers 0 where it is somebody else's.
    pub(super) renew: Option<Cmd>,
    pub(super) give_back: Cmd,
    pub(super) ttl: Duration,
}

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Held {
    let_go: oneshot::Sender<()>,
    given_back: oneshot::Receiver<()>,
    ours: Arc<AtomicBool>,
}

impl Held {
    /// From the moment at which Redis has granted it.
    pub(super) fn new(terms: Terms) -> Self {
        let (let_go, asked) = oneshot::channel();
        let (done, given_back) = oneshot::channel();
        let ours = Arc::new(AtomicBool::new(true));
        tokio::spawn(terms.hold(asked, done, ours.clone()));
        Self { let_go, given_back, ours }
    }

    /// Whether nobody else is known to have it.
    pub(super) fn is_ours(&self) -> bool {
        self.ours.load(Ordering::Relaxed)
    }

    /// Gives it back; where Redis is away that goes on in the background.
    pub(super) async fn release(self) {
        let _ = self.let_go.send(());
        let _ = self.given_back.await;
    }
}

impl Terms {
    async fn hold(self, mut asked: oneshot::Receiver<()>, done: oneshot::Sender<()>, ours: Arc<AtomicBool>) {
        // Also ends where the holder was dropped.
        while timeout(self.ttl / 3, &mut asked).await.is_err() {
            let Some(renew) = self.renew.as_ref().filter(|_| ours.load(Ordering::Relaxed)) else { continue };
            if let Ok(0) = self.link.call::<u32>(renew).await {
                ours.store(false, Ordering::Relaxed);
            }
        }
        if self.try_give_back().await {
            return;
        }
        drop(done);
        self.keep_giving_back().await;
    }

    /// Whoever waits for it is told after it is free, not before.
    async fn try_give_back(&self) -> bool {
        let given_back = self.link.call::<u32>(&self.give_back).await;
        if given_back == Ok(1) {
            self.announcer.announce(Signal::Released { subject: self.subject });
        }
        given_back.is_ok()
    }

    /// Nobody knows whether it is still there: once it has expired, it is not.
    pub(super) async fn keep_giving_back(self) {
        let expired = Instant::now() + self.ttl;
        while Instant::now() < expired {
            sleep(AGAIN.min(self.ttl / 3)).await;
            if self.try_give_back().await {
                return;
            }
        }
    }
}
