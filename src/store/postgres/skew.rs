//! Times in the database are the database's clock. A process whose own clock is wrong converts at the edge, so that its
//! error reaches nobody else.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{Inner, LookError, Statement};
use crate::{
    model::{AccessToken, Attempt, GrantFacts, Meta, State, Timestamp},
    store::Event,
};

/// A difference that is not more is not told from the network's, and is left alone.
const TOLERATED: i64 = 250_000;
const INTERVAL: Duration = Duration::from_secs(30);
/// The quickest of so many exchanges counts.
const EXCHANGES: usize = 3;

/// How far the database's clock is ahead, in microseconds: as measured, and as corrected.
#[derive(Debug, Default)]
pub(super) struct Skew {
    measured: AtomicI64,
    corrected: AtomicI64,
}

impl Skew {
    pub(super) fn measured(&self) -> i64 {
        self.measured.load(Ordering::Relaxed)
    }

    /// Ours, as the database has it.
    pub(super) fn there(&self, at: Timestamp) -> i64 {
        at.as_micros().saturating_add(self.corrected.load(Ordering::Relaxed))
    }

    /// The database's, as we have it.
    pub(super) fn here(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_micros(at.as_micros().saturating_sub(self.corrected.load(Ordering::Relaxed)))
    }

    pub(super) fn meta(&self, meta: &Meta) -> Meta {
        Meta {
            created_at: self.here(meta.created_at),
            updated_at: self.here(meta.updated_at),
            revision: meta.revision,
        }
    }

    pub(super) fn access(&self, access: AccessToken) -> AccessToken {
        AccessToken {
            issued_at: self.here(access.issued_at),
            expires_at: self.here(access.expires_at),
            ..access
        }
    }

    pub(super) fn facts(&self, facts: GrantFacts) -> GrantFacts {
        GrantFacts {
            state: match facts.state {
                State::Dispatched { attempt, since } => {
                    State::Dispatched { attempt, since: self.here(since) }
                }
                State::InDoubt { attempt, since } => State::InDoubt { attempt, since: self.here(since) },
                other => other,
            },
            not_before: facts.not_before.map(|at| self.here(at)),
            spend_before: facts.spend_before.map(|at| self.here(at)),
            access: facts.access.map(|access| self.access(access)),
            ..facts
        }
    }

    pub(super) fn attempt(&self, attempt: Attempt) -> Attempt {
        Attempt {
            dispatched_at: self.here(attempt.dispatched_at),
            closed: attempt.closed.map(|(outcome, at)| (outcome, self.here(at))),
            ..attempt
        }
    }

    pub(super) fn event(&self, event: &Event) -> Event {
        Event { at: self.here(event.at), ..event.clone() }
    }

    fn set(&self, measured: i64) {
        let corrected = if measured.saturating_abs() > TOLERATED { measured } else { 0 };
        self.measured.store(measured, Ordering::Relaxed);
        let before = self.corrected.swap(corrected, Ordering::Relaxed);
        if corrected != 0 {
            tracing::warn!(
                ahead_ms = corrected / 1000,
                "this process's clock and the database's differ: corrected"
            );
        } else if before != 0 {
            tracing::info!("this process's clock and the database's agree again");
        }
    }
}

impl Inner {
    /// Half way between question and answer is when the database looked at its clock.
    pub(super) async fn measure_skew(&self) -> Result<(), LookError> {
        let mut best: Option<(i64, i64)> = None;
        for _ in 0..EXCHANGES {
            let asked = self.clock.now().as_micros();
            let statement =
                Statement::new("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
            let theirs = self.look::<(i64,)>(statement).await?.first().map_or(asked, |row| row.0);
            let took = self.clock.now().as_micros() - asked;
            if best.is_none_or(|(quickest, _)| took < quickest) {
                best = Some((took, theirs - (asked + took / 2)));
            }
        }
        self.skew.set(best.map_or(0, |(_, ahead)| ahead));
        Ok(())
    }
}

/// Measures as long as the store lives.
pub(super) fn watch(inner: &Arc<Inner>) {
    let inner: Weak<Inner> = Arc::downgrade(inner);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let Some(inner) = inner.upgrade() else { return };
            if let Err(error) = inner.measure_skew().await {
                tracing::debug!(%error, "the database's clock was not read");
            }
        }
    });
}

/// A clock that differs is corrected both ways, one that hardly differs is not.
#[cfg(test)]
#[test]
fn corrects_what_is_beyond_doubt() {
    let (skew, at) = (Skew::default(), Timestamp::from_micros(1_000_000_000));
    skew.set(200_000);
    assert_eq!((skew.measured(), skew.there(at)), (200_000, 1_000_000_000));
    skew.set(-3_600_000_000);
    assert_eq!(skew.there(at), -2_600_000_000);
    assert_eq!(skew.here(Timestamp::from_micros(skew.there(at))), at);
    assert_eq!(skew.there(Timestamp::from_micros(i64::MIN)), i64::MIN);
}
