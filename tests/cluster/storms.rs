//! F14, F15, F24, F27: many callers at once, callers that leave, a secret that is reset, everything due at once.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use procore_simulator::{Environment, Hold, Outcome, RefusalKind};
use redis::cmd;

use crate::harness::{Fleet, GUARD, Launch, Setup, guarded, table, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_replicas_of_one_name() {
    let mut fleet = Fleet::start(Setup { replicas: 1, ..Setup::default() }).await;
    for place in ["twin-a", "twin-b"] {
        let replica = fleet.add(place, "twin").await;
        fleet.launch(replica, &Launch::default()).await;
    }
    let app = fleet.proven_app().await;
    let known = [fleet.connection(&fleet.caller(0).await, &app, "wanted").await];
    let callers = join_all((0..12).map(|index| fleet.caller(index % 3))).await;
    let callers: Vec<_> = callers.iter().cycle().take(1000).cloned().collect();
    let answered = fleet.ask(&callers, &known).all_served().await;
    let presented = fleet.presented(&known);
    assert_eq!(presented, 1);
    fleet.finish().await.lossless();
    table(
        "F14: 1000 callers at 3 replicas, two of them of one name",
        ["callers answered", "presentations"],
        [[answered.to_string(), presented.to_string()]],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_outlives_its_callers_everywhere() {
    let fleet = Fleet::start(Setup::default()).await;
    let app = fleet.proven_app().await;
    let known = fleet.connection(&fleet.caller(0).await, &app, "left").await;
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let callers = fleet.callers().await;
    let hurried = callers.iter().cycle().take(60);
    let hurried = hurried.map(|caller| caller.token_within(&known.name, Duration::from_millis(10)));
    let hurried = guarded("deadlines pass", join_all(hurried)).await;
    assert!(hurried.iter().all(Result::is_err), "somebody got a token that nobody has");
    let known = [known];
    let mut gone = Vec::new();
    for caller in callers.iter().cycle().take(60) {
        let (caller, name) = (caller.clone(), known[0].name.clone());
        gone.push(tokio::spawn(async move { caller.token(&name).await.is_ok() }));
    }
    fleet.all_presented(&known).await;
    gone.iter().for_each(tokio::task::JoinHandle::abort);
    drop(callers);
    fleet.simulator.release();
    until("it settles without them", async || {
        fleet.rows().await.grants[&known[0].name].generation > known[0].first()
    })
    .await;
    let presented = fleet.presented(&known);
    assert_eq!(presented, 1);
    fleet.finish().await.lossless();
    let row = [hurried.len() + gone.len(), presented].map(|count| count.to_string());
    table("F15: callers of 3 replicas leave", ["left", "presentations"], [row]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_secret_costs_what_is_in_flight_in_the_fleet() {
    const DUE: usize = 60;
    const IN_FLIGHT: u32 = 4;
    let setup = Setup {
        change: |config| {
            config.refresh.in_flight_per_client = IN_FLIGHT;
            config.refresh.in_flight_per_client_fleet = IN_FLIGHT;
        },
        ..Setup::default()
    };
    let fleet = Fleet::start(setup).await;
    fleet.simulator.knobs(|knobs| {
        knobs.secret_reset_kills_refresh_tokens = false;
        knobs.consume_on_failed_refresh = [].into();
    });
    let app = fleet.proven_app().await;
    let caller = fleet.caller(0).await;
    let known = fleet.connections(&caller, &app, "due", DUE).await;
    let reset = fleet.simulator.reset_secret(Environment::Sandbox, &app.client.client_id).unwrap();
    let before = fleet.simulator.log().last().map_or(0, |seen| seen.seq);
    let calls = fleet.insist(&fleet.callers().await, &known);
    let refused = |grant_type: &str| {
        let log = fleet.simulator.log_since(before).into_iter();
        let refused = Outcome::Refused(RefusalKind::InvalidClient);
        log.filter(|seen| seen.grant_type.as_deref() == Some(grant_type) && seen.outcome == refused).count()
    };
    until("the breaker was half-open five times", async || refused("client_credentials") >= 5).await;
    let spent = refused("refresh_token");
    assert!((1..=3 * IN_FLIGHT as usize).contains(&spent), "{spent} presentations with a dead secret");
    caller.rotate_secret(&app.name, &reset.client_secret).await;
    let answered = calls.all_served().await;
    let trials = refused("client_credentials");
    fleet.finish().await.lossless();
    let row = [DUE, spent, trials, answered].map(|count| count.to_string());
    table(
        "F24: the secret is reset under 3 replicas, 4 in flight",
        ["due", "presented with the dead secret", "harmless trials", "callers answered"],
        [row],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_due_at_once() {
    const DUE: usize = 60;
    const IN_FLIGHT: u32 = 6;
    let setup =
        Setup { change: |config| config.refresh.in_flight_per_client_fleet = IN_FLIGHT, ..Setup::default() };
    let fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "due", DUE).await;
    fleet.simulator.knobs(|knobs| knobs.latency_ms = 100);
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let calls = fleet.insist(&fleet.callers().await, &known);
    let redis = fleet.redis.as_ref().unwrap();
    let slots = async || {
        let keys: Vec<String> = redis.run(cmd("KEYS").arg("*:slots:*")).await;
        match keys.first() {
            Some(key) => redis.run::<usize>(cmd("ZCARD").arg(key)).await,
            None => 0,
        }
    };
    until("the caps are reached", async || {
        fleet.presented(&known) >= IN_FLIGHT as usize && slots().await >= IN_FLIGHT as usize
    })
    .await;
    let held = fleet.presented(&known);
    assert_eq!(held, IN_FLIGHT as usize, "I7");
    fleet.simulator.release();
    let answered = calls.all_served().await;
    let presented = fleet.presented(&known);
    assert_eq!(presented, DUE);
    let mut by_replica = BTreeMap::<_, usize>::new();
    for grant in fleet.rows().await.grants.values() {
        for attempt in &grant.attempts {
            *by_replica.entry(attempt.replica.clone()).or_default() += 1;
        }
    }
    fleet.finish().await.lossless();
    let row = [
        DUE.to_string(),
        held.to_string(),
        answered.to_string(),
        presented.to_string(),
        format!("{by_replica:?}"),
    ];
    table(
        "F27: everything is due at once, 6 in flight in the fleet",
        ["due", "at the provider at once", "callers answered", "presentations", "attempts by replica"],
        [row],
    );
}

/// Far more is due than a replica may do at once. What it cannot do yet another does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_for_whoever_can_use_it() {
    const DUE: usize = 24;
    const IN_FLIGHT: usize = 4;
    let setup = Setup {
        replicas: 2,
        change: |config| {
            config.refresh.in_flight_per_client = 4;
            // The provider is held for as long as it takes.
            config.refresh.total_timeout = GUARD;
            config.refresh.holder_lost_after = 2 * GUARD;
        },
        ..Setup::default()
    };
    let fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "due", DUE).await;
    fleet.simulator.hold_token_requests(Hold::BeforeProcessing);
    let first = fleet.insist(&[fleet.caller(0).await], &known);
    until("one replica does what it may", async || fleet.presented(&known) == IN_FLIGHT).await;
    let leases: Vec<String> = fleet.redis.as_ref().unwrap().run(cmd("KEYS").arg("*:lease:*")).await;
    assert!(leases.len() <= IN_FLIGHT, "{} connections are kept from the other replica", leases.len());
    let second = fleet.insist(&[fleet.caller(1).await], &known);
    until("the other does as much", async || fleet.presented(&known) == 2 * IN_FLIGHT).await;
    fleet.simulator.release();
    let answered = first.all_served().await + second.all_served().await;
    let presented = fleet.presented(&known);
    assert_eq!(presented, DUE);
    fleet.finish().await.lossless();
    let row = [DUE, IN_FLIGHT, leases.len(), answered, presented].map(|count| count.to_string());
    table(
        "F27: more is due than may be in flight, 2 replicas",
        ["due", "cap per replica", "leases of one", "callers answered", "presentations"],
        [row],
    );
}
