//! Upgrades: programs from before the gate, and schemas that do not fit.

use std::process::Stdio;

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{Caller, Fleet, Known, Setup, guarded, table, until},
    restores::idle,
    servers::postgres::Database,
};

const CONNECTIONS: usize = 24;
const ROUNDS: usize = 6;
/// What is imported is expired: everybody's first question brings a generation.
const FIRST: u64 = 1;

/// The first half of a naive refresh: whoever is shown a token here presents it.
const READ: &str =
    "SELECT refresh FROM token_broker.grants WHERE connection_uid = {uid} AND refresh IS NOT NULL";
/// A refresh as it was before the gate, and what such a broker tidies up.
const WORK: [&str; 8] = [
    READ,
    "SELECT refresh FROM token_broker.grants WHERE connection_uid = {uid} FOR UPDATE",
    "UPDATE token_broker.grants SET state = 'dispatched', attempt_id = {uid}, since = 1
        WHERE connection_uid = {uid} AND state = 'idle' RETURNING refresh",
    "INSERT INTO token_broker.attempts (attempt_id, connection_uid, tenant_uid, generation, nonce_hash, replica,
        cause, fingerprint, dispatched_at)
        VALUES ({uid}, {uid}, {tenant}, 0, sha256('old'), 'old', 'expired', sha256('old'), 1) RETURNING nonce_hash",
    "UPDATE token_broker.grants SET state = 'idle', attempt_id = NULL, since = NULL, generation = generation + 1,
        refresh = 'a new one', fingerprint = sha256({uid}::bytea) WHERE connection_uid = {uid} RETURNING refresh",
    "INSERT INTO token_broker.grants SELECT * FROM token_broker.grants WHERE connection_uid = {uid}
        ON CONFLICT (connection_uid) DO UPDATE SET state = 'idle' RETURNING refresh",
    "UPDATE token_broker.attempts SET outcome = 'not_sent', closed_at = 1 WHERE connection_uid = {uid}
        RETURNING nonce_hash",
    "DELETE FROM token_broker.attempts WHERE connection_uid = {uid} RETURNING nonce_hash",
];

/// What became of an older program's statements.
#[derive(Debug, Default)]
struct Deeds {
    tried: usize,
    denied: usize,
    /// Rows that it was shown: tokens, or traces of its writes.
    shown: usize,
    /// What was neither denied nor shown anything.
    otherwise: Vec<String>,
}

impl Deeds {
    fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.denied += other.denied;
        self.shown += other.shown;
        self.otherwise.extend(other.otherwise);
    }

    /// Says each statement for each connection, as the tenant's own.
    async fn of_a_pass(console: &mut PgConnection, statements: &[&str]) -> Self {
        let all = "SELECT uid::text, tenant_uid::text FROM token_broker.connections";
        let connections = sqlx::query_as::<_, (String, String)>(all).fetch_all(&mut *console).await.unwrap();
        let mut deeds = Self::default();
        for (uid, tenant) in connections {
            let (uid, tenant) = (format!("'{uid}'"), format!("'{tenant}'"));
            let setting = format!("SET token_broker.tenant = {tenant}");
            console.execute(sqlx::raw_sql(AssertSqlSafe(setting))).await.unwrap();
            for statement in statements {
                let statement = statement.replace("{uid}", &uid).replace("{tenant}", &tenant);
                deeds.tried += 1;
                match console.fetch_all(sqlx::raw_sql(AssertSqlSafe(statement.clone()))).await {
                    Ok(rows) if rows.is_empty() => deeds.otherwise.push(statement),
                    Ok(rows) => deeds.shown += rows.len(),
                    Err(error) if error.to_string().contains("permission denied") => deeds.denied += 1,
                    Err(error) => deeds.otherwise.push(format!("{error}: {statement}")),
                }
            }
        }
        deeds
    }
}

/// A broker from before the gate, with the rights of those that serve.
async fn work_as_before(database: Database, stop: CancellationToken) -> Deeds {
    let mut console = database.connect("serving").await;
    let mut deeds = Deeds::default();
    while !stop.is_cancelled() {
        deeds.add(Deeds::of_a_pass(&mut console, &WORK).await);
    }
    deeds
}

/// These programs would take what they are shown: it is the database's doing that they are shown nothing. What they are
/// shown with the privilege, and with a policy that lets them see rows too.
async fn behind_each_wall(database: &Database) -> [Deeds; 2] {
    let mut admin = database.connect("postgres").await;
    let mut console = database.connect("serving").await;
    admin.execute("GRANT SELECT ON token_broker.grants TO token_broker_serving").await.unwrap();
    let granted = Deeds::of_a_pass(&mut console, &[READ]).await;
    let policy = "CREATE POLICY opened ON token_broker.grants TO token_broker_serving USING (true)";
    admin.execute(policy).await.unwrap();
    let opened = Deeds::of_a_pass(&mut console, &[READ]).await;
    admin.execute("DROP POLICY opened ON token_broker.grants").await.unwrap();
    admin.execute("REVOKE SELECT ON token_broker.grants FROM token_broker_serving").await.unwrap();
    [granted, opened]
}

/// Each replica renews its share of the connections, so many times; everybody reads everything meanwhile.
async fn work_as_now(fleet: &Fleet, known: &[Known]) -> usize {
    let callers = fleet.callers().await;
    for round in 0..ROUNDS as u64 {
        // A caller may be answered from a journal. Who wants a refresh before the database has it gets the one under way.
        until("the last round is settled", async || idle(fleet, known, FIRST + round).await == known.len())
            .await;
        let share = |caller: &Caller, (index, known): (usize, &Known)| {
            let (caller, name) = (caller.clone(), known.name.clone());
            async move { caller.refresh(&name).await.map(|_| index) }
        };
        let renewed = known.iter().enumerate().map(|(index, known)| {
            let caller = &callers[index % callers.len()];
            share(caller, (index, known))
        });
        let reading = fleet.ask(&callers, known);
        for renewed in guarded("everything is renewed", join_all(renewed)).await {
            renewed.unwrap();
        }
        reading.all_served().await;
    }
    ROUNDS * known.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_from_before_the_gate_can_spend_nothing() {
    let fleet = Fleet::start(Setup::default()).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", CONNECTIONS).await;
    fleet.everybody_asks(&known).await.all_served().await;
    let stop = CancellationToken::new();
    let older: Vec<_> =
        (0..3).map(|_| tokio::spawn(work_as_before(fleet.database.clone(), stop.clone()))).collect();
    let before = fleet.presentations().len();
    let renewed = work_as_now(&fleet, &known).await;
    let presented = fleet.presentations().len() - before;
    stop.cancel();
    let mut deeds = Deeds::default();
    for older in older {
        deeds.add(guarded("the older programs end", older).await.unwrap());
    }
    assert_eq!(presented, renewed, "what was presented is what the replicas were asked for");
    assert!(deeds.tried >= 3 * CONNECTIONS * WORK.len(), "they were there: {deeds:?}");
    assert_eq!((deeds.denied, deeds.shown), (deeds.tried, 0), "{deeds:?}");
    let rows = fleet.rows().await;
    let mut attempts = rows.grants.values().flat_map(|grant| &grant.attempts);
    assert!(attempts.all(|attempt| attempt.replica.starts_with('r')), "{rows:?}");

    let [granted, opened] = behind_each_wall(&fleet.database).await;
    assert_eq!(
        (granted.denied, granted.shown),
        (0, 0),
        "row-level security is a wall of its own: {granted:?}"
    );
    assert_eq!((opened.shown, opened.denied), (opened.tried, 0), "{opened:?}");

    let verdict = fleet.finish().await;
    verdict.lossless();
    let row = [deeds.tried, deeds.denied, deeds.shown, presented, opened.shown];
    table(
        "3 programs from before the gate beside 3 replicas under load",
        [
            "statements",
            "denied",
            "rows shown",
            "presentations, all the replicas'",
            "tokens shown with SELECT and a policy",
        ],
        [row.map(|count| count.to_string())],
    );
}

/// What a broker says that cannot start on the fleet's database.
async fn refusal_of(fleet: &Fleet) -> String {
    let path = fleet.folder().join("refused.toml");
    std::fs::write(&path, fleet.config("refused", "refused", None).summary().unwrap()).unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_token-broker"));
    serve.arg("serve").arg("--config").arg(path).stdin(Stdio::null()).kill_on_drop(true);
    let output = guarded("it is refused", serve.output()).await.unwrap();
    assert!(!output.status.success(), "it served");
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_does_not_fit_is_named_and_not_served() {
    let fleet = Fleet::start(Setup { replicas: 1, ..Setup::default() }).await;
    let app = fleet.proven_app().await;
    let caller = fleet.caller(0).await;
    let known = fleet.connections(&caller, &app, "wanted", 2).await;
    let (held, wanted) = (&known[..1], &known[1..]);
    fleet.ask(std::slice::from_ref(&caller), held).all_served().await;
    let mut owner = fleet.database.connect("owner").await;
    let mut rows = Vec::new();
    for (schema, change, fix) in [
        ("too old", "version = 0, oldest_program = 0", "token-broker migrate"),
        ("too new", "version = version + 2, oldest_program = version + 1", "upgrade"),
    ] {
        let before = "CREATE TABLE was AS SELECT * FROM token_broker.schema_version";
        owner.execute(before).await.unwrap();
        let change = format!("UPDATE token_broker.schema_version SET {change}");
        owner.execute(AssertSqlSafe(change)).await.unwrap();
        let said = refusal_of(&fleet).await;
        let at = said.find("the database has schema").unwrap_or_else(|| panic!("{said}"));
        let said = said[at..].to_owned();
        assert!(said.contains(fix), "{said}");
        // One that runs finds out with its next connection.
        let mut admin = fleet.database.connect("postgres").await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE usename = 'serving' AND datname = current_database()";
        admin.execute(cut).await.unwrap();
        let broker = fleet.replicas[0].broker();
        until("a replica that runs says so", async || {
            broker.readiness().await.contains("store_unavailable") && broker.log().contains(&said)
        })
        .await;
        fleet.ask(std::slice::from_ref(&caller), held).all_served().await;
        let refused = fleet.ask(std::slice::from_ref(&caller), wanted).answers().await;
        assert!(refused.iter().all(Result::is_err), "{refused:?}");
        assert_eq!(fleet.presented(wanted), 0);
        let back = "UPDATE token_broker.schema_version s SET version = was.version, oldest_program = was.oldest_program
            FROM was; DROP TABLE was";
        owner.execute(sqlx::raw_sql(back)).await.unwrap();
        until("it is well", async || !broker.readiness().await.contains("store_unavailable")).await;
        rows.push([schema.to_owned(), said, "from memory".to_owned(), "0".to_owned()]);
    }
    fleet.ask(&[caller], wanted).all_served().await;
    fleet.finish().await.lossless();
    table(
        "A schema that does not fit",
        ["schema", "a replica that starts", "one that runs serves", "presentations"],
        rows,
    );
}
