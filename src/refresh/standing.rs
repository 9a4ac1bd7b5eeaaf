//! Protection of the fleet (P6): per OAuth client and secret version a breaker, and the rule that a secret
//! proves itself before it may spend. One bad setting costs the presentations already in flight, no more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    clock::Clock,
    config::Breaker,
    coordination::Lease,
    error::{Reason, Refusal},
    model::{OauthClientUid, Timestamp},
    provider::Signal,
};

/// Whether refreshes run through an OAuth client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The secret has not yet proven itself.
    Unproven,
    /// One trial is under way; everybody else waits for it.
    OnTrial,
    /// The secret is good.
    Closed {
        /// Unknown outcomes since the last known one.
        unknowns: u32,
    },
    /// Nothing is sent.
    Open {
        /// The provider's error, or what else happened.
        cause: &'static str,
        /// When one trial may run.
        until: Timestamp,
    },
}

/// What a standing says to somebody who wants to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Go,
    /// Go on, alone: prove the secret.
    Trial,
    /// Wait for the trial that is under way.
    Await,
    /// Not now.
    Refused {
        /// Why.
        cause: &'static str,
        /// For how long.
        retry_after: Duration,
    },
}

impl Standing {
    /// Decides for one who wants to spend.
    #[must_use]
    pub fn admit(self, now: Timestamp) -> (Self, Admission) {
        match self {
            Self::Closed { .. } => (self, Admission::Go),
            Self::Unproven => (Self::OnTrial, Admission::Trial),
            Self::OnTrial => (self, Admission::Await),
            Self::Open { until, .. } if until <= now => (Self::OnTrial, Admission::Trial),
            Self::Open { cause, until } => {
                (self, Admission::Refused { cause, retry_after: until.since(now) })
            }
        }
    }

    /// Learns from another replica. What runs here already goes on: its own answer comes.
    #[must_use]
    pub fn hear(self, proven: bool, until: Timestamp) -> Self {
        match (proven, self) {
            (true, Self::Unproven) => Self::Closed { unknowns: 0 },
            (false, Self::Unproven | Self::Closed { .. }) => Self::Open { cause: "another_replica", until },
            _ => self,
        }
    }

    /// Learns from an answer. Only a trial closes a breaker: a success that was under way before the breaker
    /// opened proves nothing about now.
    #[must_use]
    pub fn learn(self, signal: Signal, on_trial: bool, now: Timestamp, settings: &Breaker) -> Self {
        let open = |cause| Self::Open { cause, until: now.plus(settings.open_for) };
        match (signal, self) {
            (Signal::Trip(cause), _) => open(cause.as_str()),
            (Signal::Proven, Self::OnTrial) if on_trial => Self::Closed { unknowns: 0 },
            (Signal::Proven | Signal::Answered, Self::Closed { .. }) => Self::Closed { unknowns: 0 },
            (Signal::Unknown, Self::Closed { unknowns }) if unknowns + 1 < settings.unknowns => {
                Self::Closed { unknowns: unknowns + 1 }
            }
            (Signal::Unknown, Self::Closed { .. }) => open("unknown_outcomes"),
            (Signal::Unknown, Self::OnTrial) if on_trial => open("unknown_outcomes"),
            (Signal::Answered | Signal::None, Self::OnTrial) if on_trial => Self::Unproven,
            _ => self,
        }
    }
}

/// A standing that can be watched, of one version of one client's secret.
type BySecret = HashMap<(OauthClientUid, u32), Arc<watch::Sender<Standing>>>;

/// The standings of all secret versions.
#[derive(Debug)]
pub struct Standings {
    settings: Breaker,
    clock: Clock,
    by_secret: Mutex<BySecret>,
}

/// The right to spend through an OAuth client. A trial's pass must bring an answer home; dropped without one,
/// the secret is as unproven as before.
#[derive(Debug)]
pub struct Pass {
    standing: Arc<watch::Sender<Standing>>,
    settings: Breaker,
    clock: Clock,
    on_trial: bool,
    canary: Option<Lease>,
}

impl Standings {
    /// Every secret is unproven: a process trusts none before it has seen it work.
    #[must_use]
    pub fn new(settings: Breaker, clock: Clock) -> Self {
        Self { settings, clock, by_secret: Mutex::default() }
    }

    /// Waits out a trial that is under way, if need be.
    pub async fn admit(&self, client: OauthClientUid, secret: u32) -> Result<Pass, Refusal> {
        let standing = self.of(client, secret);
        let mut changes = standing.subscribe();
        loop {
            changes.mark_unchanged();
            let now = self.clock.now();
            let mut admission = Admission::Await;
            standing.send_if_modified(|current| {
                let before = *current;
                (*current, admission) = before.admit(now);
                *current != before
            });
            let on_trial = match admission {
                Admission::Go => false,
                Admission::Trial => true,
                Admission::Refused { cause, retry_after } => return Err(refused(cause, retry_after)),
                Admission::Await => {
                    // The sender is ours: it outlives this wait.
                    let _ = changes.changed().await;
                    continue;
                }
            };
            let (settings, clock) = (self.settings.clone(), self.clock.clone());
            return Ok(Pass { standing, settings, clock, on_trial, canary: None });
        }
    }

    /// Another replica has learned it: what it refused is refused here too, what it proved need not be proven again.
    pub fn hear(&self, client: OauthClientUid, secret: u32, proven: bool) {
        let until = self.clock.now().plus(self.settings.open_for);
        self.of(client, secret).send_modify(|standing| *standing = standing.hear(proven, until));
    }

    /// For show.
    #[must_use]
    pub fn view(&self, client: OauthClientUid, secret: u32) -> Standing {
        *self.of(client, secret).borrow()
    }

    fn of(&self, client: OauthClientUid, secret: u32) -> Arc<watch::Sender<Standing>> {
        let mut standings = self.by_secret.lock().unwrap_or_else(PoisonError::into_inner);
        standings
            .entry((client, secret))
            .or_insert_with(|| Arc::new(watch::Sender::new(Standing::Unproven)))
            .clone()
    }
}

impl Pass {
    /// Whether this is the one that proves the secret.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        self.on_trial
    }

    /// Keeps the fleet's only trial until the answer is home.
    pub(super) fn hold(&mut self, canary: Lease) {
        self.canary = Some(canary);
    }

    /// Asks once more, just before the burn: the breaker may have opened while we connected.
    pub fn still_good(&self) -> Result<(), Refusal> {
        match *self.standing.borrow() {
            Standing::Closed { .. } => Ok(()),
            Standing::OnTrial if self.on_trial => Ok(()),
            Standing::Open { cause, until } => Err(refused(cause, until.since(self.clock.now()))),
            Standing::Unproven | Standing::OnTrial => Err(refused("unproven", self.settings.open_for)),
        }
    }

    /// Brings an answer home. After a trial's success the pass is an ordinary one.
    pub fn learn(&mut self, signal: Signal) {
        let (on_trial, now) = (self.on_trial, self.clock.now());
        self.standing
            .send_modify(|standing| *standing = standing.learn(signal, on_trial, now, &self.settings));
        self.on_trial = false;
        self.canary = None;
        if let Signal::Trip(cause) = signal {
            tracing::error!(cause = cause.as_str(), "breaker.open");
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.on_trial {
            self.learn(Signal::None);
        }
    }
}

/// Infrastructure trouble is never reported as a dead credential (P5): only the provider's word on the client is.
fn refused(cause: &'static str, retry_after: Duration) -> Refusal {
    let reason = match cause {
        "invalid_client" | "unauthorized_client" | "unproven" => Reason::OauthClientRejected,
        _ => Reason::ProviderUnavailable,
    };
    Refusal::retry(reason, retry_after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::TripCause;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn settings() -> Breaker {
        Breaker::default()
    }

    #[test]
    fn an_unproven_secret_lets_one_through_and_the_rest_wait() {
        let (standing, first) = Standing::Unproven.admit(NOW);
        assert_eq!(first, Admission::Trial);
        assert_eq!(standing.admit(NOW).1, Admission::Await);
        let closed = standing.learn(Signal::Proven, true, NOW, &settings());
        assert_eq!(closed.admit(NOW).1, Admission::Go);
    }

    #[test]
    fn the_first_invalid_client_opens_and_a_late_success_does_not_close() {
        let open = Standing::Closed { unknowns: 0 }.learn(
            Signal::Trip(TripCause::InvalidClient),
            false,
            NOW,
            &settings(),
        );
        assert!(matches!(open.admit(NOW).1, Admission::Refused { cause: "invalid_client", .. }));
        assert_eq!(open.learn(Signal::Proven, false, NOW, &settings()), open);
        let later = NOW.plus(settings().open_for);
        let (half_open, admission) = open.admit(later);
        assert_eq!(admission, Admission::Trial);
        assert_eq!(half_open.admit(later).1, Admission::Await, "one canary for the whole fleet");
    }

    #[test]
    fn two_unknowns_in_a_row_open_and_an_answer_between_them_does_not() {
        let settings = settings();
        let one = Standing::Closed { unknowns: 0 }.learn(Signal::Unknown, false, NOW, &settings);
        assert_eq!(one.admit(NOW).1, Admission::Go);
        assert!(matches!(one.learn(Signal::Unknown, false, NOW, &settings), Standing::Open { .. }));
        let answered = one.learn(Signal::Answered, false, NOW, &settings);
        assert!(matches!(answered.learn(Signal::Unknown, false, NOW, &settings), Standing::Closed { .. }));
    }

    #[test]
    fn a_trial_that_proves_nothing_leaves_the_secret_unproven() {
        assert_eq!(Standing::OnTrial.learn(Signal::Answered, true, NOW, &settings()), Standing::Unproven);
        assert!(matches!(
            Standing::OnTrial.learn(Signal::Unknown, true, NOW, &settings()),
            Standing::Open { .. }
        ));
    }

    #[tokio::test]
    async fn waiters_follow_the_trial() {
        let standings = Arc::new(Standings::new(settings(), Clock::manual(NOW)));
        let client = OauthClientUid(uuid::Uuid::from_u128(1));
        let mut trial = standings.admit(client, 1).await.expect("unproven admits one");
        assert!(trial.is_trial());
        let waiting = tokio::spawn({
            let standings = standings.clone();
            async move { standings.admit(client, 1).await.map(|pass| pass.is_trial()) }
        });
        tokio::task::yield_now().await;
        trial.learn(Signal::Proven);
        assert_eq!(waiting.await.expect("no panic"), Ok(false));
        drop(standings.admit(client, 2).await.expect("another version is another secret"));
        assert_eq!(standings.view(client, 2), Standing::Unproven, "a trial without an answer");
    }
}
