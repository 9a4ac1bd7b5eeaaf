//! What is explored: each configuration to its end, with the least number of states that it must have.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};
use token_broker::model::{Delays, ReplayPolicy};

use crate::mutations::Mutation;
use crate::properties::{self, DOUBT, KEPT_ORPHAN, PERSON, QUARANTINE, REPLAYED, ROTATION, TOMBSTONE};
use crate::protocol::Protocol;
use crate::provider::Mode;
use crate::world::{Budget, LATE, Rules};

#[derive(Clone, Copy)]
pub struct Configuration {
    name: &'static str,
    rules: Rules,
    budget: Budget,
    /// What must be seen to happen.
    reached: &'static [&'static str],
    /// Fewer unique states than this mean that a change has cut something off.
    floor: usize,
}

/// In the model nothing takes time: what is in flight is in flight.
pub const NO_DELAY: Delays = Delays {
    body_deadline: Duration::ZERO,
    total_timeout: Duration::ZERO,
    longest_processing: Duration::ZERO,
};

const STRICT: Rules = Rules {
    replicas: 2,
    witness: false,
    medium: true,
    provider: Mode::Strict,
    policy: ReplayPolicy::Never,
    horizon: 0,
    mutation: None,
};

pub fn core() -> Configuration {
    Configuration {
        name: "core",
        rules: STRICT,
        budget: Budget {
            attempts: 3,
            crashes: 1,
            losses: 2,
            refusals: 1,
            reauthorisations: 1,
            revocations: 1,
            disconnects: 1,
            ..Budget::default()
        },
        reached: &[DOUBT, PERSON, ROTATION, KEPT_ORPHAN],
        floor: 300_000,
    }
}

fn core_with_three_replicas() -> Configuration {
    Configuration {
        name: "core, 3 replicas",
        rules: Rules { replicas: 3, ..STRICT },
        budget: Budget {
            attempts: 3,
            crashes: 1,
            losses: 1,
            refusals: 1,
            reauthorisations: 1,
            revocations: 1,
            ..Budget::default()
        },
        reached: &[DOUBT, PERSON, ROTATION, KEPT_ORPHAN],
        floor: 200_000,
    }
}

pub fn reauthorisation() -> Configuration {
    Configuration {
        name: "two-step re-authorisation with epoch",
        rules: STRICT,
        budget: Budget {
            attempts: 2,
            crashes: 1,
            reauthorisations: 2,
            revocations: 2,
            disconnects: 1,
            ..Budget::default()
        },
        reached: &[PERSON, ROTATION, KEPT_ORPHAN],
        floor: 400_000,
    }
}

pub fn ambiguous() -> Configuration {
    Configuration {
        name: "ambiguous burn with tombstone",
        rules: STRICT,
        budget: Budget {
            attempts: 3,
            ambiguous: 2,
            crashes: 1,
            losses: 1,
            reauthorisations: 1,
            ..Budget::default()
        },
        reached: &[DOUBT, PERSON, ROTATION, TOMBSTONE],
        floor: 300_000,
    }
}

pub fn witness() -> Configuration {
    Configuration {
        name: "witness without failover, 3 replicas",
        rules: Rules { replicas: 3, witness: true, ..STRICT },
        budget: Budget {
            attempts: 3,
            crashes: 1,
            losses: 1,
            refusals: 1,
            reauthorisations: 1,
            ..Budget::default()
        },
        reached: &[DOUBT, PERSON, ROTATION],
        floor: 250_000,
    }
}

pub fn failover() -> Configuration {
    Configuration {
        name: "failover losing up to 3 commits",
        rules: Rules { witness: true, horizon: 3, ..STRICT },
        budget: Budget { attempts: 3, crashes: 1, losses: 1, refusals: 1, failovers: 2, ..Budget::default() },
        reached: &[DOUBT, QUARANTINE, ROTATION],
        floor: 170_000,
    }
}

pub fn failover_with_three_replicas() -> Configuration {
    Configuration {
        name: "failover losing up to 3 commits, 3 replicas",
        rules: Rules { replicas: 3, witness: true, horizon: 3, ..STRICT },
        budget: Budget { attempts: 4, failovers: 1, losses: 1, ..Budget::default() },
        reached: &[DOUBT, QUARANTINE, ROTATION],
        floor: 100_000,
    }
}

fn failover_and_revocation() -> Configuration {
    Configuration {
        name: "failover that forgets a revocation",
        rules: Rules { witness: true, horizon: 2, ..STRICT },
        budget: Budget {
            attempts: 3,
            crashes: 1,
            losses: 1,
            revocations: 1,
            failovers: 1,
            ..Budget::default()
        },
        reached: &[QUARANTINE, ROTATION, KEPT_ORPHAN],
        floor: 60_000,
    }
}

fn failover_and_reauthorisation() -> Configuration {
    Configuration {
        name: "failover that forgets a re-authorisation",
        rules: Rules { witness: true, horizon: 2, ..STRICT },
        budget: Budget { attempts: 3, losses: 1, reauthorisations: 1, failovers: 1, ..Budget::default() },
        reached: &[QUARANTINE, ROTATION, KEPT_ORPHAN],
        floor: 400_000,
    }
}

fn witness_and_people() -> Configuration {
    Configuration {
        name: "witness, re-authorisation and revocation",
        rules: Rules { witness: true, ..STRICT },
        budget: Budget { attempts: 2, reauthorisations: 2, revocations: 1, ..Budget::default() },
        reached: &[DOUBT, PERSON, ROTATION],
        floor: 600_000,
    }
}

fn embedded() -> Configuration {
    Configuration {
        name: "one medium only",
        rules: Rules { medium: false, ..STRICT },
        budget: Budget {
            attempts: 4,
            crashes: 2,
            losses: 2,
            refusals: 1,
            reauthorisations: 1,
            ..Budget::default()
        },
        reached: &[DOUBT, PERSON, ROTATION],
        floor: 200_000,
    }
}

fn reusable() -> Configuration {
    Configuration {
        name: "replay of a reusable token",
        rules: Rules { horizon: 1, provider: Mode::Reusable, policy: ReplayPolicy::Reusable, ..STRICT },
        budget: Budget { attempts: 4, crashes: 1, losses: 2, ..Budget::default() },
        reached: &[DOUBT, ROTATION, REPLAYED],
        floor: 200_000,
    }
}

pub fn until_successor_used() -> Configuration {
    Configuration {
        name: "replay until the successor is used",
        rules: Rules {
            horizon: 1,
            provider: Mode::UntilSuccessorUsed,
            policy: ReplayPolicy::UntilSuccessorUsed,
            ..STRICT
        },
        budget: Budget { attempts: 4, crashes: 1, losses: 2, ..Budget::default() },
        reached: &[DOUBT, ROTATION, REPLAYED, KEPT_ORPHAN],
        floor: 280_000,
    }
}

fn timed_window() -> Configuration {
    let length = LATE.since(token_broker::model::Timestamp::default());
    Configuration {
        name: "replay in a timed window",
        rules: Rules {
            horizon: 1,
            provider: Mode::Timed,
            policy: ReplayPolicy::TimedWindow { length },
            ..STRICT
        },
        budget: Budget { attempts: 3, crashes: 1, losses: 1, ticks: 1, ..Budget::default() },
        reached: &[DOUBT, PERSON, ROTATION, REPLAYED],
        floor: 120_000,
    }
}

/// Explores everything: no property may be violated, and what the configuration is there for must happen.
fn holds(configuration: Configuration) {
    let Configuration { name, rules, budget, reached, floor } = configuration;
    let started = Instant::now();
    let model = Protocol { rules, budget };
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    report(&format!("{name} | {states} states | holds | depth {depth}"), started);
    let found = checker.discoveries();
    for property in properties::all() {
        if let (Expectation::Always, Some(path)) = (property.expectation, found.get(property.name)) {
            panic!("{name}: {}\n{path}", property.name);
        }
    }
    for seen in reached {
        assert!(found.contains_key(seen), "{name}: never seen: {seen}");
    }
    assert!(states >= floor, "{name}: {states} states, fewer than {floor}");
}

/// Explores until the mutation is caught by this very property.
pub fn violated(configuration: Configuration, mutation: Mutation, property: &'static str) {
    let Configuration { name, mut rules, budget, .. } = configuration;
    rules.mutation = Some(mutation);
    rules.witness &= mutation != Mutation::FailoverWithoutWitness;
    let started = Instant::now();
    let checker = Protocol { rules, budget }
        .checker()
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])))
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    let Some(path) = checker.discovery(property) else {
        panic!("{mutation:?} is not caught in \"{name}\": {property} ({states} states)");
    };
    let steps = path.into_actions().len();
    report(&format!("{mutation:?} | {name} | {states} states | {property} | {steps} steps"), started);
}

#[expect(clippy::print_stdout, reason = "the table of what was explored")]
fn report(line: &str, started: Instant) {
    println!("{line} | {:.1} s", started.elapsed().as_secs_f64());
}

macro_rules! holds {
    ($($name:ident: $configuration:ident;)*) => {$(
        #[test]
        fn $name() {
            holds($configuration());
        }
    )*};
}

holds! {
    core_holds: core;
    core_with_three_replicas_holds: core_with_three_replicas;
    reauthorisation_holds: reauthorisation;
    ambiguous_burn_holds: ambiguous;
    witness_holds: witness;
    failover_holds: failover;
    failover_with_three_replicas_holds: failover_with_three_replicas;
    failover_and_revocation_holds: failover_and_revocation;
    failover_and_reauthorisation_holds: failover_and_reauthorisation;
    witness_and_people_holds: witness_and_people;
    embedded_holds: embedded;
    reusable_holds: reusable;
    until_successor_used_holds: until_successor_used;
    timed_window_holds: timed_window;
}
