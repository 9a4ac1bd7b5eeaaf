//! A cap whose waiters take turns by tenant: a tenant with a thousand expired tokens delays another's one by one
//! place, not by a thousand.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::model::TenantUid;

/// So many places, and who waits for one.
#[derive(Debug)]
pub(super) struct Cap(Mutex<Queue>);

#[derive(Debug)]
struct Queue {
    free: usize,
    /// Whose turn it is, first to last; each tenant that waits stands here once.
    turns: VecDeque<TenantUid>,
    waiting: HashMap<TenantUid, VecDeque<oneshot::Sender<Place>>>,
}

/// One place; given on when dropped.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Cap>>);

impl Cap {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Queue { free: places, turns: VecDeque::new(), waiting: HashMap::new() })))
    }

    /// A place, where one is free now.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut queue = self.queue();
        queue.free = queue.free.checked_sub(1)?;
        Some(Place(Some(self.clone())))
    }

    /// A place, when it is this tenant's turn.
    pub(super) async fn take(self: &Arc<Self>, tenant: TenantUid) -> Place {
        loop {
            let turn = {
                let mut queue = self.queue();
                if queue.free > 0 {
                    queue.free -= 1;
                    return Place(Some(self.clone()));
                }
                queue.join(tenant)
            };
            if let Ok(place) = turn.await {
                return place;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn join(&mut self, tenant: TenantUid) -> oneshot::Receiver<Place> {
        let (sender, turn) = oneshot::channel();
        let line = self.waiting.entry(tenant).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant);
        }
        line.push_back(sender);
        turn
    }

    /// The next in turn; the tenant goes to the end of the round.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let tenant = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&tenant)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        next
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(cap) = self.0.take() else { return };
        loop {
            // A waiter that has gone hands its place back here; the lock is not held while it does.
            let next = {
                let mut queue = cap.queue();
                let next = queue.next();
                if next.is_none() {
                    queue.free += 1;
                }
                next
            };
            let Some(waiter) = next else { return };
            match waiter.send(Self(Some(cap.clone()))) {
                Ok(()) => return,
                Err(mut unwanted) => unwanted.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::BoxFuture};
    use uuid::Uuid;

    use super::*;

    const fn tenant(n: u128) -> TenantUid {
        TenantUid(Uuid::from_u128(n))
    }

    /// Stands in line: polled once, it has joined.
    fn waits(cap: &Arc<Cap>, n: u128) -> BoxFuture<'static, Place> {
        let cap = cap.clone();
        let mut turn = async move { cap.take(tenant(n)).await }.boxed();
        assert!((&mut turn).now_or_never().is_none());
        turn
    }

    #[test]
    fn tenants_take_turns() {
        let cap = Cap::new(1);
        let mut held = cap.try_take();
        let mut line: Vec<_> = [1, 1, 1, 2, 3, 3].map(|n| (n, waits(&cap, n))).into();
        let mut served = Vec::new();
        while !line.is_empty() {
            drop(held.take());
            let ready = line.iter_mut().position(|(_, turn)| {
                held = turn.now_or_never();
                held.is_some()
            });
            served.push(line.remove(ready.expect("somebody's turn")).0);
        }
        assert_eq!(served, [1, 2, 3, 1, 3, 1]);
    }

    #[test]
    fn whoever_leaves_the_line_takes_no_place() {
        let cap = Cap::new(1);
        let held = cap.try_take();
        let (gone, stays) = (waits(&cap, 1), waits(&cap, 2));
        drop(gone);
        drop(held);
        let place = stays.now_or_never().expect("the one who left was passed over");
        assert!(cap.try_take().is_none());
        drop(place);
        assert!(cap.try_take().is_some() && cap.queue().waiting.is_empty());
    }

    #[test]
    fn a_place_given_to_one_who_leaves_is_given_on() {
        let cap = Cap::new(1);
        let (first, second) = (cap.try_take(), waits(&cap, 1));
        let third = waits(&cap, 2);
        drop(first); // to the second, who leaves without looking
        drop(second);
        assert!(third.now_or_never().is_some());
    }
}
