//! F1: SIGKILL of a replica at every step, with others alive. Loss is allowed between the burn and the first durable
//! medium, and nowhere else.

use futures_util::future::join_all;
use token_broker::failpoint::POINTS;
use tokio::task::JoinHandle;

use crate::harness::{App, Fleet, Known, Launch, Setup, guarded, reason, table, until};

/// Replicas that live.
const ALIVE: usize = 2;
/// Refreshes under way in each that is killed.
const AT_ONCE: usize = 3;

/// A replica that is killed, and what it works on.
struct Victim {
    point: &'static str,
    replica: usize,
    known: Vec<Known>,
    calls: Vec<JoinHandle<bool>>,
}

/// From the burn to the first durable medium.
fn may_lose(point: &str) -> bool {
    let index = |name| POINTS.iter().position(|point| *point == name);
    (index("burnt")..=index("before_settle")).contains(&index(point))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_outside_the_window() {
    let mut fleet = Fleet::start(Setup { replicas: ALIVE, ..Setup::default() }).await;
    for (index, point) in POINTS.iter().enumerate() {
        let name = format!("killed-{index}");
        let replica = fleet.add(&name, &name).await;
        let launch = fleet.replicas[replica].holding_at(point);
        fleet.launch(replica, &launch).await;
    }
    fleet.with_redis(true).await;
    let app = fleet.proven_app_by(0).await;
    let mut victims = Vec::new();
    for (index, point) in POINTS.into_iter().enumerate() {
        victims.push(send(&fleet, &app, point, ALIVE + index).await);
    }
    let mut reached = Vec::new();
    for victim in &mut victims {
        let place = &fleet.replicas[victim.replica];
        until(&format!("refreshes are at {}", victim.point), async || place.reached() >= AT_ONCE).await;
        reached.push(place.reached());
        fleet.kill(victim.replica).await;
        join_all(victim.calls.drain(..)).await;
    }
    let presented: Vec<_> = victims.iter().map(|victim| presented(&fleet, &victim.known)).collect();
    // The others are asked for everything, and get it, or hear why not.
    let caller = &fleet.caller(1).await;
    let heard = fleet.heard();
    let all: Vec<_> = victims.iter().flat_map(|victim| victim.known.clone()).collect();
    let ask = all.iter().map(|known| heard.token(caller, &known.name));
    for answer in guarded("the others answer", join_all(ask)).await {
        let word = answer.map_or_else(|status| reason(&status), |_| "a token".to_owned());
        let fair = ["a token", "REAUTHORIZATION_REQUIRED", "REFRESH_IN_DOUBT"];
        assert!(fair.contains(&word.as_str()), "{word}");
    }
    for victim in &victims {
        fleet.launch(victim.replica, &Launch::default()).await;
    }
    let verdict = fleet.finish().await;
    let mut rows = Vec::new();
    for ((victim, reached), presented) in victims.iter().zip(reached).zip(presented) {
        let lost = victim.known.iter().filter(|known| verdict.losses.contains_key(&known.name)).count();
        let most = if may_lose(victim.point) { AT_ONCE } else { 0 };
        assert!(lost <= most, "{}: {lost} lost: {verdict:#?}", victim.point);
        let window = if may_lose(victim.point) { "the window" } else { "" };
        let [reached, presented, lost] = [reached, presented, lost].map(|count| count.to_string());
        rows.push([victim.point.to_owned(), window.to_owned(), reached, presented, lost]);
    }
    table(
        "F1: SIGKILL, with two others alive",
        ["killed at", "may lose", "reached", "presented before", "lost"],
        rows,
    );
    verdict.holds();
}

/// Has a replica refresh some connections.
async fn send(fleet: &Fleet, app: &App, point: &'static str, replica: usize) -> Victim {
    let known = fleet.connections(&fleet.caller(0).await, app, &point.replace('_', "-"), AT_ONCE).await;
    let caller = fleet.caller(replica).await;
    let call = |known: &Known| {
        let (caller, heard, name) = (caller.clone(), fleet.heard(), known.name.clone());
        tokio::spawn(async move { heard.token(&caller, &name).await.is_ok() })
    };
    let calls = known.iter().map(call).collect();
    Victim { point, replica, known, calls }
}

fn presented(fleet: &Fleet, known: &[Known]) -> usize {
    known.iter().map(|known| fleet.simulator.presentations_of(&known.refresh_token).len()).sum()
}

/// Where an answer is when its reader is killed while the database hangs.
async fn received_and_killed(redis: bool) -> [String; 5] {
    let mut fleet = Fleet::start(Setup { redis, ..Setup::default() }).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "received", 4).await;
    // The settle waits for this lock, as the answer is kept elsewhere and handed out.
    let mut superuser = fleet.database.connect("postgres").await;
    let mut console = fleet.database.connect("postgres").await;
    let caller = fleet.caller(0).await;
    fleet.simulator.hold_token_requests(procore_simulator::Hold::AfterProcessing);
    let before = fleet.presentations().len();
    let heard = fleet.heard();
    let calls = known.iter().map(|known| heard.token(&caller, &known.name));
    let middle = async {
        until("the provider holds the answers", async || fleet.presentations().len() - before == known.len())
            .await;
        let lock = "BEGIN; LOCK TABLE token_broker.attempts IN EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut superuser).await.unwrap();
        fleet.simulator.release();
    };
    let (answers, ()) =
        guarded("tokens are handed out", async { tokio::join!(join_all(calls), middle) }).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    // The first medium lets them go; a disk that dies with its replica is not the only one.
    until("the escrow has them", async || !redis || fleet.escrowed().await == known.len()).await;
    fleet.kill(0).await;
    // What it had sent to the database goes with it, also what no backend has begun to read. The others come again.
    let serving = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename <> 'postgres'";
    sqlx::raw_sql(serving).execute(&mut console).await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut superuser).await.unwrap();
    let generations = async |fleet: &Fleet| {
        let rows = fleet.rows().await;
        let settled = |known: &&Known| rows.grants[&known.name].generation > known.first();
        known.iter().filter(settled).count()
    };
    let by = if redis {
        until("others settle from escrow", async || generations(&fleet).await == known.len()).await;
        "another replica, from escrow"
    } else {
        assert_eq!(generations(&fleet).await, 0, "who settled it?");
        fleet.launch(0, &Launch::default()).await;
        until("it settles from its journal", async || generations(&fleet).await == known.len()).await;
        "the same, started again, from its journal"
    };
    let verdict = fleet.finish().await;
    verdict.lossless();
    let counts = [known.len(), answers.len(), verdict.lost].map(|count| count.to_string());
    let [known, answers, lost] = counts;
    let redis = if redis { "yes" } else { "no" };
    [redis.to_owned(), known, answers, by.to_owned(), lost]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reached_a_second_medium_is_settled() {
    let rows = join_all([true, false].map(|with| Box::pin(received_and_killed(with)))).await;
    table(
        "SIGKILL with the answer in the second medium alone",
        ["Redis", "presented", "handed out", "settled by", "lost"],
        rows,
    );
}
