//! The checker of every fault test: the provider's log against the broker's rows, token by token.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use procore_simulator::{Presentation, Simulator};

use super::{
    Broker, Caller, reason,
    rows::{Attempt, Grant},
    until,
    world::{Known, World, presentations},
};

/// What became of a world's connections.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Presentations of refresh tokens, the checker's own included.
    pub presentations: usize,
    /// How many connections there are in each state.
    pub states: BTreeMap<String, usize>,
    /// Connections that need a person, and whose token was presented.
    pub lost: usize,
    /// Connections that need a person, though the token was never presented.
    pub in_vain: usize,
}

impl World {
    /// Refreshes whatever the broker calls idle, which proves that it holds the provider's live token; stops it;
    /// and accounts for every presentation.
    pub async fn finish(&self, broker: Broker) -> Verdict {
        self.finish_at(broker, &[&self.simulator]).await
    }

    /// The same, with several providers.
    pub async fn finish_at(&self, broker: Broker, simulators: &[&Simulator]) -> Verdict {
        let caller = &broker.caller().await;
        let reachable = self.known().into_iter().filter(|known| known.reachable);
        stream::iter(reachable).for_each_concurrent(8, async |known| prove(caller, &known).await).await;
        broker.stop().await;
        self.check(simulators).await
    }

    /// Accounts for every presentation, with the broker gone.
    pub async fn check(&self, simulators: &[&Simulator]) -> Verdict {
        let rows = self.rows().await;
        let mut verdict = Verdict::default();
        let mut accounted = 0;
        for known in self.known() {
            let simulator =
                simulators.iter().find(|simulator| std::ptr::from_ref(**simulator).addr() == known.at);
            let simulator = simulator.expect("a connection's provider takes part in the check");
            let seen: Vec<_> = presentations(simulator)
                .into_iter()
                .filter(|seen| seen.grant_id.as_ref() == Some(&known.grant_id))
                .collect();
            let grant = &rows.grants[&known.name];
            account(&known, grant, &seen);
            accounted += seen.len();
            *verdict.states.entry(grant.state.clone()).or_default() += 1;
            if stands(&known, grant, simulator) {
                continue;
            }
            explained(&known, grant);
            if seen.iter().any(|seen| generation(&known, seen) == last_spent(grant)) {
                verdict.lost += 1;
            } else {
                verdict.in_vain += 1;
            }
        }
        let all: usize = simulators.iter().map(|simulator| presentations(simulator).len()).sum();
        assert_eq!(accounted, all, "a token was presented that belongs to no connection");
        verdict.presentations = all;
        verdict
    }
}

/// A further refresh: done, or refused for a reason that needs a person.
async fn prove(caller: &Caller, known: &Known) {
    until("a connection is refreshed or explained", async || match caller.refresh(&known.name).await {
        Ok(_) => true,
        Err(status) => match reason(&status).as_str() {
            "REFRESH_IN_DOUBT" | "REAUTHORIZATION_REQUIRED" => true,
            "REFRESH_IN_PROGRESS"
            | "PROVIDER_RATE_LIMITED"
            | "PROVIDER_UNAVAILABLE"
            | "OAUTH_CLIENT_REJECTED" => false,
            other => panic!("{}: {other}", known.name),
        },
    })
    .await;
}

/// The broker's generation of a token, by its place in the provider's chain.
fn generation(known: &Known, seen: &Presentation) -> u64 {
    known.first + seen.generation.expect("the provider knows every token that was presented")
}

/// The generation of the newest attempt.
fn last_spent(grant: &Grant) -> u64 {
    grant.attempts.last().map_or(0, |attempt| attempt.generation)
}

/// I1, the rows' part of I2, and I3.
fn account(known: &Known, grant: &Grant, seen: &[Presentation]) {
    let name = &known.name;
    let generations: Vec<_> = grant.attempts.iter().map(|attempt| attempt.generation).collect();
    assert!(generations.is_sorted(), "{name}: a generation decreased: {generations:?}");
    assert!(last_spent(grant) <= grant.generation, "{name}: a generation decreased");
    let newest = seen.iter().map(|seen| generation(known, seen)).max();
    for spent in 0..=grant.generation.max(newest.unwrap_or(0)) {
        let of_this = |attempt: &&Attempt| attempt.generation == spent;
        let attempts: Vec<_> = grant.attempts.iter().filter(of_this).collect();
        let presented: Vec<_> = seen.iter().filter(|seen| generation(known, seen) == spent).collect();
        let freed = attempts.iter().filter(|attempt| attempt.frees()).count();
        assert!(presented.len() <= 1 + freed, "I1: {name}, generation {spent}: {presented:?}, {attempts:?}");
        // An attempt that was not sent has no presentation, any other at most one, and later than its record.
        let sent: Vec<_> = attempts.iter().filter(|attempt| !attempt.is("not_sent")).collect();
        assert!(presented.len() <= sent.len(), "I2: {name}, generation {spent}: {presented:?}, {attempts:?}");
        for (attempt, presentation) in sent.iter().zip(&presented) {
            let recorded = attempt.dispatched_at.div_euclid(1000);
            assert!(recorded <= presentation.at_ms, "I2: {name}: presented before it was recorded");
        }
    }
}

/// I6: what the broker calls idle is the provider's live token.
fn stands(known: &Known, grant: &Grant, simulator: &Simulator) -> bool {
    if grant.state != "idle" {
        return false;
    }
    let live = simulator.live_pair(&known.grant_id).map(|pair| known.first + pair.generation);
    assert_eq!(
        live,
        Some(grant.generation),
        "I6: {}: idle, and the provider holds another token",
        known.name
    );
    true
}

/// A connection that needs a person is one whose last attempt is open, was rejected, brought no refresh token, or
/// was refused too often.
fn explained(known: &Known, grant: &Grant) {
    let about = grant.attempt.as_ref().and_then(|id| grant.attempts.iter().find(|attempt| attempt.id == *id));
    let explained = match (grant.state.as_str(), about) {
        ("in_doubt", Some(attempt)) => attempt.outcome.is_none(),
        ("reauth_required", Some(attempt)) => {
            attempt.outcome.is_none() || attempt.is("rejected") || attempt.is("refused")
        }
        ("reauth_required", None) => grant.attempts.last().is_some_and(|attempt| attempt.is("settled")),
        _ => false,
    };
    assert!(explained, "{}: lost without an explanation: {grant:?}", known.name);
}

/// The checker must be able to say no.
mod doctored {
    use super::{Attempt, Grant, Known, account, explained};
    use crate::harness::presented::presented;

    fn known() -> Known {
        let [name, grant_id, refresh_token] = ["c", "g", "t"].map(str::to_owned);
        Known { name, grant_id, first: 1, at: 0, reachable: true, refresh_token }
    }

    /// A grant at generation 1, whose attempts were recorded at second 1 and came to this.
    fn grant(state: &str, outcomes: &[Option<&str>]) -> Grant {
        let attempt = |outcome: Option<&str>| Attempt {
            id: "a".to_owned(),
            generation: 1,
            dispatched_at: 1_000_000,
            outcome: outcome.map(str::to_owned),
        };
        let (attempt, attempts) = (Some("a".to_owned()), outcomes.iter().copied().map(attempt).collect());
        Grant {
            generation: 1,
            state: state.to_owned(),
            attempt,
            not_before: None,
            attempts,
            events: Vec::new(),
        }
    }

    #[test]
    fn a_refusal_frees_the_token_once() {
        account(&known(), &grant("in_doubt", &[Some("refused"), None]), &[presented(2000), presented(3000)]);
        explained(&known(), &grant("in_doubt", &[None]));
    }

    #[test]
    #[should_panic(expected = "I1")]
    fn a_second_presentation_is_noticed() {
        account(&known(), &grant("in_doubt", &[None]), &[presented(2000), presented(3000)]);
    }

    #[test]
    #[should_panic(expected = "I2")]
    fn a_presentation_of_what_was_not_sent_is_noticed() {
        account(&known(), &grant("idle", &[Some("not_sent")]), &[presented(2000)]);
    }

    #[test]
    #[should_panic(expected = "I2")]
    fn a_presentation_without_a_record_is_noticed() {
        account(&known(), &grant("idle", &[]), &[presented(2000)]);
    }

    #[test]
    #[should_panic(expected = "before it was recorded")]
    fn a_presentation_before_its_record_is_noticed() {
        account(&known(), &grant("in_doubt", &[None]), &[presented(999)]);
    }

    #[test]
    #[should_panic(expected = "lost without an explanation")]
    fn an_unexplained_loss_is_noticed() {
        explained(&known(), &grant("reauth_required", &[Some("not_sent")]));
    }
}
