//! What nobody may do: neither the gate, nor the owner of the tables, nor a superuser, nor replication.

use sqlx::PgConnection;

use crate::{
    console::{BURN, refused, run, world},
    servers::postgres::Database,
};

/// A superuser, also as a replication worker would act.
async fn powers(database: &Database) -> [PgConnection; 3] {
    let mut worker = database.connect("postgres").await;
    run(&mut worker, "SET session_replication_role = replica").await.unwrap();
    let mut gate = database.connect("postgres").await;
    run(&mut gate, &format!("SET token_broker.tenant = {}", crate::console::ONE)).await.unwrap();
    run(&mut gate, "SET ROLE token_broker_gate").await.unwrap();
    [database.connect("postgres").await, worker, gate]
}

/// Generation 2, with an attempt in doubt and a settled one behind it.
async fn lived_in(serving: &mut PgConnection) {
    for step in [
        BURN,
        "SELECT (token_broker.settle({one}, {one}, 'rotated', 'a', 1, 2, 'secret-3', sha256('3'), 6)).answer",
        "SELECT token_broker.burn({one}, {one}, 2, {two}, sha256('nonce'), 'replica', 'cause', 7)::text",
        "SELECT token_broker.conclude({one}, {two}, 'unknown', NULL, 5, 8)::text",
        "INSERT INTO token_broker.audit (at, principal, action, resource, outcome)
            VALUES (1, 'p', 'a', 'r', 'done') RETURNING 'true'",
    ] {
        assert!(["true", "settled"].contains(&run(serving, step).await.unwrap()[0].as_str()), "{step}");
    }
}

#[tokio::test]
async fn the_database_refuses_whoever_asks() {
    let (database, mut serving) = world().await;
    lived_in(&mut serving).await;
    for mut power in powers(&database).await {
        for (statement, words) in [
            (
                "UPDATE token_broker.grants SET generation = 1 WHERE connection_uid = {one}",
                "generation never decreases",
            ),
            ("UPDATE token_broker.grants SET revoke_epoch = -1 WHERE connection_uid = {one}", "never undone"),
            (
                "UPDATE token_broker.grants SET state = 'idle', attempt_id = NULL, since = NULL
                WHERE connection_uid = {one}",
                "never becomes idle",
            ),
            (
                "UPDATE token_broker.grants SET connection_uid = {two} WHERE connection_uid = {one}",
                "keeps its connection",
            ),
            (
                "UPDATE token_broker.grants SET tenant_uid = {two} WHERE connection_uid = {one}",
                "keeps its connection",
            ),
            ("DELETE FROM token_broker.grants WHERE connection_uid = {one}", "never deleted"),
            ("TRUNCATE token_broker.grants CASCADE", "never deleted"),
            (
                "UPDATE token_broker.attempts SET outcome = 'not_sent' WHERE attempt_id = {one}",
                "written once",
            ),
            (
                "UPDATE token_broker.attempts SET outcome = NULL, closed_at = NULL WHERE attempt_id = {one}",
                "written once",
            ),
            ("UPDATE token_broker.attempts SET generation = 1 WHERE attempt_id = {two}", "never rewritten"),
            (
                "UPDATE token_broker.attempts SET nonce_hash = sha256('mine') WHERE attempt_id = {two}",
                "never rewritten",
            ),
            (
                "UPDATE token_broker.attempts SET fingerprint = NULL WHERE attempt_id = {two}",
                "never rewritten",
            ),
            ("DELETE FROM token_broker.attempts WHERE attempt_id = {two}", "never deleted"),
            ("TRUNCATE token_broker.attempts", "never deleted"),
        ] {
            refused(&mut power, statement, words).await;
        }
    }
    for mut power in powers(&database).await.into_iter().take(2) {
        for (statement, words) in [
            ("DELETE FROM token_broker.audit", "append-only"),
            ("UPDATE token_broker.audit SET outcome = 'never'", "append-only"),
            ("TRUNCATE token_broker.audit", "append-only"),
            ("DELETE FROM token_broker.connections", "tombstone"),
            (
                "UPDATE token_broker.connections SET tenant_uid = {two} WHERE uid = {one}",
                "keeps its identity",
            ),
            (
                "UPDATE token_broker.connections SET name = 'tenants/t9/connections/c' WHERE uid = {one}",
                "keeps its identity",
            ),
        ] {
            refused(&mut power, statement, words).await;
        }
    }
    // What must be possible: retention, and the end of a doubt that was freed.
    let [mut power, ..] = powers(&database).await;
    run(&mut power, "DELETE FROM token_broker.attempts WHERE attempt_id = {one}").await.unwrap();
    run(
        &mut power,
        "UPDATE token_broker.attempts SET outcome = 'not_sent', closed_at = 9 WHERE attempt_id = {two}",
    )
    .await
    .unwrap();
    run(
        &mut power,
        "UPDATE token_broker.grants SET state = 'idle', attempt_id = NULL, since = NULL
        WHERE connection_uid = {one}",
    )
    .await
    .unwrap();
}

/// A name that was read before its last bearer was deleted.
#[tokio::test]
async fn a_name_made_again_starts_above_its_tombstone() {
    let (_, mut serving) = world().await;
    let delete = "SELECT token_broker.delete_connection({one}, 'tenants/t1/connections/c', NULL, 40, 8)";
    assert_eq!(run(&mut serving, delete).await.unwrap(), ["done"]);
    let again = "INSERT INTO token_broker.connections (uid, name, tenant_uid, oauth_client_uid, display_name,
            grant_type, account_id, generation_floor, revision, created_at, updated_at)
        VALUES (gen_random_uuid(), 'tenants/t1/connections/c', {one}, {one}, '', 'authorization_code', '1', 39, 1, 0, 0)";
    refused(&mut serving, again, "above its tombstone").await;
    run(&mut serving, &again.replace("39", "40")).await.unwrap();
}

/// With its state bypassed the index alone is left.
#[tokio::test]
async fn the_index_refuses_a_second_spend() {
    let (database, mut serving) = world().await;
    lived_in(&mut serving).await;
    let mut admin = database.connect("postgres").await;
    let second = "INSERT INTO token_broker.attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash,
            replica, cause, dispatched_at)
        SELECT gen_random_uuid(), connection_uid, tenant_uid, generation, nonce_hash, replica, cause, dispatched_at
        FROM token_broker.attempts WHERE generation = 2";
    refused(&mut admin, second, "one_spend").await;
    let shared = "UPDATE token_broker.grants SET fingerprint = sha256('3') WHERE connection_uid = {two}";
    refused(&mut admin, shared, "grants_fingerprint").await;
    let key = "INSERT INTO token_broker.data_keys (id, scope, wrapped_by, wrapped, created_at, is_first)
        VALUES (gen_random_uuid(), 'fingerprint', 'kek', '', 0, true)";
    run(&mut serving, key).await.unwrap();
    refused(&mut serving, key, "data_keys_first").await;
    // A grant that says idle although its generation is spent.
    run(&mut admin, "ALTER TABLE token_broker.grants DISABLE TRIGGER grants_idle").await.unwrap();
    run(&mut admin, "UPDATE token_broker.grants SET state = 'idle', attempt_id = NULL, since = NULL")
        .await
        .unwrap();
    let again =
        "SELECT token_broker.burn({one}, {one}, 2, gen_random_uuid(), sha256('n'), 'r', 'c', 9)::text";
    assert_eq!(run(&mut serving, again).await.unwrap(), ["false"]);
}

/// Retention forgets neither what is open nor what is fresh, whatever it is asked.
#[tokio::test]
async fn retention_keeps_what_must_be_kept() {
    let (database, mut serving) = world().await;
    lived_in(&mut serving).await;
    let now = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let fresh = format!(
        "INSERT INTO token_broker.audit (at, principal, action, resource, outcome) VALUES ({now}, 'p', 'a', 'r', 'fresh')"
    );
    run(&mut serving, &fresh).await.unwrap();
    let all = format!("SELECT r::text FROM token_broker.retain({now}, {now}, {now}, 100) r");
    assert_eq!(run(&mut serving, &all).await.unwrap(), ["(1,1,1)"]);
    assert_eq!(run(&mut serving, "SELECT outcome FROM token_broker.audit").await.unwrap(), ["fresh"]);
    let mut admin = database.connect("postgres").await;
    run(&mut admin, "SET ROLE token_broker_fleet").await.unwrap();
    refused(&mut admin, "DELETE FROM token_broker.audit", "append-only").await;
}
