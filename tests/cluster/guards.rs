//! Guards of the heart that other faults would not miss: each has a mutation (`scripts/mutations/6_fleet.toml`).

use std::time::Duration;

use procore_simulator::Hold;
use redis::cmd;
use token_broker_proto::v1::standing::Breaker;

use crate::{
    harness::{Fleet, GUARD, Launch, Setup, until},
    restores::{copied, forget, idle},
};

/// Long enough for what must not happen to happen.
const A_WHILE: Duration = Duration::from_millis(300);

/// What another medium has is not waited for: whoever drains that one settles it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_leaves_while_the_database_is_away() {
    let mut fleet = Fleet::start(Setup { own_postgres: Some(""), ..Setup::default() }).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(1).await, &app, "in-flight", 3).await;
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let calls = fleet.ask(&[fleet.caller(0).await], &known);
    fleet.all_presented(&known).await;
    fleet.cluster.as_ref().unwrap().stop();
    fleet.simulator.release();
    calls.all_served().await;
    let ending = fleet.replicas[0].ending();
    ending.stop().await;
    fleet.cluster.as_ref().unwrap().restart();
    until("others settle it", async || idle(&fleet, &known, 1).await == known.len()).await;
    assert_eq!(fleet.presented(&known), known.len());
    fleet.finish().await.lossless();
}

/// Nobody ran when the database was replaced, and nothing is pending: everything is offered at the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_forgets_while_nobody_watches_is_reminded() {
    let (mut fleet, known) = copied(true).await;
    fleet.insist(&fleet.callers().await, &known).all_served().await;
    until("everything is settled", async || {
        idle(&fleet, &known, 1).await == known.len() && fleet.escrowed().await == 0
    })
    .await;
    for replica in 0..fleet.replicas.len() {
        fleet.replicas[replica].ending().stop().await;
    }
    forget(&mut fleet).await;
    assert_eq!(idle(&fleet, &known, 0).await, known.len(), "it has forgotten");
    for replica in 0..fleet.replicas.len() {
        fleet.launch(replica, &Launch::default()).await;
    }
    until("everything is known again", async || idle(&fleet, &known, 1).await == known.len()).await;
    assert_eq!(fleet.presented(&known), known.len());
    fleet.finish().await.lossless();
}

/// Where nothing harmless proves a secret, one refresh of the whole fleet does; everybody else waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_canary_for_the_whole_fleet() {
    let setup = Setup {
        change: |config| {
            config.profiles[0].insert("client_credentials".to_owned(), false.into());
            config.refresh.total_timeout = GUARD;
            config.refresh.holder_lost_after = 2 * GUARD;
        },
        ..Setup::default()
    };
    let fleet = Fleet::start(setup).await;
    fleet.with_redis(true).await;
    let callers = fleet.callers().await;
    fleet.tenant(&callers[0]).await;
    let app = fleet.app(&callers[0], "app").await;
    let known = fleet.connections(&callers[0], &app, "wanted", 6).await;
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    // Each has connections of its own: nobody waits for another's lease.
    let shares = callers.iter().zip(known.chunks(2));
    let calls: Vec<_> =
        shares.map(|(caller, share)| fleet.insist(std::slice::from_ref(caller), share)).collect();
    for caller in &callers {
        until("it has a trial of its own", async || {
            caller.standing(&app.name).await.breaker() == Breaker::HalfOpen
        })
        .await;
    }
    let scripts = async || {
        let statistics: String = fleet.redis.as_ref().unwrap().run(cmd("INFO").arg("commandstats")).await;
        let of =
            |line: &str| line.strip_prefix("cmdstat_eval:calls=")?.split(',').next()?.parse::<u64>().ok();
        statistics.lines().find_map(of).unwrap_or_default()
    };
    let before = scripts().await;
    until("the others have asked again", async || scripts().await > before + 12).await;
    assert_eq!(fleet.presented(&known), 1, "with a secret that nobody knows to be good");
    fleet.simulator.release();
    for calls in calls {
        calls.all_served().await;
    }
    assert_eq!(fleet.presented(&known), known.len());
    fleet.finish().await.lossless();
}

/// A connection is another replica's: whoever waits for it here keeps no room from the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_another_replica_holds_no_permit() {
    let setup =
        Setup { replicas: 1, change: |config| config.refresh.in_flight_per_client = 1, ..Setup::default() };
    let (fleet, holder, app) = Fleet::with_holder(setup, "connected").await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "held", 2).await;
    let held = fleet.insist(&[fleet.caller(holder).await], &known[..1]);
    until("it has its lease", async || fleet.replicas[holder].reached() > 0).await;
    let waiting = fleet.insist(&[fleet.caller(0).await], &known[..1]);
    tokio::time::sleep(A_WHILE).await;
    fleet.ask(&[fleet.caller(0).await], &known[1..]).all_served().await;
    assert_eq!(fleet.presented(&known[..1]), 0, "the other one is still held");
    fleet.replicas[holder].let_go();
    held.all_served().await;
    waiting.all_served().await;
    fleet.finish().await.lossless();
}

/// What is kept for the next refresh is given back where there will be none: long before it would expire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_leaves_gives_its_slots_back() {
    let setup = Setup {
        replicas: 2,
        change: |config| config.refresh.holder_lost_after = GUARD * 3,
        ..Setup::default()
    };
    let mut fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(1).await, &app, "in-flight", 4).await;
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let calls = fleet.ask(&[fleet.caller(0).await], &known);
    fleet.all_presented(&known).await;
    let ending = fleet.replicas[0].ending();
    ending.terminate();
    until("it drains", async || !ending.is_ready().await).await;
    fleet.simulator.release();
    calls.all_served().await;
    assert!(ending.ended().await.success());
    let redis = fleet.redis.as_ref().unwrap();
    until("nobody holds a slot", async || {
        redis.run::<Vec<String>>(cmd("KEYS").arg("*:slots:*")).await.is_empty()
    })
    .await;
    fleet.finish().await.lossless();
}
