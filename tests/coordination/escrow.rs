//! Escrow.

use std::time::Duration;

use redis::cmd;
use token_broker::{
    clock::Clock,
    config,
    coordination::{Away, Coordination, Escrowed, Why},
    model::{AttemptId, ConnectionUid, Generation, Timestamp},
};

use crate::support::{ENVIRONMENT, Redis, Sentinel, attempt, connected, connection, fleet, guarded, patient};

/// Everything that is in escrow, page by page.
async fn everything(replica: &Coordination) -> Vec<Escrowed> {
    let (mut found, mut cursor) = (Vec::new(), Some(replica.escrow_start()));
    while let Some(from) = cursor {
        let (page, next) = guarded("a page", replica.escrowed(from)).await.unwrap();
        found.extend(page);
        cursor = next;
    }
    found
}

fn record(attempt: AttemptId) -> String {
    format!("token-broker:test:escrow:{attempt}")
}

#[tokio::test]
async fn what_is_given_is_given_back_until_it_is_settled_and_after() {
    let server = Redis::start().await;
    let [giver, taker] = fleet::<2>(&server).await;
    let (attempt, connection) = (attempt(), connection());
    let sealed: Vec<u8> = (0..=255).cycle().take(5000).collect();
    giver.writable().await.unwrap();
    for _ in 0..2 {
        giver.escrow(attempt, connection, Generation(7), &sealed).await.unwrap();
    }
    let kept = Escrowed { attempt, connection, generation: Generation(7), bytes: sealed };
    assert_eq!(taker.escrow_pending().await.unwrap(), std::slice::from_ref(&kept));
    assert_eq!(everything(&taker).await, std::slice::from_ref(&kept));
    for _ in 0..2 {
        taker.mark_settled(attempt).await.unwrap();
    }
    assert_eq!(giver.escrow_pending().await.unwrap(), []);
    for _ in 0..2 {
        taker.mark_pending(attempt).await.unwrap();
    }
    assert_eq!(
        giver.escrow_pending().await.unwrap(),
        std::slice::from_ref(&kept),
        "a database lacks it again"
    );
    taker.mark_settled(attempt).await.unwrap();
    assert_eq!(everything(&giver).await, [kept], "the database may forget that it has settled");
}

#[tokio::test]
async fn pages_have_everything_once_and_the_oldest_generation_first() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let connections = [connection(), connection(), connection()];
    for generation in (1..=70).rev() {
        for connection in connections {
            replica.escrow(attempt(), connection, Generation(generation * 7), b"sealed").await.unwrap();
        }
    }
    let of = |found: &[Escrowed], connection: ConnectionUid| -> Vec<u64> {
        found.iter().filter(|each| each.connection == connection).map(|each| each.generation.0).collect()
    };
    let expected: Vec<_> = (1..=70).map(|generation| generation * 7).collect();
    for found in [everything(&replica).await, replica.escrow_pending().await.unwrap()] {
        assert_eq!(found.len(), 210);
        for connection in connections {
            assert_eq!(of(&found, connection), expected);
        }
    }
}

#[tokio::test]
async fn hours_follow_each_other_and_old_ones_are_left_out() {
    let server = Redis::start().await;
    let clock = Clock::manual(Timestamp::from_micros(1_750_000_000_000_000));
    let settings = config::Redis { url: Some(server.url()), ..patient() };
    let replica = Coordination::new(&settings, ENVIRONMENT, clock.clone());
    guarded("Redis is there", replica.connected()).await;
    let connection = connection();
    for generation in [3, 1, 2] {
        replica.escrow(attempt(), connection, Generation(generation), b"sealed").await.unwrap();
        clock.advance(Duration::from_hours(2));
    }
    let found =
        async || -> Vec<u64> { everything(&replica).await.iter().map(|each| each.generation.0).collect() };
    assert_eq!(found().await, [3, 1, 2]);
    clock.advance(Duration::from_hours(21));
    assert_eq!(found().await, [1, 2], "the first was given more than a day ago");
}

#[tokio::test]
async fn everything_in_escrow_ends() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let (lost, kept) = (attempt(), attempt());
    for attempt in [lost, kept] {
        replica.escrow(attempt, connection(), Generation(1), b"sealed").await.unwrap();
    }
    let day = 86_400_000;
    let left: i64 = server.run(cmd("PTTL").arg(record(lost))).await;
    assert!(left > day - 600_000 && left <= day, "{left}");
    let [index] = &server.run::<Vec<String>>(cmd("KEYS").arg("*escrow-hour*")).await[..] else { panic!() };
    let left: i64 = server.run(cmd("PTTL").arg(index)).await;
    assert!(left > day, "{left}: as long as every record that it names");

    // As when a record has expired.
    let _: u32 = server.run(cmd("DEL").arg(record(lost))).await;
    let attempts = |found: Vec<Escrowed>| found.iter().map(|each| each.attempt).collect::<Vec<_>>();
    assert_eq!(attempts(everything(&replica).await), [kept]);
    assert_eq!(attempts(replica.escrow_pending().await.unwrap()), [kept]);
    let pending: u32 = server.run(cmd("ZCARD").arg("token-broker:test:escrow-pending")).await;
    assert_eq!(pending, 1, "what is gone is pending no more");

    server.flush().await;
    assert_eq!(everything(&replica).await, []);
    assert_eq!(replica.escrow_pending().await.unwrap(), []);
}

#[tokio::test]
async fn each_key_may_be_lost_by_itself() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let (attempt, connection) = (attempt(), connection());
    let give = async || replica.escrow(attempt, connection, Generation(1), b"sealed").await.unwrap();
    for lost in ["*escrow-hour*", "*escrow-pending*", "*escrow:*"] {
        give().await;
        let keys: Vec<String> = server.run(cmd("KEYS").arg(lost)).await;
        assert_eq!(keys.len(), 1, "{lost}");
        let _: u32 = server.run(cmd("DEL").arg(keys)).await;
        let seen = (everything(&replica).await.len(), replica.escrow_pending().await.unwrap().len());
        let expected = [("*escrow-hour*", (0, 1)), ("*escrow-pending*", (1, 0)), ("*escrow:*", (0, 0))];
        assert!(expected.contains(&(lost, seen)), "{lost}: {seen:?}");
        give().await;
        assert_eq!((everything(&replica).await.len(), replica.escrow_pending().await.unwrap().len()), (1, 1));
    }
    let _: String = server.run(cmd("SET").arg(record(attempt)).arg("\x02of a later version")).await;
    assert_eq!(replica.escrow_pending().await.unwrap(), []);
    let pending: u32 = server.run(cmd("ZCARD").arg("token-broker:test:escrow-pending")).await;
    assert_eq!(pending, 1, "what cannot be read is left to those who can");
}

#[tokio::test]
async fn where_replicas_are_asked_for_nothing_less_counts() {
    let alone = Redis::start().await;
    let settings =
        config::Redis { wait_for_replicas: 1, response_timeout: Duration::from_secs(5), ..patient() };
    let replica = connected(&alone, settings.clone()).await;
    let give = async |replica: &Coordination| {
        replica.escrow(attempt(), connection(), Generation(1), b"sealed").await
    };
    assert_eq!(give(&replica).await, Err(Away(Why::Replicas)));
    let raised = replica.raise(connection(), None, crate::support::entry(1, 1)).await;
    assert_eq!(raised, Err(Away(Why::Replicas)));

    let sentinel = Sentinel::start(None).await;
    let replica = connected(&sentinel.primary, settings).await;
    assert_eq!(give(&replica).await, Ok(()));
    let copied: Vec<String> = sentinel.replica.run(cmd("KEYS").arg("*escrow:*")).await;
    assert_eq!(copied.len(), 1);
}
