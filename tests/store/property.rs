//! The SQL cannot drift from the model that was checked: the same random operations on the model and on a store give
//! the same answers and leave the same grants, attempts, events and floors.

use std::time::Duration;

use proptest::{
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};
use token_broker::{
    model::{
        AttemptId, Closing, Connection, ConnectionUid, Generation, GrantFacts, State, Successor, SweepPolicy,
        Timestamp, Tokens,
    },
    store::Store,
};
use uuid::Uuid;

use crate::fixtures::{
    self, Fixture, TENANT, access, at, attempt, burn, connection, furnish, new_pair, nonce, token,
};

const STEPS: std::ops::Range<usize> = 40..60;
const NAMES: u8 = 3;
const ATTEMPTS: u8 = 24;
const TOKENS: u8 = 16;

/// A connection by its name: the newest of it, or (the point of tombstones) one before.
#[derive(Clone, Copy, Debug)]
struct Target {
    name: u8,
    ago: usize,
}

/// An attempt: one from a small pool, the one that a grant waits for, or one of its newest.
#[derive(Clone, Copy, Debug)]
enum Which {
    Pool(u8),
    Current(Target),
    Recent(Target, usize),
}

#[derive(Clone, Copy, Debug)]
enum Refresh {
    Rotated(u8),
    Unchanged,
    Missing,
}

/// Generations and epochs are relative to the grant's: 0 is right, everything else stale or ahead.
#[derive(Clone, Debug)]
enum Op {
    Create(u8, u64),
    Delete(u8, u64),
    Burn(Target, Which, i64),
    Take(Which, u8),
    Resolve(Target, Which, i64),
    Settle(Which, Option<u8>, Refresh),
    Conclude(Which, Ending),
    Permit(Which, u8),
    Reauthorise(Target, i64, i64, u8),
    Revoke(Target),
    Quarantine(Target, Option<Which>),
    ResolveDoubt(Target),
    Adopt(Target, Which, i64, Option<u8>, Refresh),
    Sweep(u8, u8),
    Wait(u8),
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    NotSent,
    Refused(u8),
    Rejected,
    Unknown,
}

fn target() -> impl Strategy<Value = Target> {
    // The first name gets the long histories.
    let name = prop_oneof![3 => Just(0), 1 => 0..NAMES];
    (name, prop_oneof![9 => Just(0), 1 => 1..3_usize]).prop_map(|(name, ago)| Target { name, ago })
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        1 => (0..ATTEMPTS).prop_map(Which::Pool),
        4 => target().prop_map(Which::Current),
        4 => (target(), 0..5_usize).prop_map(|(target, n)| Which::Recent(target, n)),
    ]
}

fn fresh() -> impl Strategy<Value = Which> {
    prop_oneof![8 => (0..ATTEMPTS).prop_map(Which::Pool), 1 => which()]
}

/// Coarse, so that moments meet.
fn pause() -> impl Strategy<Value = u8> {
    (0..=6_u8).prop_map(|n| n * 20)
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(-1)]
}

fn refresh() -> impl Strategy<Value = Refresh> {
    prop_oneof![6 => (0..TOKENS).prop_map(Refresh::Rotated), 1 => Just(Refresh::Unchanged), 1 => Just(Refresh::Missing)]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        2 => Just(Ending::NotSent),
        3 => pause().prop_map(Ending::Refused),
        1 => Just(Ending::Rejected),
        4 => Just(Ending::Unknown),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let life = || option::weighted(0.7, pause());
    prop_oneof![
        2 => (0..NAMES, 0..3_u64).prop_map(|(name, above)| Op::Create(name, above)),
        1 => (0..NAMES, 0..6_u64).prop_map(|(name, generation)| Op::Delete(name, generation)),
        12 => (target(), fresh(), offset()).prop_map(|(t, w, g)| Op::Burn(t, w, g)),
        2 => (which(), 0..ATTEMPTS).prop_map(|(w, n)| Op::Take(w, n)),
        2 => (target(), which(), offset()).prop_map(|(t, w, g)| Op::Resolve(t, w, g)),
        5 => (which(), life(), refresh()).prop_map(|(w, a, r)| Op::Settle(w, a, r)),
        12 => (which(), ending()).prop_map(|(w, e)| Op::Conclude(w, e)),
        4 => (which(), pause()).prop_map(|(w, window)| Op::Permit(w, window)),
        3 => (target(), select(vec![-1, 0, 1, 1, 1, 1, 2, 5]), offset(), 0..TOKENS)
            .prop_map(|(t, g, e, n)| Op::Reauthorise(t, g, e, n)),
        1 => target().prop_map(Op::Revoke),
        2 => (target(), option::of(which())).prop_map(|(t, w)| Op::Quarantine(t, w)),
        1 => target().prop_map(Op::ResolveDoubt),
        2 => (target(), fresh(), offset(), option::weighted(0.2, 0..TOKENS), refresh())
            .prop_map(|(t, w, g, p, r)| Op::Adopt(t, w, g, p, r)),
        3 => (pause(), pause()).prop_map(|(lost, grace)| Op::Sweep(lost, grace)),
        6 => pause().prop_map(Op::Wait),
    ]
}

/// What the operations are relative to, as the model has it.
struct World {
    now: i64,
    /// By name, every connection that ever had it.
    lives: [Vec<Connection>; NAMES as usize],
    made: u128,
}

impl World {
    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn uid(&self, target: Target) -> ConnectionUid {
        let lives = &self.lives[usize::from(target.name)];
        let found = lives.len().checked_sub(1 + target.ago).and_then(|n| lives.get(n));
        found.map_or(ConnectionUid(Uuid::from_u128(9999)), |connection| connection.uid)
    }

    async fn grant(&self, model: &impl Store, target: Target) -> Option<GrantFacts> {
        model.grant(TENANT, self.uid(target)).await.unwrap()
    }

    async fn attempt(&self, model: &impl Store, which: Which) -> AttemptId {
        match which {
            Which::Pool(n) => attempt(n.into()),
            Which::Current(target) => {
                let current = self.grant(model, target).await.and_then(|grant| grant.state.attempt());
                current.unwrap_or(attempt(0))
            }
            Which::Recent(target, n) => {
                let attempts = model.attempts(TENANT, self.uid(target), 100).await.unwrap();
                attempts.get(n).map_or(attempt(0), |attempt| attempt.burn.attempt)
            }
        }
    }
}

/// Makes the operation concrete, applies it to both and compares what they answer.
macro_rules! both {
    ($model:ident, $store:ident, |$it:ident| $call:expr) => {{
        let expected = {
            let $it = $model;
            $call.await.unwrap()
        };
        let actual = {
            let $it = $store;
            $call.await.unwrap()
        };
        prop_assert_eq!(actual, expected, "the answer");
    }};
}

fn relative(base: u64, offset: i64) -> u64 {
    base.saturating_add_signed(offset)
}

fn tokens(life: Option<u8>, refresh: Refresh, now: Timestamp) -> Tokens {
    Tokens {
        access: life.map(|life| access(life, now.plus(Duration::from_secs(life.into())))),
        refresh: match refresh {
            Refresh::Rotated(n) => Successor::Rotated(token(n)),
            Refresh::Unchanged => Successor::Unchanged,
            Refresh::Missing => Successor::Missing,
        },
    }
}

fn seconds(n: u8) -> Duration {
    Duration::from_secs(n.into())
}

async fn apply(
    world: &mut World,
    model: &impl Store,
    store: &impl Store,
    op: Op,
) -> Result<(), TestCaseError> {
    let now = world.now();
    match op {
        Op::Create(name, above) => {
            let mut new = connection(&format!("c{name}"), world.made + 1);
            let floor = model.generation_floor(&new.name).await.unwrap();
            new.generation_floor = Generation(floor.0 + above);
            both!(model, store, |s| s.create_connection(&new));
            if model.connection(&new.name).await.unwrap().as_ref() == Some(&new) {
                world.made += 1;
                world.lives[usize::from(name)].push(new);
            }
        }
        Op::Delete(name, generation) => {
            let name = connection(&format!("c{name}"), 1).name;
            both!(model, store, |s| s.delete_connection(&name, None, Generation(generation), now));
        }
        Op::Burn(target, which, offset) | Op::Resolve(target, which, offset) => {
            let grant = world.grant(model, target).await;
            let mut intent = burn(0, relative(grant.map_or(1, |grant| grant.generation.0), offset));
            intent.attempt = world.attempt(model, which).await;
            intent.nonce = nonce(intent.attempt.0.as_bytes()[15]).hash();
            let uid = world.uid(target);
            if matches!(op, Op::Burn(..)) {
                both!(model, store, |s| s.burn(TENANT, uid, intent.clone(), now));
            } else {
                both!(model, store, |s| s.resolve_burn(TENANT, uid, intent.clone(), now));
            }
        }
        Op::Take(which, n) => {
            let attempt = world.attempt(model, which).await;
            both!(model, store, |s| s.take(TENANT, attempt, nonce(n)));
        }
        Op::Settle(which, life, refresh) => {
            let attempt = world.attempt(model, which).await;
            both!(model, store, |s| s.settle(TENANT, attempt, tokens(life, refresh, now), now));
        }
        Op::Conclude(which, ending) => {
            let attempt = world.attempt(model, which).await;
            let closing = match ending {
                Ending::NotSent => Closing::NotSent,
                Ending::Refused(after) => Closing::Refused { not_before: now.plus(seconds(after)) },
                Ending::Rejected => Closing::Rejected,
                Ending::Unknown => Closing::Unknown,
            };
            both!(model, store, |s| s.conclude(TENANT, attempt, closing, now));
        }
        Op::Permit(which, window) => {
            let attempt = world.attempt(model, which).await;
            both!(model, store, |s| s.permit_replay(TENANT, attempt, now.plus(seconds(window)), now));
        }
        Op::Reauthorise(target, generation, epoch, n) => {
            let grant = world.grant(model, target).await;
            let (base, at_epoch) = grant.map_or((1, 0), |grant| (grant.generation.0, grant.revoke_epoch.0));
            let mut new = new_pair(relative(base, generation), relative(at_epoch, epoch), token(n));
            new.access = Some(access(n, now.plus(seconds(n * 10))));
            new.holder_lost_after = seconds(60);
            let uid = world.uid(target);
            both!(model, store, |s| s.reauthorise(TENANT, uid, new.clone(), now));
        }
        Op::Revoke(target) => {
            let uid = world.uid(target);
            both!(model, store, |s| s.revoke(TENANT, uid, now));
        }
        Op::ResolveDoubt(target) => {
            let uid = world.uid(target);
            both!(model, store, |s| s.resolve(TENANT, uid, now));
        }
        Op::Quarantine(target, which) => {
            let attempt = match which {
                Some(which) => Some(world.attempt(model, which).await),
                None => None,
            };
            let uid = world.uid(target);
            both!(model, store, |s| s.quarantine(TENANT, uid, attempt, now));
        }
        Op::Adopt(target, which, offset, parent, refresh) => {
            let grant = world.grant(model, target).await;
            let held = grant.as_ref().and_then(|grant| grant.fingerprint);
            let parent = parent.map(|n| token(n).fingerprint).or(held).unwrap_or(token(0).fingerprint);
            let mut intent = burn(0, relative(grant.map_or(1, |grant| grant.generation.0), offset));
            intent.attempt = world.attempt(model, which).await;
            let (uid, tokens) = (world.uid(target), tokens(Some(9), refresh, now));
            both!(model, store, |s| s.adopt(TENANT, uid, intent.clone(), parent, tokens.clone(), now));
        }
        Op::Sweep(lost, grace) => {
            let policy = SweepPolicy { holder_lost_after: seconds(lost), doubt_grace: seconds(grace) };
            both!(model, store, |s| s.sweep(policy, now));
        }
        Op::Wait(seconds) => world.now += i64::from(seconds),
    }
    Ok(())
}

async fn compare(world: &World, model: &impl Store, store: &impl Store) -> Result<(), TestCaseError> {
    for connection in world.lives.iter().flatten() {
        let uid = connection.uid;
        both!(model, store, |s| s.grant(TENANT, uid));
        both!(model, store, |s| s.attempts(TENANT, uid, 100));
        both!(model, store, |s| s.events(TENANT, uid, 100));
        if let Some(State::Dispatched { attempt, .. }) =
            model.grant(TENANT, uid).await.unwrap().map(|grant| grant.state)
        {
            both!(model, store, |s| s.take(TENANT, attempt, nonce(attempt.0.as_bytes()[15])));
        }
    }
    for name in 0..NAMES {
        let name = connection(&format!("c{name}"), 1).name;
        both!(model, store, |s| s.generation_floor(&name));
        both!(model, store, |s| s.connection(&name));
        both!(model, store, |s| s.connection_and_client(&name));
    }
    Ok(())
}

async fn run(model: &impl Store, store: &impl Store, ops: Vec<Op>) -> Result<(), TestCaseError> {
    furnish(model).await;
    furnish(store).await;
    let mut world = World { now: 0, lives: Default::default(), made: 0 };
    let beginning = (0..NAMES).flat_map(|name| {
        let target = Target { name, ago: 0 };
        [Op::Create(name, 0), Op::Reauthorise(target, 0, 0, name)]
    });
    for op in beginning.chain(ops) {
        apply(&mut world, model, store, op).await?;
        compare(&world, model, store).await?;
    }
    Ok(())
}

/// Runs the same operations on the model and on a new store, `cases` times. A failure is made smaller by at most
/// `shrinks` further runs.
fn hold<S: Store>(cases: u32, shrinks: u32, new: impl AsyncFn() -> Fixture<S>) {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(4711),
        failure_persistence: None,
        max_shrink_iters: shrinks,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ops = proptest::collection::vec(op(), STEPS);
    let checked = TestRunner::new(config).run(&ops, |ops| {
        runtime.block_on(async {
            let (model, other) = (fixtures::memory().await, new().await);
            run(&model.store, &other.store, ops).await
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn sqlite_does_what_the_model_does() {
    hold(400, 2000, fixtures::sqlite);
}

#[test]
fn postgres_does_what_the_model_does() {
    hold(60, 100, fixtures::postgres);
}
