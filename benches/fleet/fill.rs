//! Connections in numbers: rows as the broker would have written them, written by a superuser.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::report::say;

/// Rows of a table at a time.
const PART: usize = 100_000;

/// Those that are no constraint: it is quicker to make them once everything is there.
const INDEXES: &str = "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 'token_broker'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)";

/// Among whom the filling is spread.
const TENANTS: &str =
    "INSERT INTO token_broker.tenants (uid, name, display_name, revision, created_at, updated_at)
    SELECT md5('tenant' || i)::uuid, 'tenants/t' || i, '', 1, 0, 0 FROM generate_series(1, 1000) i";

/// Grants that were refreshed once, with what that leaves.
const GRANTS: [&str; 4] = [
    "INSERT INTO token_broker.connections (uid, name, tenant_uid, oauth_client_uid, display_name, grant_type,
            account_id, generation_floor, revision, created_at, updated_at)
        SELECT md5('connection' || i)::uuid, 'tenants/t' || (i % 1000 + 1) || '/connections/c' || i,
            md5('tenant' || (i % 1000 + 1))::uuid, (SELECT uid FROM token_broker.oauth_clients LIMIT 1), '',
            'authorization_code', i::text, 0, 1, 0, 0
        FROM generate_series($1::integer, $2::integer) i",
    // As long as the sealed tokens of the provider here, and as little to be compressed.
    "INSERT INTO token_broker.grants (connection_uid, tenant_uid, generation, revoke_epoch, state, access,
            access_issued_at, access_expires_at, refresh, fingerprint, predecessor, endpoint)
        SELECT md5('connection' || i)::uuid, md5('tenant' || (i % 1000 + 1))::uuid, 2, 0, 'idle',
            (SELECT string_agg(sha256((i * 64 + part)::text::bytea), ''::bytea) FROM generate_series(1, 34) part),
            0, 1, sha256(i::text::bytea) || sha256((-i)::text::bytea), sha256(('now' || i)::bytea),
            sha256(('before' || i)::bytea), sha256('endpoint'::bytea)
        FROM generate_series($1::integer, $2::integer) i",
    "INSERT INTO token_broker.attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica, cause,
            fingerprint, dispatched_at, outcome, closed_at)
        SELECT md5('attempt' || i)::uuid, md5('connection' || i)::uuid, md5('tenant' || (i % 1000 + 1))::uuid, 1,
            sha256(('nonce' || i)::bytea), 'replica-0', 'expired', sha256(('before' || i)::bytea), 0, 'settled', 1
        FROM generate_series($1::integer, $2::integer) i",
    "INSERT INTO token_broker.audit (at, principal, action, resource, outcome)
        SELECT 0, 'static:operator', 'ConnectionService.ImportConnection', 'tenants/t/connections/c' || i, 'OK'
        FROM generate_series($1::integer, $2::integer) i",
];

/// It looks each name up, in a table that the planner takes for small or without its index.
const TRIGGER: &str = "connections_floor";

/// Connections that share the client's own token: what they have in memory needs no row but their own.
const LEASES: &str = "
    INSERT INTO token_broker.connections (uid, name, tenant_uid, oauth_client_uid, display_name, grant_type, account_id,
        generation_floor, revision, created_at, updated_at)
    SELECT md5('lease' || i)::uuid, 'tenants/bench/connections/lease-' || i,
        (SELECT uid FROM token_broker.tenants WHERE name = 'tenants/bench'),
        (SELECT uid FROM token_broker.oauth_clients LIMIT 1), '', 'client_credentials', i::text, 0, 1, 0, 0
    FROM generate_series(1, $1::integer) i";

/// Adds so many connections with grants. Meanwhile the indexes are gone: nobody may refresh anything.
pub(crate) async fn grants(database: &mut PgConnection, count: i32) -> anyhow::Result<()> {
    // What refers to what is right by construction.
    sqlx::raw_sql("SET session_replication_role = replica").execute(&mut *database).await?;
    trigger(database, "DISABLE").await?;
    sqlx::raw_sql(TENANTS).execute(&mut *database).await?;
    let indexes: Vec<(String, String)> = sqlx::query_as(INDEXES).fetch_all(&mut *database).await?;
    for (name, _) in &indexes {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP INDEX {name}"))).execute(&mut *database).await?;
    }
    for first in (1..=count).step_by(PART) {
        let last = count.min(first.saturating_add(i32::try_from(PART)? - 1));
        for statement in GRANTS {
            sqlx::query(statement).bind(first).bind(last).execute(&mut *database).await?;
        }
        say(&format!("{last} of {count} connections"));
    }
    for (name, definition) in indexes {
        sqlx::raw_sql(AssertSqlSafe(definition)).execute(&mut *database).await?;
        say(&format!("index {name}"));
    }
    trigger(database, "ENABLE ALWAYS").await?;
    sqlx::raw_sql("SET session_replication_role = origin").execute(&mut *database).await?;
    Ok(())
}

/// Adds so many connections without.
pub(crate) async fn leases(database: &mut PgConnection, count: i32) -> anyhow::Result<()> {
    trigger(database, "DISABLE").await?;
    sqlx::query(LEASES).bind(count).execute(&mut *database).await?;
    trigger(database, "ENABLE ALWAYS").await
}

async fn trigger(database: &mut PgConnection, change: &str) -> anyhow::Result<()> {
    let statement = format!("ALTER TABLE token_broker.connections {change} TRIGGER {TRIGGER}");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(database).await?;
    Ok(())
}

/// After so many rows: what the planner knows, and what is still to be written out.
pub(crate) async fn settle_down(database: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut *database).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&mut *database).await?;
    Ok(())
}
