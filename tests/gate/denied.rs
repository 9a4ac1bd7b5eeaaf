//! What a serving user may not even look at.

use crate::console::{BURN, TAKE, TWO, refused, run, take, world};

#[tokio::test]
async fn grants_attempts_and_events_are_out_of_reach() {
    let (_, mut serving) = world().await;
    run(&mut serving, BURN).await.unwrap();
    for table in ["grants", "attempts", "events"] {
        for statement in [
            "SELECT * FROM",
            "SELECT count(*) FROM",
            "SELECT ctid FROM",
            "DELETE FROM",
            "TRUNCATE",
            "COPY",
            "BEGIN; LOCK TABLE",
        ] {
            let suffix = if statement == "COPY" { " TO STDOUT" } else { "" };
            let sql = format!("{statement} token_broker.{table}{suffix}");
            refused(&mut serving, &sql, "permission denied").await;
            run(&mut serving, "ROLLBACK").await.unwrap();
        }
    }
    for statement in [
        "UPDATE token_broker.grants SET state = 'idle'",
        "UPDATE token_broker.attempts SET outcome = 'not_sent', closed_at = 1",
        "INSERT INTO token_broker.grants SELECT",
        "INSERT INTO token_broker.attempts SELECT",
        "SELECT refresh FROM token_broker.grants",
        "CREATE TABLE token_broker.mine ()",
        "CREATE FUNCTION token_broker.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE token_broker.grants DISABLE TRIGGER ALL",
        "ALTER TABLE token_broker.grants NO FORCE ROW LEVEL SECURITY",
        "SET ROLE token_broker_gate",
        "SET ROLE token_broker_fleet",
        "SET session_replication_role = replica",
        "SELECT token_broker.held_elsewhere(sha256('1'), {two})",
        "SELECT token_broker.is_known(sha256('1'))",
        "SELECT token_broker.advance({one}, 'rotated', NULL, NULL, NULL, 'r', sha256('x'), 1)",
        "SELECT token_broker.end_grant({one}, 1)",
        "DELETE FROM token_broker.connections",
        "UPDATE token_broker.connections SET deleted_at = 1, last_generation = 0",
        "UPDATE token_broker.audit SET outcome = 'done'",
        "DELETE FROM token_broker.audit",
        "UPDATE token_broker.schema_version SET version = 1",
        "SELECT * FROM token_broker.migrations",
    ] {
        let error = run(&mut serving, statement).await.expect_err(statement);
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{statement}\n{error}"
        );
    }
}

/// The setting that row-level security goes by is anybody's to make; it opens nothing to who has no privilege.
#[tokio::test]
async fn a_tenant_gets_its_own_only() {
    let (database, mut serving) = world().await;
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["true"]);
    for (call, nothing) in [
        (
            "coalesce(encode((token_broker.take({two}, {one}, 'nonce')).sealed, 'escape'), 'nothing')",
            "nothing",
        ),
        (
            "(token_broker.settle({two}, {one}, 'rotated', NULL, NULL, NULL, 'r', sha256('x'), 9)).answer",
            "unknown",
        ),
        ("token_broker.conclude({two}, {one}, 'not_sent', NULL, 5, 9)::text", "false"),
        ("token_broker.conclude({two}, {one}, 'unknown', NULL, 5, 9)::text", "false"),
        ("token_broker.permit_replay({two}, {one}, 99, 9)::text", "false"),
        ("token_broker.burn({two}, {one}, 1, {two}, sha256('n'), 'r', 'c', 9)::text", "false"),
        ("token_broker.resolve_burn({two}, {one}, 1, {one}, sha256('n'), 'r', 'c', 9)", "stop"),
        ("coalesce(token_broker.revoke({two}, {one}, 9)::text, 'nothing')", "nothing"),
        ("token_broker.quarantine({two}, {one}, NULL, 9)::text", "false"),
        ("token_broker.delete_connection({two}, 'tenants/t1/connections/c', NULL, 0, 9)", "absent"),
        (
            "token_broker.reauthorise({two}, {one}, 9, 0, NULL, NULL, NULL, 'r', sha256('x'), sha256('e'), 9, 9)",
            "gone",
        ),
        ("(SELECT count(*)::text FROM token_broker.grant_facts({two}, {one}))", "0"),
        ("(SELECT count(*)::text FROM token_broker.attempts_of({two}, {one}, 9))", "0"),
        ("(SELECT count(*)::text FROM token_broker.grant_facts(NULL, {one}))", "0"),
    ] {
        let sql = format!("SET token_broker.tenant = {}; SELECT {call}", crate::console::ONE);
        assert_eq!(run(&mut serving, &sql).await.unwrap(), [nothing], "{call}");
    }
    assert_eq!(take(&mut serving).await, "secret-1", "nothing of it changed anything");

    // Also for the functions' owner: a function that forgot its tenant sees nothing.
    let mut owner = database.connect("postgres").await;
    run(&mut owner, "SET ROLE token_broker_gate").await.unwrap();
    let count = "SELECT count(*)::text FROM token_broker.grants";
    assert_eq!(run(&mut owner, count).await.unwrap(), ["0"]);
    run(&mut owner, &format!("SET token_broker.tenant = {TWO}")).await.unwrap();
    let seen = "SELECT encode(refresh, 'escape') FROM token_broker.grants";
    assert_eq!(run(&mut owner, seen).await.unwrap(), ["secret-2"]);
    run(&mut owner, "SET ROLE token_broker_fleet").await.unwrap();
    let fleet = "SELECT count(fingerprint)::text FROM token_broker.grants";
    assert_eq!(run(&mut owner, fleet).await.unwrap(), ["2"]);
    refused(&mut owner, seen, "permission denied").await;
}

/// The attack: a function of the gate finds the attacker's table or operator before its own.
#[tokio::test]
async fn every_definer_has_a_pinned_search_path() {
    let (database, mut serving) = world().await;
    let mut admin = database.connect("postgres").await;
    let loose =
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'token_broker'::regnamespace AND prosecdef
        AND NOT coalesce('search_path=pg_catalog, token_broker, pg_temp' = ANY (proconfig), false)";
    assert_eq!(run(&mut admin, loose).await.unwrap(), [""; 0]);
    let open =
        "SELECT p.proname::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE p.pronamespace = 'token_broker'::regnamespace AND a.grantee = 0";
    assert_eq!(run(&mut admin, open).await.unwrap(), [""; 0], "nothing is for PUBLIC");

    run(&mut serving, BURN).await.unwrap();
    run(
        &mut serving,
        "CREATE TEMP TABLE attempts (attempt_id uuid, nonce_hash bytea, outcome text, connection_uid uuid)",
    )
    .await
    .unwrap();
    run(&mut serving, "INSERT INTO attempts VALUES ({one}, sha256('mine'), NULL, {two})").await.unwrap();
    run(&mut serving, "SET search_path = pg_temp, token_broker").await.unwrap();
    let mine = TAKE.replace("'nonce'", "'mine'");
    assert_eq!(run(&mut serving, &mine).await.unwrap(), ["nothing"]);
}

/// A version from before the gate, and one that forgets to burn.
#[tokio::test]
async fn an_older_program_cannot_spend() {
    let (_, mut serving) = world().await;
    refused(&mut serving, "SELECT refresh FROM token_broker.grants WHERE connection_uid = {one}", "denied")
        .await;
    assert_eq!(take(&mut serving).await, "nothing", "without a burn");
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["true"]);
    assert_eq!(run(&mut serving, BURN).await.unwrap(), ["false"]);
    let another = BURN.replace("1, {one}, sha256", "1, {two}, sha256");
    assert_eq!(run(&mut serving, &another).await.unwrap(), ["false"]);
}
