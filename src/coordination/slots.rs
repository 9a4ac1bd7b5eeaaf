//! Slots: how many refreshes of one OAuth client are in flight in the whole fleet. A counting semaphore by the
//! server's own clock; each holder has a time after which it counts no more.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{Notify, broadcast},
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    Away, Coordination, Signal, Why,
    held::{Held, Terms},
    lease::millis,
    script,
};
use crate::model::OauthClientUid;

/// One holder per member, scored by its end.
const TAKE: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not held and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
return 1";

/// 1 where there was no room before: somebody may wait for it. 2 where nobody can.
const GIVE_BACK: &str = "\
local held = redis.call('ZCARD', KEYS[1])
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
return held >= tonumber(ARGV[2]) and 1 or 2";

/// What came of asking for a slot.
#[derive(Debug)]
pub enum SlotOutcome {
    /// There was room.
    Held(Slot),
    /// There was none: wait for `Signal::Released` of the client, or a while.
    Full,
    /// Redis does not say: the replica's own caps must do.
    Away(Away),
}

/// A slot serves one refresh after another here for so long; then the whole fleet has its chance.
const HANDED_ON: Duration = Duration::from_secs(1);
/// So long it waits for the next one. Under load that comes at once, and Redis is not asked.
const IDLE: Duration = Duration::from_millis(100);

/// One of a client's slots, until it is dropped or released.
#[derive(Debug)]
pub struct Slot {
    /// Some, until it is let go.
    held: Option<Held>,
    client: OauthClientUid,
    since: Instant,
    spare: Spare,
}

/// Slots that nobody uses for a moment.
#[derive(Clone, Debug)]
pub(super) struct Spare(Arc<Idle>);

#[derive(Debug)]
struct Idle {
    /// None: nothing is kept any more.
    slots: Mutex<Option<HashMap<OauthClientUid, Vec<IdleSlot>>>>,
    some: Notify,
    /// Somebody here was told that there is no room, and waits to be told otherwise.
    wanted: AtomicBool,
    signals: broadcast::Sender<Signal>,
}

#[derive(Debug)]
struct IdleSlot {
    held: Held,
    since: Instant,
    idle_since: Instant,
}

impl Coordination {
    /// Asks for one of `limit` slots of an OAuth client. It counts for `ttl` at most: give it longer, by a second,
    /// than a refresh can take.
    pub async fn slot(&self, client: OauthClientUid, limit: u32, ttl: Duration) -> SlotOutcome {
        let spare = &self.0.spare;
        if let Some(IdleSlot { held, since, .. }) = spare.take(client) {
            return SlotOutcome::Held(Slot { held: Some(held), client, since, spare: spare.clone() });
        }
        let since = Instant::now();
        let key = self.0.keys.slots(client.0);
        let holder = Uuid::new_v4().to_string();
        let mut take = script(TAKE, &key);
        take.arg(&holder).arg(limit).arg(millis(ttl));
        let taken = self.0.link.call::<u32>(&take).await;
        let mut give_back = script(GIVE_BACK, &key);
        give_back.arg(&holder).arg(limit);
        let terms = Terms {
            link: self.0.link.clone(),
            announcer: self.0.announcer.clone(),
            subject: client.0,
            renew: None,
            give_back,
            ttl,
        };
        match taken {
            Ok(0) => {
                spare.0.wanted.store(true, Ordering::Relaxed);
                SlotOutcome::Full
            }
            Ok(_) => {
                let held = Some(Held::new(terms));
                SlotOutcome::Held(Slot { held, client, since, spare: spare.clone() })
            }
            Err(away) => {
                if away.0 == Why::Slow {
                    tokio::spawn(terms.keep_giving_back());
                }
                SlotOutcome::Away(away)
            }
        }
    }
}

impl Slot {
    /// Gives it back before it returns, where Redis answers.
    pub async fn release(mut self) {
        if let Some(held) = self.held.take() {
            held.release().await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(held) = self.held.take().filter(|_| self.since.elapsed() < HANDED_ON) {
            self.spare.put(self.client, IdleSlot { held, since: self.since, idle_since: Instant::now() });
        }
    }
}

impl Coordination {
    /// Gives back what is kept for the next refresh: there will be none.
    pub async fn release_slots(&self) {
        let kept = self.0.spare.slots().take().unwrap_or_default();
        join_all(kept.into_values().flatten().map(|slot| slot.held.release())).await;
    }
}

impl Spare {
    pub(super) fn new(signals: broadcast::Sender<Signal>) -> Self {
        let (slots, some, wanted) = (Mutex::new(Some(HashMap::new())), Notify::new(), AtomicBool::new(false));
        Self(Arc::new(Idle { slots, some, wanted, signals }))
    }

    fn take(&self, client: OauthClientUid) -> Option<IdleSlot> {
        let young = |slot: &IdleSlot| slot.since.elapsed() < HANDED_ON;
        self.slots().as_mut()?.get_mut(&client)?.pop().filter(young)
    }

    fn put(&self, client: OauthClientUid, slot: IdleSlot) {
        let Some(slots) = &mut *self.slots() else { return };
        slots.entry(client).or_default().push(slot);
        self.0.some.notify_one();
        if self.0.wanted.swap(false, Ordering::Relaxed) {
            let _ = self.0.signals.send(Signal::Released { subject: client.0 });
        }
    }

    /// Lets go of what nobody wants; for ever.
    pub(super) async fn clear(self) {
        loop {
            self.0.some.notified().await;
            while self.slots().as_ref().is_some_and(|slots| !slots.is_empty()) {
                sleep(IDLE).await;
                let Some(slots) = &mut *self.slots() else { return };
                slots.retain(|_, slots| {
                    slots.retain(|slot| slot.idle_since.elapsed() < IDLE);
                    !slots.is_empty()
                });
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Option<HashMap<OauthClientUid, Vec<IdleSlot>>>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
