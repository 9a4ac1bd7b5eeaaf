//! Leases.

use std::time::Duration;

use futures_util::future::join_all;
use redis::cmd;
use token_broker::{config, coordination::LeaseOutcome, model::OauthClientUid};
use uuid::Uuid;

use crate::support::{Redis, connected, fleet, guarded, hasty, held, lease, patient, until};

fn key(subject: Uuid) -> String {
    format!("token-broker:test:lease:{subject}")
}

#[tokio::test]
async fn one_holder_at_a_time() {
    let server = Redis::start().await;
    let replicas = fleet::<3>(&server).await;
    let subject = Uuid::new_v4();
    let asked = replicas.iter().cycle().take(30).map(|replica| lease(replica, subject));
    let mut granted: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(granted.len(), 1);
    assert!(lease(&replicas[0], Uuid::new_v4()).await.is_some(), "another subject is another lease");

    granted.pop().unwrap().release().await;
    let second = lease(&replicas[1], subject).await.expect("it was released");
    assert!(lease(&replicas[2], subject).await.is_none());
    drop(second);
    until("a dropped lease is given back", async || lease(&replicas[2], subject).await.is_some()).await;
}

#[tokio::test]
async fn a_lease_ends_with_a_holder_that_says_nothing() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let subject = Uuid::new_v4();
    let _held = lease(&replica, subject).await.unwrap();
    let left: i64 = server.run(cmd("PTTL").arg(key(subject))).await;
    assert!(left > 0 && left <= 30_000, "{left}");

    let other = Uuid::new_v4();
    let _: String = server.run(cmd("SET").arg(key(other)).arg("somebody").arg("PX").arg(300)).await;
    until("it has expired", async || lease(&replica, other).await.is_some()).await;
}

#[tokio::test]
async fn a_lease_is_renewed_while_it_is_held() {
    let server = Redis::start().await;
    let settings = config::Redis {
        lease_ttl: Duration::from_secs(3),
        response_timeout: Duration::from_secs(1),
        ..patient()
    };
    let holder = connected(&server, settings).await;
    let [other] = fleet::<1>(&server).await;
    let subject = Uuid::new_v4();
    let held = lease(&holder, subject).await.unwrap();
    // Without a renewal nothing is left of it after three seconds, and at no time more than the second before.
    let left = async || server.run::<i64>(cmd("PTTL").arg(key(subject))).await;
    until("it has aged", async || left().await < 2_500).await;
    until("it was renewed", async || left().await > 2_500).await;
    assert!(held.is_held() && lease(&other, subject).await.is_none());
}

#[tokio::test]
async fn nobody_ends_the_lease_of_a_successor() {
    let server = Redis::start().await;
    let settings = config::Redis {
        lease_ttl: Duration::from_secs(1),
        response_timeout: Duration::from_millis(300),
        ..patient()
    };
    let replica = connected(&server, settings).await;
    let subject = Uuid::new_v4();
    let taken = async || server.run::<String>(cmd("GET").arg(key(subject))).await == "a successor";

    // Expired during a pause, and taken by somebody else.
    let late = lease(&replica, subject).await.unwrap();
    let _: String = server.run(cmd("SET").arg(key(subject)).arg("a successor")).await;
    late.release().await;
    assert!(taken().await, "released");

    let _: i64 = server.run(cmd("DEL").arg(key(subject))).await;
    let renewing = lease(&replica, subject).await.unwrap();
    let _: String = server.run(cmd("SET").arg(key(subject)).arg("a successor")).await;
    until("the holder learns that it has lost it", async || !renewing.is_held()).await;
    assert!(taken().await, "renewed");
    renewing.release().await;
    assert!(taken().await, "released after it was lost");
}

#[tokio::test]
async fn a_lease_that_redis_forgot_is_taken_again() {
    let server = Redis::start().await;
    let settings = config::Redis {
        lease_ttl: Duration::from_secs(1),
        response_timeout: Duration::from_millis(300),
        ..patient()
    };
    let replica = connected(&server, settings).await;
    let subject = Uuid::new_v4();
    let held = lease(&replica, subject).await.unwrap();
    server.flush().await;
    until("it is there again", async || server.run::<u32>(cmd("EXISTS").arg(key(subject))).await == 1).await;
    assert!(held.is_held());
}

#[tokio::test]
async fn one_trial_for_each_version_of_a_secret() {
    let server = Redis::start().await;
    let [one, other] = fleet::<2>(&server).await;
    let client = OauthClientUid(Uuid::new_v4());
    let trial = held(one.trial(client, 1).await).unwrap();
    assert!(held(other.trial(client, 1).await).is_none());
    assert!(held(other.trial(client, 2).await).is_some(), "a new secret is another trial");
    assert!(lease(&other, client.0).await.is_some(), "a trial is no lease");
    trial.release().await;
    assert!(held(other.trial(client, 1).await).is_some());
}

#[tokio::test]
async fn a_grant_whose_answer_was_late_is_given_back() {
    let server = Redis::start().await;
    // Far longer than the test waits.
    let settings = config::Redis { lease_ttl: Duration::from_mins(10), ..hasty() };
    let replica = connected(&server, settings).await;
    let subject = Uuid::new_v4();
    server.pause_writes().await;
    assert!(matches!(guarded("it ends", replica.lease(subject)).await, LeaseOutcome::Away(_)));
    server.resume_writes().await;
    let [other] = fleet::<1>(&server).await;
    until("nobody holds it", async || lease(&other, subject).await.is_some()).await;
}
