//! F6, F10: PostgreSQL is killed, stopped, restarted, made read-only in mid-refresh, and its backends are ended inside a
//! COMMIT. Nothing is spent without it, and nothing received is lost.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use procore_simulator::Hold;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{Fleet, Launch, Setup, guarded, reason, table, until};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Restarted,
    Stopped,
    ReadOnly,
}

const FAULTS: [(Fault, &str); 4] = [
    (Fault::Killed, "killed (every process), then started"),
    (Fault::Restarted, "stopped and started"),
    (Fault::Stopped, "SIGSTOP, then SIGCONT"),
    (Fault::ReadOnly, "read-only, then not"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_spent_without_the_database_and_nothing_is_lost() {
    let rows: Vec<_> = stream::iter(FAULTS).map(strike).buffered(2).collect().await;
    table(
        "F6, F10: PostgreSQL in mid-refresh, 3 replicas",
        [
            "PostgreSQL",
            "in flight then",
            "answered without it",
            "served from memory",
            "asked meanwhile",
            "presented meanwhile",
            "lost",
        ],
        rows,
    );
}

async fn strike((fault, name): (Fault, &str)) -> [String; 7] {
    let fleet = Fleet::start(Setup { own_postgres: Some(""), ..Setup::default() }).await;
    let app = fleet.proven_app().await;
    let caller = fleet.caller(0).await;
    let cached = [fleet.connection(&caller, &app, "cached").await];
    // What a replica hears of while it reads, it does not keep: twice.
    fleet.everybody_asks(&cached).await.all_served().await;
    fleet.everybody_asks(&cached).await.all_served().await;
    let known = fleet.connections(&caller, &app, "wanted", 7).await;
    let (first, later) = known.split_at(4);
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    // All at one replica: others would wait for the database, to know that they need not.
    let calls = fleet.ask(&[caller], first);
    fleet.all_presented(first).await;

    let cluster = fleet.cluster.as_ref().unwrap();
    match fault {
        Fault::Killed => cluster.kill(),
        Fault::Restarted => cluster.stop(),
        Fault::Stopped => cluster.pause(),
        Fault::ReadOnly => set(&fleet, "default_transaction_read_only = on").await,
    }
    let more = fleet.everybody_asks(later).await;
    let served = fleet.everybody_asks(&cached).await.all_served().await;
    fleet.simulator.release();
    let answered = calls.all_served().await;
    let meanwhile = fleet.presented(later);
    assert_eq!(meanwhile, 0, "{fault:?}: spent without a record");
    match fault {
        Fault::Killed | Fault::Restarted => cluster.restart(),
        Fault::Stopped => cluster.resume(),
        Fault::ReadOnly => set(&fleet, "default_transaction_read_only = off").await,
    }
    let asked = more.count();
    for answer in more.answers().await {
        let word = answer.map_or_else(|status| reason(&status), |_| "a token".to_owned());
        assert!(["a token", "STORE_UNAVAILABLE", "REFRESH_IN_PROGRESS"].contains(&word.as_str()), "{word}");
    }
    let verdict = fleet.finish().await;
    verdict.lossless();
    let counts = [first.len(), answered, served, asked, meanwhile, verdict.lost];
    let [first, answered, served, asked, meanwhile, lost] = counts.map(|count| count.to_string());
    [name.to_owned(), first, answered, served, asked, meanwhile, lost]
}

/// Changes a setting of the whole cluster.
pub async fn set(fleet: &Fleet, setting: &'static str) {
    let mut superuser = superuser(fleet).await;
    for statement in ["SET default_transaction_read_only = off", "", "SELECT pg_reload_conf()"] {
        let alter = format!("ALTER SYSTEM SET {setting}");
        let statement = if statement.is_empty() { &alter } else { statement };
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut superuser).await.unwrap();
    }
    superuser.close().await.unwrap();
}

/// A console whose own commits wait for nobody.
pub async fn superuser(fleet: &Fleet) -> PgConnection {
    let mut superuser = fleet.database.connect("postgres").await;
    sqlx::raw_sql("SET synchronous_commit = local").execute(&mut superuser).await.unwrap();
    superuser
}

/// Every COMMIT waits from now on for a standby that will never come.
pub async fn hang_commits(fleet: &Fleet) {
    set(fleet, "synchronous_standby_names = 'nobody'").await;
    let write = "SELECT pg_logical_emit_message(true, 'probe', 'probe')";
    until("commits hang", async || {
        let mut probe = fleet.database.connect("postgres").await;
        let commit = sqlx::raw_sql(write).execute(&mut probe);
        tokio::time::timeout(Duration::from_millis(100), commit).await.is_err()
    })
    .await;
}

/// They do not wait any more.
pub async fn let_commits_go(fleet: &Fleet) {
    set(fleet, "synchronous_standby_names = ''").await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Burn,
    Settle,
}

/// Inside a COMMIT: it is in the log of this server, and waits for a standby that will never come.
async fn inside_a_commit(step: Step, blow: &str) -> [String; 6] {
    let setup = Setup { replicas: 2, own_postgres: Some(""), ..Setup::default() };
    let mut fleet = Fleet::start(setup).await;
    let worker = fleet.add("worker", "worker").await;
    let launch = match step {
        Step::Burn => fleet.replicas[worker].holding_at("before_burn"),
        Step::Settle => Launch::default(),
    };
    fleet.launch(worker, &launch).await;
    fleet.with_redis(true).await;
    let app = fleet.proven_app_by(0).await;
    let known = [fleet.connection(&fleet.caller(0).await, &app, "wanted").await];
    if step == Step::Settle {
        fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    }
    let call = fleet.ask(&[fleet.caller(worker).await], &known);
    match step {
        Step::Burn => until("it is about to burn", async || fleet.replicas[worker].reached() > 0).await,
        Step::Settle => fleet.all_presented(&known).await,
    }
    hang_commits(&fleet).await;
    fleet.replicas[worker].let_go();
    fleet.simulator.release();
    let mut superuser = superuser(&fleet).await;
    let function = if step == Step::Burn { "burn" } else { "settle" };
    let strike = format!(
        "SELECT count(*) FROM (SELECT {blow}(pid) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND query LIKE '%token_broker.{function}%') AS struck"
    );
    let mut struck = 0;
    until("a backend waits in its COMMIT", async || {
        let strike = sqlx::AssertSqlSafe(strike.clone());
        struck += sqlx::query_scalar::<_, i64>(strike).fetch_one(&mut superuser).await.unwrap();
        struck > 0
    })
    .await;
    drop(superuser);
    let presented = fleet.presented(&known);
    let expected = usize::from(step == Step::Settle);
    assert_eq!(presented, expected, "{step:?}, {blow}: presented before the commit was known");
    let_commits_go(&fleet).await;
    let answers = guarded("its caller is answered", call.answers()).await;
    let word = answers.into_iter().next().unwrap();
    let word = word.map_or_else(|status| reason(&status), |_| "a token".to_owned());
    let states = fleet.rows().await.grants[&known[0].name].state.clone();
    let after = fleet.presented(&known);
    let verdict = fleet.finish().await;
    verdict.lossless();
    let [presented, after, lost] = [presented, after, verdict.lost].map(|count| count.to_string());
    [format!("{function}'s COMMIT"), blow.to_owned(), presented, format!("{word}, {states}"), after, lost]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_ends_inside_a_commit_is_asked_about() {
    let blows = ["pg_terminate_backend", "pg_cancel_backend"];
    let cases = blows.into_iter().flat_map(|blow| [(Step::Burn, blow), (Step::Settle, blow)]);
    let rows: Vec<_> =
        stream::iter(cases).map(|(step, blow)| inside_a_commit(step, blow)).buffered(2).collect().await;
    table(
        "F6: a backend is ended inside a COMMIT",
        ["inside", "by", "presented before", "its caller, and the grant", "presented", "lost"],
        rows,
    );
}
