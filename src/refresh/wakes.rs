//! Who waits to hear of a connection, or of an OAuth client.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::OwnedNotified};
use uuid::Uuid;

/// Waits, by what they wait for.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<HashMap<Uuid, Arc<Notify>>>);

/// One who listens from now on: what is told between this and the wait is not missed.
#[derive(Debug)]
pub(super) struct Listening<'a> {
    wakes: &'a Wakes,
    subject: Uuid,
    told: Option<Pin<Box<OwnedNotified>>>,
}

impl Wakes {
    pub(super) fn listen(&self, subject: Uuid) -> Listening<'_> {
        let told = self.waiting().entry(subject).or_default().clone().notified_owned();
        Listening { wakes: self, subject, told: Some(Box::pin(told)) }
    }

    /// Wakes whoever waits for this.
    pub(super) fn wake(&self, subject: Uuid) {
        if let Some(waiting) = self.waiting().get(&subject) {
            waiting.notify_waiters();
        }
    }

    /// Wakes everybody: something may have been missed.
    pub(super) fn wake_all(&self) {
        self.waiting().values().for_each(|waiting| waiting.notify_waiters());
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening<'_> {
    /// Waits to be told.
    pub(super) async fn told(mut self) {
        self.heard().await;
    }

    /// The same for whoever goes on listening: who was told once is told.
    pub(super) async fn heard(&mut self) {
        if let Some(told) = &mut self.told {
            told.await;
            self.told = None;
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.told = None;
        let mut waiting = self.wakes.waiting();
        // The map's own is the last one.
        if waiting.get(&self.subject).is_some_and(|left| Arc::strong_count(left) == 1) {
            waiting.remove(&self.subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_is_told_before_the_wait_is_not_missed() {
        let (wakes, one, two) = (Wakes::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let (mut first, second, other) = (wakes.listen(one), wakes.listen(one), wakes.listen(two));
        wakes.wake(one);
        assert!(first.heard().now_or_never().is_some() && first.heard().now_or_never().is_some());
        assert!(first.told().now_or_never().is_some() && second.told().now_or_never().is_some());
        assert!(wakes.listen(one).told().now_or_never().is_none(), "that was before");
        wakes.wake_all();
        assert!(other.told().now_or_never().is_some());
        assert!(wakes.waiting().is_empty(), "nobody is left behind");
    }
}
