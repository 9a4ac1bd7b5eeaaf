//! What goes together: each request keeps its tenant, its guard and its answer.

use crate::console::{ONE, TWO, run, take, world};

const BOTH: &str = "ARRAY[{one}, {two}]::uuid[]";

fn sql(text: &str) -> String {
    text.replace("{both}", BOTH)
}

/// The attack: another tenant's connection is named beside one's own, in one statement.
#[tokio::test]
async fn each_request_is_its_own_tenants() {
    let (_, mut serving) = world().await;
    let burn = |tenants: &str, waits: bool| {
        sql(&format!(
            "SELECT token_broker.burn_all({tenants}, {{both}}, ARRAY[1, 1]::bigint[], {{both}},
                ARRAY[sha256('nonce'), sha256('nonce')], ARRAY['r', 'r'], ARRAY['c', 'c'], ARRAY[5, 5]::bigint[],
                {waits})::text"
        ))
    };
    let crossed = "ARRAY[{two}, {one}]::uuid[]";
    for waits in [false, true] {
        assert_eq!(run(&mut serving, &burn(crossed, waits)).await.unwrap(), ["{f,f}"]);
    }
    assert_eq!(run(&mut serving, &burn(BOTH, false)).await.unwrap(), ["{t,t}"]);

    let taken = |tenants: &str| {
        sql(&format!(
            "SELECT coalesce(encode(sealed[1], 'escape'), 'nothing') || coalesce(encode(sealed[2], 'escape'), 'nothing')
            FROM token_broker.take_all({tenants}, {{both}}, ARRAY['nonce'::bytea, 'nonce'])"
        ))
    };
    assert_eq!(take(&mut serving).await, "secret-1", "they are durable");
    assert_eq!(run(&mut serving, &taken(crossed)).await.unwrap(), ["nothingnothing"]);
    assert_eq!(run(&mut serving, &taken(BOTH)).await.unwrap(), ["secret-1secret-2"]);

    let settle = |tenants: &str| {
        sql(&format!(
            "SELECT token_broker.settle_all({tenants}, {{both}}, ARRAY['rotated', 'rotated'], ARRAY[NULL, NULL]::bytea[],
                ARRAY[NULL, NULL]::bigint[], ARRAY[NULL, NULL]::bigint[], ARRAY['next-1'::bytea, 'next-2'],
                ARRAY[sha256('n1'), sha256('n2')], ARRAY[9, 9]::bigint[])::text"
        ))
    };
    assert_eq!(run(&mut serving, &settle(crossed)).await.unwrap(), ["{NULL,NULL}"]);
    let facts = |tenants: &str| {
        sql(&format!("SELECT count(*)::text FROM token_broker.grant_facts_all({tenants}, {{both}})"))
    };
    assert_eq!(run(&mut serving, &facts(crossed)).await.unwrap(), ["0"]);
    assert_eq!(run(&mut serving, &facts(BOTH)).await.unwrap(), ["2"]);
    assert_eq!(
        run(&mut serving, &settle(BOTH)).await.unwrap(),
        ["{2,2}"],
        "nothing above has changed anything"
    );
}

/// One's token in another's place would be presented as another's.
#[tokio::test]
async fn each_settle_gets_its_own_pair() {
    let (database, mut serving) = world().await;
    for name in ["{one}", "{two}"] {
        let burn = format!(
            "SELECT token_broker.burn({name}, {name}, 1, {name}, sha256('nonce'), 'r', 'c', 5)::text"
        );
        assert_eq!(run(&mut serving, &burn).await.unwrap(), ["true"]);
    }
    let settle = sql("SELECT token_broker.settle_all({both}, {both}, ARRAY['rotated', 'rotated'],
        ARRAY['access-1'::bytea, 'access-2'], ARRAY[11, 12]::bigint[], ARRAY[21, 22]::bigint[],
        ARRAY['next-1'::bytea, 'next-2'], ARRAY[sha256('n1'), sha256('n2')], ARRAY[31, 32]::bigint[])::text");
    assert_eq!(run(&mut serving, &settle).await.unwrap(), ["{2,2}"]);
    let mut admin = database.connect("postgres").await;
    let rows = "SELECT concat_ws(' ', encode(g.access, 'escape'), access_issued_at, access_expires_at,
            encode(g.refresh, 'escape'), g.fingerprint = sha256('n1'), closed_at)
        FROM token_broker.grants g JOIN token_broker.attempts USING (connection_uid) ORDER BY g.connection_uid";
    let own = ["access-1 11 21 next-1 t 31", "access-2 12 22 next-2 f 32"];
    assert_eq!(run(&mut admin, rows).await.unwrap(), own);
}

/// One grant is held by somebody's open transaction: the other request does not wait for it.
#[tokio::test]
async fn a_lock_holds_up_its_own_request_only() {
    let (database, mut serving) = world().await;
    let mut holder = database.connect("postgres").await;
    let lock = format!("BEGIN; SELECT FROM token_broker.grants WHERE connection_uid = {ONE} FOR UPDATE");
    run(&mut holder, &lock).await.unwrap();
    let burn = sql(
        "SELECT token_broker.burn_all({both}, {both}, ARRAY[1, 1]::bigint[], {both},
            ARRAY[sha256('nonce'), sha256('nonce')], ARRAY['r', 'r'], ARRAY['c', 'c'], ARRAY[5, 5]::bigint[], false)::text",
    );
    assert_eq!(run(&mut serving, &burn).await.unwrap(), ["{NULL,t}"]);
    run(&mut holder, "ROLLBACK").await.unwrap();
    let state = format!("SELECT state FROM token_broker.grant_facts({TWO}, {TWO})");
    assert_eq!(run(&mut serving, &state).await.unwrap(), ["dispatched"]);
}

/// One request spoils the statement: an index has the last word, and each is told to ask alone.
#[tokio::test]
async fn what_spoils_the_statement_is_undone_for_all() {
    let (_, mut serving) = world().await;
    // A tombstone takes the second's attempt.
    let tombstone = "SELECT token_broker.resolve_burn({two}, {two}, 1, {two}, sha256('nonce'), 'r', 'c', 5)";
    run(&mut serving, tombstone).await.unwrap();
    let burn = sql(
        "SELECT token_broker.burn_all({both}, {both}, ARRAY[1, 1]::bigint[], {both},
            ARRAY[sha256('nonce'), sha256('nonce')], ARRAY['r', 'r'], ARRAY['c', 'c'], ARRAY[5, 5]::bigint[], false)::text",
    );
    assert_eq!(run(&mut serving, &burn).await.unwrap(), ["{NULL,NULL}"]);
    for (tenant, state) in [(ONE, "idle"), (TWO, "idle")] {
        let facts = format!("SELECT state FROM token_broker.grant_facts({tenant}, {tenant})");
        assert_eq!(run(&mut serving, &facts).await.unwrap(), [state]);
    }
}
