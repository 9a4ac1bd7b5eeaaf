//! Nothing is wrong: one presentation per generation, whoever asks and wherever; and nobody polls.

use std::time::Duration;

use futures_util::future::join_all;
use procore_simulator::Hold;

use crate::harness::{Fleet, Known, Setup, guarded, table, until};

const HOUR: Duration = Duration::from_hours(1);

/// Everybody asks every replica for every connection, over connections of their own.
async fn everybody_asks(fleet: &Fleet, known: &[Known], callers_each: usize) -> usize {
    let callers = join_all(
        (0..fleet.replicas.len() * callers_each).map(|index| fleet.caller(index % fleet.replicas.len())),
    );
    let callers = callers.await;
    let heard = fleet.heard();
    let calls = callers.iter().flat_map(|caller| known.iter().map(move |known| (caller, known)));
    let calls = calls.map(|(caller, known)| heard.token(caller, &known.name));
    let answers = guarded("everybody is answered", join_all(calls)).await;
    let refused = answers.iter().find(|answer| answer.is_err());
    assert!(refused.is_none(), "{refused:?}");
    answers.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_presentation_per_generation() {
    let fleet = Fleet::start(Setup::default()).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", 40).await;
    let before = fleet.presentations().len();
    let answered = everybody_asks(&fleet, &known, 4).await;
    let presented = fleet.presentations().len() - before;
    assert_eq!(presented, known.len());
    let verdict = fleet.finish().await;
    verdict.lossless();
    let row = [known.len(), answered, presented, verdict.presentations, verdict.lost];
    table(
        "A healthy fleet of 3",
        ["connections", "callers answered", "presentations", "with the checker's", "lost"],
        [row.map(|count| count.to_string())],
    );
}

/// How often a function of the gate was called.
fn calls_of(fleet: &Fleet, function: &str) -> usize {
    let call = format!("token_broker.{function}(");
    fleet.cluster.as_ref().unwrap().log().lines().filter(|line| line.contains(&call)).count()
}

/// Replicas that hear of each other in one way, and otherwise would look again in an hour.
async fn waiters_are_woken(redis: bool) -> [String; 4] {
    let setup = Setup {
        redis,
        own_postgres: Some("log_statement = 'all'\n"),
        change: |config| {
            config.refresh.look_again = HOUR;
            config.refresh.look_again_told = HOUR;
        },
        ..Setup::default()
    };
    let fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", 6).await;
    let before = fleet.presentations().len();
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let names = known.iter().map(|known| known.name.clone());
    let callers = fleet.callers().await;
    let heard = fleet.heard();
    let mut calls = Vec::new();
    for name in names {
        for caller in callers.iter().cycle().take(9) {
            let (caller, heard, name) = (caller.clone(), heard.clone(), name.clone());
            calls.push(tokio::spawn(async move { heard.token(&caller, &name).await }));
        }
    }
    until("the provider holds an answer for each", async || {
        fleet.presentations().len() - before == known.len()
    })
    .await;
    let waiting = calls_of(&fleet, "sweep") + 12;
    until("everybody waits", async || calls_of(&fleet, "sweep") >= waiting).await;
    let looks = calls_of(&fleet, "grant_facts");
    until("time passes", async || calls_of(&fleet, "sweep") >= waiting + 24).await;
    let looks = calls_of(&fleet, "grant_facts") - looks;
    assert_eq!(looks, 0, "somebody polls");
    fleet.simulator.release();
    let answers = guarded("waiters are woken", join_all(calls)).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().is_ok()), "{answers:?}");
    assert_eq!(fleet.presentations().len() - before, known.len());
    fleet.finish().await.lossless();
    let looks = format!("{looks} in {} sweeps", 24);
    let by = if redis { "Redis" } else { "LISTEN/NOTIFY" };
    [by.to_owned(), known.len().to_string(), answers.len().to_string(), looks]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_on_other_replicas_are_woken() {
    let rows = [waiters_are_woken(true).await, waiters_are_woken(false).await];
    table(
        "Waiters of 3 replicas; each would look again in an hour",
        ["woken by", "refreshes held", "callers answered", "looks at a grant while they wait"],
        rows,
    );
}
