//! Two tenants with a connection each, and SQL by anybody.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use crate::servers::postgres::{Cluster, Database, shared};

/// `11111111-...`: tenant, connection and attempt of the first; in SQL `{one}`.
pub(crate) const ONE: &str = "'11111111-1111-1111-1111-111111111111'";
/// Of the second; in SQL `{two}`.
pub(crate) const TWO: &str = "'22222222-2222-2222-2222-222222222222'";

/// A database in which each tenant has a grant of generation 1, whose refresh token is `secret-1` and `secret-2`.
pub(crate) async fn furnished(cluster: &Cluster) -> Database {
    let database = cluster.database().await;
    let mut serving = database.connect("serving").await;
    run(
        &mut serving,
        "INSERT INTO token_broker.oauth_clients VALUES
            ({one}, 'oauthClients/app', NULL, '', 'procore', 'sandbox', 'client', '[]', NULL, 1, 0, 0)",
    )
    .await
    .unwrap();
    for (n, uid) in [(1, ONE), (2, TWO)] {
        for statement in [
            "INSERT INTO token_broker.tenants VALUES ({uid}, 'tenants/t{n}', '', 1, 0, 0)",
            "INSERT INTO token_broker.connections (uid, name, tenant_uid, oauth_client_uid, display_name, grant_type,
                account_id, generation_floor, revision, created_at, updated_at)
            VALUES ({uid}, 'tenants/t{n}/connections/c', {uid}, {one}, '', 'authorization_code', '1', 0, 1, 0, 0)",
            "SELECT token_broker.reauthorise({uid}, {uid}, 1, 0, NULL, NULL, NULL, 'secret-{n}', sha256('{n}'),
                sha256('endpoint'), 0, 0)",
        ] {
            let statement = statement.replace("{uid}", uid).replace("{n}", &n.to_string());
            run(&mut serving, &statement).await.unwrap();
        }
    }
    database
}

/// The same in the cluster of all tests, and who serves there.
pub(crate) async fn world() -> (Database, PgConnection) {
    let database = furnished(shared()).await;
    let serving = database.connect("serving").await;
    (database, serving)
}

/// Rows, or the database's own words. A text of several statements is one exchange.
pub(crate) async fn run(console: &mut PgConnection, sql: &str) -> Result<Vec<String>, String> {
    let sql = sql.replace("{one}", ONE).replace("{two}", TWO);
    let rows = console.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
    rows.map(|rows| rows.iter().map(|row| row.try_get::<String, _>(0).unwrap_or_default()).collect())
        .map_err(|error| error.to_string())
}

/// What must not be.
pub(crate) async fn refused(console: &mut PgConnection, sql: &str, words: &str) {
    let error = run(console, sql).await.expect_err(sql);
    assert!(error.contains(words), "{sql}\n{error}");
}

/// The burn of the first grant.
pub(crate) const BURN: &str =
    "SELECT token_broker.burn({one}, {one}, 1, {one}, sha256('nonce'), 'replica', 'cause', 5)::text";
/// Its token.
pub(crate) const TAKE: &str = "SELECT CASE WHEN durable THEN coalesce(encode(sealed, 'escape'), 'nothing')
    ELSE 'not yet' || coalesce(encode(sealed, 'escape'), '') END
    FROM token_broker.take({one}, {one}, 'nonce')";

/// Its token, once it is durable. What else is in the log is flushed by a commit, as the broker does it.
pub(crate) async fn take(console: &mut PgConnection) -> String {
    take_by(console, TAKE).await
}

/// The same in other words.
pub(crate) async fn take_by(console: &mut PgConnection, sql: &str) -> String {
    loop {
        let taken = run(console, sql).await.unwrap().remove(0);
        if taken != "not yet" {
            return taken;
        }
        run(console, "SELECT pg_logical_emit_message(true, 'test', ''::text)::text").await.unwrap();
    }
}
