//! Leases: advice that somebody is at work already. Two holders at once are possible (a pause, a failover) and
//! harmless: the burn decides.

use std::time::Duration;

use redis::Cmd;
use uuid::Uuid;

use super::{
    Away, Coordination, Why,
    held::{Held, Terms},
    script,
};
use crate::model::OauthClientUid;

/// Takes it, where it is nobody's; renews it, where it is one's own; takes it again, where Redis has forgotten it. A
/// command that a cluster's client sent twice answers as the first.
const TAKE: &str = "\
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

/// Compare and delete: a holder that was paused past its time must not end its successor's lease.
const GIVE_BACK: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// What came of asking for a lease.
#[derive(Debug)]
pub enum LeaseOutcome {
    /// It is ours.
    Held(Lease),
    /// Somebody else works on it: wait for a signal.
    Elsewhere,
    /// Redis does not say: go on without.
    Away(Away),
}

/// A lease, renewed until it is dropped or released.
#[derive(Debug)]
pub struct Lease(Held);

impl Coordination {
    /// Asks to be the one replica that works on a connection, or on an OAuth client.
    pub async fn lease(&self, subject: Uuid) -> LeaseOutcome {
        self.take(self.0.keys.lease(subject), subject).await
    }

    /// Asks to be the one replica that tries whether this version of a client's secret works.
    pub async fn trial(&self, client: OauthClientUid, version: u32) -> LeaseOutcome {
        self.take(self.0.keys.trial(client.0, version), client.0).await
    }

    async fn take(&self, key: String, subject: Uuid) -> LeaseOutcome {
        let ttl = self.0.settings.lease_ttl;
        let owner = Uuid::new_v4().to_string();
        let take = with(script(TAKE, &key), &owner, Some(ttl));
        let taken = self.0.link.call::<u32>(&take).await;
        let terms = Terms {
            link: self.0.link.clone(),
            announcer: self.0.announcer.clone(),
            subject,
            renew: Some(take),
            give_back: with(script(GIVE_BACK, &key), &owner, None),
            ttl,
        };
        match taken {
            Ok(0) => LeaseOutcome::Elsewhere,
            Ok(_) => LeaseOutcome::Held(Lease(Held::new(terms))),
            Err(away) => {
                // It may have been granted: nobody should wait for us until it expires.
                if away.0 == Why::Slow {
                    tokio::spawn(terms.keep_giving_back());
                }
                LeaseOutcome::Away(away)
            }
        }
    }
}

impl Lease {
    /// Whether nobody else is known to hold it. Advice, as the lease itself.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_ours()
    }

    /// Gives it back before it returns, where Redis answers; `Signal::Released` tells the others.
    pub async fn release(self) {
        self.0.release().await;
    }
}

/// A script's arguments: who, and how long.
pub(super) fn with(mut command: Cmd, owner: &str, ttl: Option<Duration>) -> Cmd {
    command.arg(owner);
    if let Some(ttl) = ttl {
        command.arg(millis(ttl));
    }
    command
}

/// As Redis counts.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 4)
}
