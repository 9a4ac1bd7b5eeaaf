//! F5: Redis is emptied, killed, stopped, slow, parted, or lies, in mid-refresh. It costs latency and never an invariant.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use procore_simulator::Hold;
use redis::cmd;
use token_broker::config::Durability;

use crate::harness::{Fleet, Guardian, Setup, Way, reason, table, until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Flushed,
    Killed,
    Restarted,
    Stopped,
    Slow,
    OneParted,
    AllParted,
    Lying,
}

const FAULTS: [(Fault, &str); 8] = [
    (Fault::Flushed, "FLUSHALL"),
    (Fault::Killed, "killed"),
    (Fault::Restarted, "killed and started again, empty"),
    (Fault::Stopped, "stopped (SIGSTOP)"),
    (Fault::Slow, "slower than the response time-out"),
    (Fault::OneParted, "parted from one replica"),
    (Fault::AllParted, "parted from all"),
    (Fault::Lying, "grants every lease again and again"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_costs_time_and_nothing_else() {
    let rows: Vec<_> = stream::iter(FAULTS).map(strike).buffered(3).collect().await;
    table(
        "F5: Redis in mid-refresh, 3 replicas",
        [
            "Redis",
            "in flight then",
            "begun meanwhile",
            "callers answered",
            "presentations of 7 tokens",
            "double",
            "lost",
        ],
        rows,
    );
}

async fn strike((fault, called): (Fault, &str)) -> [String; 7] {
    let mut fleet = Fleet::start(Setup::default()).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", 7).await;
    let (first, later) = known.split_at(4);
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let calls = fleet.everybody_asks(first).await;
    fleet.all_presented(first).await;

    let mut called = called.to_owned();
    let mut parted = None;
    let lies = fault == Fault::Lying;
    match fault {
        Fault::Flushed => fleet.redis.as_ref().unwrap().flush().await,
        Fault::Killed => fleet.redis.as_mut().unwrap().kill().await,
        Fault::Restarted => fleet.redis.as_mut().unwrap().restart().await,
        Fault::Stopped => fleet.redis.as_ref().unwrap().freeze(),
        Fault::Slow => (0..3).for_each(|replica| fleet.way(replica, Way::Slow(Duration::from_millis(400)))),
        Fault::OneParted => fleet.way(0, Way::Cut),
        Fault::AllParted => {
            parted = Guardian::partition(fleet.redis.as_ref().unwrap().port());
            called.push_str(if parted.is_some() { " (nftables)" } else { " (proxy)" });
            if parted.is_none() {
                (0..3).for_each(|replica| fleet.way(replica, Way::Cut));
            }
        }
        Fault::Lying => {}
    }
    let ((), more) = tokio::join!(
        async {
            while lies && fleet.presented(later) < later.len() {
                forget_leases(&fleet).await;
            }
        },
        async {
            let more = fleet.everybody_asks(later).await;
            fleet.all_presented(later).await;
            more
        }
    );
    let in_flight = fleet.presented(first);
    fleet.simulator.release();
    let answered = calls.all_served().await + more.all_served().await;
    let presented = fleet.presented(&known);
    assert_eq!(presented, known.len(), "{fault:?}");

    drop(parted);
    (0..3).for_each(|replica| fleet.way(replica, Way::Open));
    match fault {
        Fault::Killed => fleet.redis.as_mut().unwrap().restart().await,
        Fault::Stopped => fleet.redis.as_ref().unwrap().thaw(),
        _ => {}
    }
    let verdict = fleet.finish().await;
    verdict.lossless();
    let double = presented - known.len();
    let counts = [in_flight, later.len(), answered, presented, double, verdict.lost];
    let [in_flight, later, answered, presented, double, lost] = counts.map(|count| count.to_string());
    [called, in_flight, later, answered, presented, double, lost]
}

/// Whoever asks next is granted what somebody else holds.
pub async fn forget_leases(fleet: &Fleet) {
    let redis = fleet.redis.as_ref().unwrap();
    let held: Vec<String> = redis.run(cmd("KEYS").arg("*:lease:*")).await;
    if !held.is_empty() {
        let _: u32 = redis.run(cmd("DEL").arg(held)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgetful_database_is_not_trusted_without_the_witness() {
    let setup =
        Setup { change: |config| config.database.durability = Durability::Asynchronous, ..Setup::default() };
    let mut fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let caller = fleet.caller(0).await;
    let cached = fleet.connection(&caller, &app, "cached").await;
    // What a replica hears of while it reads, it does not keep: twice.
    fleet.everybody_asks(std::slice::from_ref(&cached)).await.all_served().await;
    fleet.everybody_asks(std::slice::from_ref(&cached)).await.all_served().await;
    let known = fleet.connections(&caller, &app, "wanted", 3).await;
    fleet.redis.as_mut().unwrap().kill().await;
    fleet.with_redis(false).await;
    let refused = fleet.everybody_asks(&known).await.answers().await;
    let told = |answer: &Result<_, tonic::Status>| {
        answer.as_ref().err().is_some_and(|status| reason(status) == "STORE_UNAVAILABLE")
    };
    assert!(refused.iter().all(told), "{refused:?}");
    assert_eq!(fleet.presented(&known), 0, "spent without the witness");
    let served = fleet.everybody_asks(std::slice::from_ref(&cached)).await.all_served().await;
    fleet.redis.as_mut().unwrap().restart().await;
    fleet.with_redis(true).await;
    until("the witness is back", async || caller.token(&known[0].name).await.is_ok()).await;
    fleet.finish().await.lossless();
    table(
        "database.durability = \"asynchronous\", Redis killed",
        ["refused", "presented", "served from memory"],
        [[refused.len().to_string(), "0".to_owned(), served.to_string()]],
    );
}
