//! Two sessions at once.

use sqlx::PgConnection;
use tokio::task::JoinHandle;

use crate::{
    console::{BURN, run, take, world},
    servers::postgres::{Database, shared},
};

/// Begins a statement and waits until it waits for a lock.
async fn queued(database: &Database, sql: &'static str) -> JoinHandle<Result<Vec<String>, String>> {
    let mut session = database.connect("serving").await;
    let id = run(&mut session, "SELECT pg_backend_pid()::text").await.unwrap().remove(0);
    let queued = tokio::spawn(async move { run(&mut session, sql).await });
    let mut admin = shared().admin("postgres").await;
    let waits = format!("SELECT coalesce(wait_event_type, '') FROM pg_stat_activity WHERE pid = {id}");
    while run(&mut admin, &waits).await.unwrap() != ["Lock"] {
        tokio::task::yield_now().await;
    }
    queued
}

const RESOLVE: &str =
    "SELECT token_broker.resolve_burn({one}, {one}, 1, {one}, sha256('nonce'), 'replica', 'cause', 6)";

/// Its sender has given the burn up; the burn itself is still at its commit. The answer waits for it.
#[tokio::test]
async fn resolving_waits_for_a_burn_at_its_commit() {
    for (end, fate, taken) in [("COMMIT", "proceed", "secret-1"), ("ROLLBACK", "stop", "nothing")] {
        let (database, mut lost) = world().await;
        run(&mut lost, &format!("BEGIN; {BURN}")).await.unwrap();
        let resolving = queued(&database, RESOLVE).await;
        run(&mut lost, end).await.unwrap();
        assert_eq!(resolving.await.unwrap().unwrap(), [fate]);
        assert_eq!(take(&mut lost).await, taken);
    }
}

/// It comes to the database only after it was resolved: it fails on the tombstone.
#[tokio::test]
async fn a_burn_still_queued_fails_on_the_tombstone() {
    let (database, mut serving) = world().await;
    run(&mut serving, &format!("BEGIN; {RESOLVE}")).await.unwrap();
    let late = queued(&database, BURN).await;
    run(&mut serving, "COMMIT").await.unwrap();
    assert_eq!(late.await.unwrap().unwrap(), ["false"]);
    assert_eq!(take(&mut serving).await, "nothing");
    let facts = "SELECT state FROM token_broker.grant_facts({one}, {one})";
    assert_eq!(run(&mut serving, facts).await.unwrap(), ["idle"], "not stranded");
}

/// Whatever waits for a grant judges it as it is then, not as it was when the statement began.
#[tokio::test]
async fn what_waited_sees_what_it_waited_for() {
    const REVOKE: &str = "SELECT token_broker.revoke({one}, {one}, 6)::text";
    const SETTLE: &str =
        "SELECT (token_broker.settle({one}, {one}, 'rotated', NULL, NULL, NULL, 'r', sha256('9'), 7)).answer";
    const RELEASE: &str = "SELECT token_broker.conclude({one}, {one}, 'not_sent', NULL, 5, 7)::text";
    const IMPORT: &str =
        "SELECT token_broker.reauthorise({one}, {one}, 9, 0, NULL, NULL, NULL, 'r', sha256('9'),
        sha256('e'), 100, 7)";
    const DELETE: &str =
        "SELECT token_broker.delete_connection({one}, 'tenants/t1/connections/c', NULL, 0, 8)";
    for (burnt, first, second, answer) in [
        (false, REVOKE, BURN, "false"),
        (true, REVOKE, SETTLE, "orphan"),
        (true, SETTLE, SETTLE, "ignored"),
        (true, RELEASE, SETTLE, "orphan"),
        (true, SETTLE, RELEASE, "false"),
        (true, IMPORT, SETTLE, "orphan"),
        (true, REVOKE, IMPORT, "refused"),
        (false, DELETE, IMPORT, "gone"),
        (false, IMPORT, DELETE, "done"),
    ] {
        let (database, mut session) = world().await;
        if burnt {
            run(&mut session, BURN).await.unwrap();
        }
        run(&mut session, &format!("BEGIN; {first}")).await.unwrap();
        let waiting = queued(&database, second).await;
        run(&mut session, "COMMIT").await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), [answer], "{first}\n{second}");
        assert!(whole(&mut session).await, "{first}\n{second}");
    }
}

/// A tombstone's grant is revoked, and no generation is above its tombstone.
async fn whole(session: &mut PgConnection) -> bool {
    let sql = "SELECT (NOT EXISTS (SELECT FROM token_broker.connections c, token_broker.grant_facts({one}, c.uid) g
        WHERE c.deleted_at IS NOT NULL AND (g.state <> 'revoked' OR g.generation > c.last_generation)))::text";
    run(session, sql).await.unwrap() == ["true"]
}

/// A sweep leaves alone what somebody is at.
#[tokio::test]
async fn a_sweep_waits_for_nobody() {
    let (database, mut session) = world().await;
    run(&mut session, BURN).await.unwrap();
    run(&mut session, &format!("BEGIN; {RESOLVE}")).await.unwrap();
    let mut admin = database.connect("postgres").await;
    let sweep = "SELECT connection::text FROM token_broker.sweep(100, 100, 100)";
    assert_eq!(run(&mut admin, sweep).await.unwrap(), [""; 0]);
    run(&mut session, "COMMIT").await.unwrap();
    assert_eq!(run(&mut admin, sweep).await.unwrap(), ["11111111-1111-1111-1111-111111111111"]);
}
