//! A Redis that is absent, slow, stopped, emptied, killed, full, evicting or no primary: `Away` or an ordinary answer,
//! never a hang, never a panic.

use std::time::Duration;

use futures_util::future::join_all;
use redis::cmd;
use token_broker::coordination::{Away, LeaseOutcome, State, Why};

use crate::support::{
    Redis, all_away, all_work, attempt, connected, connection, entry, every_call, fleet, guarded, hasty,
    patient, replica, until,
};

fn away(state: &State) -> bool {
    matches!(state, State::Away { .. })
}

#[tokio::test]
async fn absent_from_the_start_and_then_there() {
    let mut server = Redis::prepared(&[]);
    let replica = replica(&server, patient());
    all_away(&replica).await;
    until("it is known why", async || {
        matches!(replica.state(), State::Away { why: Why::Unreachable(_), .. })
    })
    .await;
    all_away(&replica).await;
    server.restart().await;
    guarded("it is found", replica.connected()).await;
    assert_eq!(replica.state(), State::Connected);
    all_work(&replica).await;
}

#[tokio::test]
async fn killed_and_started_again() {
    let mut server = Redis::start().await;
    let replica = connected(&server, patient()).await;
    all_work(&replica).await;
    server.kill().await;
    all_away(&replica).await;
    assert!(away(&replica.state()));
    server.restart().await;
    guarded("it is found", replica.connected()).await;
    all_work(&replica).await;
}

#[tokio::test]
async fn killed_under_load() {
    let mut server = Redis::start().await;
    let replica = connected(&server, patient()).await;
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let replica = replica.clone();
            tokio::spawn(async move {
                // Until Redis is gone.
                while every_call(&replica).await.iter().all(|(_, away)| away.is_none()) {}
            })
        })
        .collect();
    until("it is busy", async || server.says("instantaneous_ops_per_sec:").await).await;
    server.kill().await;
    for ended in guarded("every call ends", join_all(calls)).await {
        ended.expect("no call panics");
    }
    all_away(&replica).await;
}

#[tokio::test]
async fn stopped_and_continued() {
    let server = Redis::start().await;
    let replica = connected(&server, hasty()).await;
    let connection = connection();
    assert_eq!(replica.raise(connection, None, entry(3, 3)).await, Ok(true));
    server.freeze();
    all_away(&replica).await;
    assert!(matches!(replica.state(), State::Away { why: Why::Slow, .. }), "{:?}", replica.state());
    // It accepts connections all the same: none of them counts.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(away(&replica.state()));
    server.thaw();
    guarded("it is found", replica.connected()).await;
    until("it answers in time", async || replica.witness(connection).await == Ok(Some(entry(3, 3)))).await;
}

#[tokio::test]
async fn idle_replicas_notice_too() {
    let server = Redis::start().await;
    let replica = connected(&server, hasty()).await;
    server.freeze();
    until("it is noticed", async || away(&replica.state())).await;
    server.thaw();
    until("and the end of it", async || replica.state() == State::Connected).await;
}

#[tokio::test]
async fn paused_for_clients() {
    let server = Redis::start().await;
    let replica = connected(&server, hasty()).await;
    server.pause(Duration::from_secs(5)).await;
    all_away(&replica).await;
    assert!(away(&replica.state()), "{:?}", replica.state());
    guarded("it is found", replica.connected()).await;
    until("it works", async || every_call(&replica).await.iter().all(|(_, away)| away.is_none())).await;
}

/// On several threads: whoever waits for the answer, and whoever sends, give up at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_answer_is_no_reason_to_give_up() {
    let server = Redis::start().await;
    for _ in 0..4 {
        let replica = connected(&server, hasty()).await;
        server.pause_writes().await;
        let LeaseOutcome::Away(away) = replica.lease(connection().0).await else { panic!() };
        assert_eq!((away, replica.state()), (Away(Why::Slow), State::Connected));
        server.resume_writes().await;
    }
    let replica = connected(&server, hasty()).await;
    server.pause_writes().await;
    assert_eq!(replica.raise(connection(), None, entry(1, 1)).await, Err(Away(Why::Slow)));
    assert_eq!(replica.state(), State::Connected);
    assert_eq!(replica.witness(connection()).await, Err(Away(Why::Slow)), "it waits behind the other");
    server.resume_writes().await;
    until("it answers in time", async || replica.witness(connection()).await.is_ok()).await;
}

#[tokio::test]
async fn emptied() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    all_work(&replica).await;
    server.flush().await;
    let _: String = server.run(cmd("SCRIPT").arg("FLUSH")).await;
    all_work(&replica).await;
}

#[tokio::test]
async fn full() {
    let server = Redis::with(&["--maxmemory", "1mb"]).await;
    let [replica] = fleet::<1>(&server).await;
    let refused = replica.raise(connection(), None, entry(1, 1)).await;
    assert_eq!(refused, Err(Away(Why::Refused("OOM".into()))));
    let escrowed = replica.escrow(attempt(), connection(), entry(1, 1).generation, b"sealed").await;
    assert!(escrowed.is_err());
    assert_eq!(replica.writable().await, Err(Away(Why::Refused("OOM".into()))));
    assert_eq!(replica.health().refused, Some(Why::Refused("OOM".into())));
    assert_eq!(replica.state(), State::Connected);
    assert_eq!(replica.witness(connection()).await, Ok(None), "what needs no memory works");
    let _: String = server.run(cmd("CONFIG").arg("SET").arg("maxmemory").arg("100mb")).await;
    assert_eq!(replica.writable().await, Ok(()), "what was refused once is not refused for ever");
}

#[tokio::test]
async fn no_primary_any_more() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let nobody = Redis::prepared(&[]).port();
    let _: String = server.run(cmd("REPLICAOF").arg("127.0.0.1").arg(nobody)).await;
    assert!(replica.raise(connection(), None, entry(1, 1)).await.is_err());
    assert!(away(&replica.state()), "another connection may lead to the primary");
    let _: String = server.run(cmd("REPLICAOF").arg("NO").arg("ONE")).await;
    until("it works", async || replica.raise(connection(), None, entry(1, 1)).await == Ok(true)).await;
}

#[tokio::test]
async fn a_redis_that_evicts_is_reported() {
    let server = Redis::with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let [replica] = fleet::<1>(&server).await;
    assert_eq!(replica.health().evicts.as_deref(), Some("allkeys-lru"));
    assert_eq!(replica.health().persistent, Some(false));

    let _: String = server.run(cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("noeviction")).await;
    let _: String = server.run(cmd("CONFIG").arg("SET").arg("appendonly").arg("yes")).await;
    let [replica] = fleet::<1>(&server).await;
    assert_eq!(replica.health().evicts, None);
    assert_eq!(replica.health().persistent, Some(true));
}
