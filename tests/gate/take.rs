//! A token for a committed, flushed, open attempt, and in no other way.

use crate::{
    console::{BURN, TAKE, furnished, refused, run, take, take_by, world},
    servers::postgres::Cluster,
};

#[tokio::test]
async fn the_holder_of_the_nonce_takes_as_often_as_it_likes() {
    let (_, mut serving) = world().await;
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["true"]);
    for _ in 0..3 {
        assert_eq!(take(&mut serving).await, "secret-1");
    }
    let other = TAKE.replace("'nonce'", "'other'");
    assert_eq!(take_by(&mut serving, &other).await, "nothing");
    // The hash is what readers of the attempts see.
    let hash = TAKE.replace("'nonce'", "sha256('nonce')");
    assert_eq!(take_by(&mut serving, &hash).await, "nothing");
    let doubt = "SELECT token_broker.conclude({one}, {one}, 'unknown', NULL, 5, 9)::text";
    assert_eq!(run(&mut serving, doubt).await.unwrap(), ["true"]);
    assert_eq!(take(&mut serving).await, "nothing", "not dispatched any more");
}

#[tokio::test]
async fn a_transaction_that_has_written_takes_nothing() {
    let (_, mut serving) = world().await;
    for before in [
        BURN.to_owned(),
        format!("SAVEPOINT s; {BURN}"),
        format!("SAVEPOINT s; {BURN}; ROLLBACK TO s"),
        format!("SAVEPOINT s; {BURN}; RELEASE s"),
        "SELECT pg_current_xact_id()::text".to_owned(),
        "CREATE TEMP TABLE t ()".to_owned(),
    ] {
        run(&mut serving, &format!("BEGIN; {before}")).await.unwrap();
        refused(&mut serving, TAKE, "in a transaction that has written").await;
        run(&mut serving, "ROLLBACK").await.unwrap();
    }
    // In one statement the burn is in the same transaction too.
    let reversed = "SELECT (t).sealed FROM (SELECT token_broker.burn({one}, {one}, 1, {two}, sha256('nonce'), 'r', 'c', 5)
        AS burnt OFFSET 0) b, LATERAL token_broker.take({one}, CASE WHEN burnt THEN {two}::uuid END, 'nonce') t";
    refused(&mut serving, reversed, "in a transaction that has written").await;
    // The other way round nothing is burnt yet.
    let both = BURN
        .replace("::text", "")
        .replace("SELECT", "SELECT (token_broker.take({one}, {one}, 'nonce')).sealed,");
    let answer = run(&mut serving, &both).await;
    assert!(answer.as_ref().map_or(true, |rows| rows == &[""]), "{answer:?}");
}

#[tokio::test]
async fn an_uncommitted_burn_yields_nothing_elsewhere() {
    let (database, mut serving) = world().await;
    let mut other = database.connect("serving").await;
    run(&mut serving, &format!("BEGIN; {BURN}")).await.unwrap();
    assert_eq!(take(&mut other).await, "nothing");
    run(&mut serving, "ROLLBACK").await.unwrap();
    assert_eq!(take(&mut other).await, "nothing");

    run(&mut serving, &format!("BEGIN; {BURN}")).await.unwrap();
    run(&mut serving, "PREPARE TRANSACTION 'later'").await.unwrap();
    assert_eq!(take(&mut other).await, "nothing");
    assert_eq!(take(&mut serving).await, "nothing");
    run(&mut serving, "ROLLBACK PREPARED 'later'").await.unwrap();
    assert_eq!(take(&mut serving).await, "nothing");

    run(&mut serving, &format!("BEGIN; {BURN}")).await.unwrap();
    run(&mut serving, "PREPARE TRANSACTION 'now'").await.unwrap();
    run(&mut serving, "COMMIT PREPARED 'now'").await.unwrap();
    assert_eq!(take(&mut other).await, "secret-1", "that one is a commit");
}

#[tokio::test]
async fn an_old_snapshot_takes_nothing() {
    let (_, mut serving) = world().await;
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["true"]);
    for level in ["REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"] {
        run(&mut serving, &format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
        refused(&mut serving, TAKE, "outside read committed").await;
        run(&mut serving, "ROLLBACK").await.unwrap();
    }
    assert_eq!(take(&mut serving).await, "secret-1");
}

/// A commit that is acknowledged before it is on the disk is forgotten by a crash: nobody may have the token before.
#[tokio::test]
async fn an_unflushed_burn_yields_nothing_and_a_crash_forgets_it() {
    let cluster = Cluster::start("checkpoint_timeout = 1d\nbgwriter_delay = 10s\n");
    let database = furnished(&cluster).await;
    let mut serving = database.connect("serving").await;
    cluster.pause_wal_writer();
    // Past what the function insists on: by who owns the transaction.
    let early = format!("BEGIN; {BURN}; SET LOCAL synchronous_commit = off; COMMIT");
    run(&mut serving, &early).await.unwrap();
    let facts = "SELECT state FROM token_broker.grant_facts({one}, {one})";
    assert_eq!(run(&mut serving, facts).await.unwrap(), ["dispatched"], "it is committed");
    assert_eq!(run(&mut serving, TAKE).await.unwrap(), ["not yet"]);
    drop(serving);
    cluster.kill();
    cluster.restart();
    let mut serving = database.connect("serving").await;
    assert_eq!(run(&mut serving, facts).await.unwrap(), ["idle"], "forgotten");

    // What the function does itself is flushed whatever the session says.
    run(&mut serving, "SET synchronous_commit = off").await.unwrap();
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["true"]);
    drop(serving);
    cluster.kill();
    cluster.restart();
    let mut serving = database.connect("serving").await;
    assert_eq!(take(&mut serving).await, "secret-1");
}

/// Whoever reads a page that a burn has changed may tidy it up: what that writes to the log nobody flushes.
#[tokio::test]
async fn on_a_quiet_database_a_burn_is_taken_at_once() {
    let quiet = "checkpoint_timeout = 1d\nbgwriter_delay = 10s\nwal_level = minimal\nmax_wal_senders = 0\n";
    let cluster = Cluster::start(quiet);
    let database = furnished(&cluster).await;
    let mut admin = database.connect("postgres").await;
    let long = "UPDATE token_broker.grants SET access_issued_at = 0, access_expires_at = 9, access =
        (SELECT string_agg(sha256(n::text::bytea), '') FROM generate_series(1, 48) n)";
    run(&mut admin, long).await.unwrap();
    let written = "SELECT pg_current_wal_insert_lsn()::text";
    run(&mut admin, written).await.unwrap(); // a session's first look at the catalogue may tidy up, too
    let mut serving = database.connect("serving").await;
    assert_eq!(run(&mut serving, TAKE).await.unwrap(), ["nothing"]);
    cluster.pause_wal_writer();
    let mut at_once = 0;
    for (whose, token) in [("{one}", "secret-1"), ("{two}", "secret-2")] {
        assert_eq!(run(&mut serving, &BURN.replace("{one}", whose)).await.unwrap(), ["true"]);
        let before = run(&mut admin, written).await.unwrap();
        let taken = run(&mut serving, &TAKE.replace("{one}", whose)).await.unwrap();
        at_once += usize::from(taken == [token]);
        assert_ne!(run(&mut admin, written).await.unwrap(), before, "it did write");
    }
    // One in a thousand is not: the next record after a full page of the log begins behind that page's head.
    assert!(at_once > 0);
}

#[tokio::test]
async fn a_standby_gives_nothing() {
    let primary = Cluster::start("");
    let database = furnished(&primary).await;
    let mut serving = database.connect("serving").await;
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["true"]);
    let standby = primary.standby("");
    let there = standby.database_of(&database);
    let mut serving = there.connect("serving").await;
    let facts = "SELECT state FROM token_broker.grant_facts({one}, {one})";
    while run(&mut serving, facts).await.unwrap() != ["dispatched"] {
        tokio::task::yield_now().await;
    }
    refused(&mut serving, TAKE, "on a standby").await;
    refused(&mut serving, &BURN.replace("{one}, sha256", "{two}, sha256"), "read-only").await;
}

/// The wait for the standby was cancelled: committed here, perhaps not there, and the client saw success.
#[tokio::test]
async fn an_unreplicated_burn_yields_nothing() {
    let primary = Cluster::start("");
    let database = furnished(&primary).await;
    let standby = primary.standby("");
    let mut admin = primary.admin("postgres").await;
    run(&mut admin, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)'").await.unwrap();
    run(&mut admin, "SELECT pg_reload_conf()").await.unwrap();
    let synchronous = "SELECT sync_state FROM pg_stat_replication";
    while run(&mut admin, synchronous).await.unwrap() != ["quorum"] {
        tokio::task::yield_now().await;
    }
    let mut serving = database.connect("serving").await;
    assert_eq!(run(&mut serving, &BURN.replace("{one}", "{two}")).await.unwrap(), ["true"]);
    let two = TAKE.replace("{one}", "{two}");
    assert_eq!(take_by(&mut serving, &two).await, "secret-2", "what both have is given");

    standby.pause();
    let burning = tokio::spawn({
        let database = database.clone();
        async move { run(&mut database.connect("serving").await, BURN).await }
    });
    let cancel = "SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while run(&mut admin, cancel).await.unwrap() != ["true"] {
        tokio::task::yield_now().await;
    }
    assert_eq!(burning.await.unwrap().unwrap(), ["true"], "it looks like any other");
    assert_eq!(run(&mut serving, TAKE).await.unwrap(), ["not yet"]);
    standby.resume();
    assert_eq!(take(&mut serving).await, "secret-1");
}
