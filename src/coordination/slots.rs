//! Slots: how many refreshes of one OAuth client are in flight in the whole fleet. A counting semaphore by the
//! server's own clock; each holder has a time after which it counts no more.

use std::time::Duration;

use redis::cmd;
use uuid::Uuid;

use super::{
    Away, Coordination, Why,
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

/// One of a client's slots, until it is dropped or released.
#[derive(Debug)]
pub struct Slot(Held);

impl Coordination {
    /// Asks for one of `limit` slots of an OAuth client. It counts for `ttl` at most: give it longer than a refresh can
    /// take.
    pub async fn slot(&self, client: OauthClientUid, limit: u32, ttl: Duration) -> SlotOutcome {
        let key = self.0.keys.slots(client.0);
        let holder = Uuid::new_v4().to_string();
        let mut take = script(TAKE, &key);
        take.arg(&holder).arg(limit).arg(millis(ttl));
        let taken = self.0.link.call::<u32>(&take).await;
        let mut give_back = cmd("ZREM");
        give_back.arg(&key).arg(&holder);
        let terms = Terms {
            link: self.0.link.clone(),
            announcer: self.0.announcer.clone(),
            subject: client.0,
            renew: None,
            give_back,
            ttl,
        };
        match taken {
            Ok(0) => SlotOutcome::Full,
            Ok(_) => SlotOutcome::Held(Slot(Held::new(terms))),
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
    pub async fn release(self) {
        self.0.release().await;
    }
}
