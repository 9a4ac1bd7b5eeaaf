//! The record of who was given which token: on the disk beside the answers, at no caller's expense.

use std::collections::{BTreeMap, BTreeSet};

use token_broker::{journal::issuances, model::Issuance};

use crate::harness::{Fleet, Guardian, Known, Launch, Setup, table, until};

/// What one replica has recorded of these connections.
async fn recorded(fleet: &Fleet, replica: usize, known: &[Known]) -> Vec<Issuance> {
    let mut database = fleet.database.connect("postgres").await;
    let names = "SELECT name, uid::text FROM token_broker.connections";
    let uids: BTreeMap<String, String> =
        sqlx::query_as(names).fetch_all(&mut database).await.unwrap().into_iter().collect();
    let wanted: Vec<_> = known.iter().map(|known| &uids[&known.name]).collect();
    let mut recorded = issuances(&fleet.replicas[replica].folder.join("journal")).unwrap();
    recorded.retain(|issuance| wanted.contains(&&issuance.connection.0.to_string()));
    recorded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_given_which_token_is_on_the_disk() {
    const CALLS: usize = 20;
    let mut fleet = Fleet::start(Setup { replicas: 2, ..Setup::default() }).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", 5).await;
    let mut calls = 0;
    for _ in 0..CALLS {
        calls += fleet.everybody_asks(&known).await.all_served().await;
    }
    let given = |recorded: &[Issuance]| {
        let what =
            recorded.iter().map(|given| (given.principal.clone(), given.connection.0, given.generation.0));
        what.collect::<BTreeSet<_>>()
    };
    let mut written = 0;
    for replica in 0..2 {
        until("every token that was handed out is recorded", async || {
            given(&recorded(&fleet, replica, &known).await).len() == known.len()
        })
        .await;
        let recorded = recorded(&fleet, replica, &known).await;
        let next = known[0].first() + 1;
        let is_what_was_given =
            |given: &Issuance| given.principal == "static:operator" && given.generation.0 == next;
        assert!(recorded.iter().all(is_what_was_given), "{recorded:?}");
        written += recorded.len();
    }
    assert!(written < calls / 4, "{written} records of {calls} calls");

    let before = recorded(&fleet, 0, &known).await;
    fleet.kill(0).await;
    let killed = recorded(&fleet, 0, &known).await;
    assert!(killed.starts_with(&before), "SIGKILL took a record");
    fleet.launch(0, &Launch::default()).await;
    let caller = fleet.caller(0).await;
    caller.refresh(&known[0].name).await.unwrap();
    fleet.ask(&[caller], &known).all_served().await;
    until("a new token is recorded too", async || {
        given(&recorded(&fleet, 0, &known).await).len() == known.len() + 1
    })
    .await;
    let after = recorded(&fleet, 0, &known).await;
    assert!(after.starts_with(&killed), "a restart took a record");
    assert!(!fleet.replicas[0].broker().readiness().await.contains("journal_gaps"));
    fleet.finish().await.lossless();
    let row = [calls, written, killed.len(), after.len()].map(|count| count.to_string());
    table(
        "Who was given which token",
        ["calls", "records", "of one replica after SIGKILL", "and after 5 calls to the next process"],
        [row],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_recorded_is_counted_and_told() {
    let mut fleet = Fleet::start(Setup { replicas: 1, ..Setup::default() }).await;
    let full = fleet.add("full", "full").await;
    let journal = fleet.replicas[full].folder.join("journal");
    std::fs::create_dir(&journal).unwrap();
    let Some(disk) = Guardian::small_disk(&journal) else {
        println!("skipped: only root can mount a small disk");
        return;
    };
    fleet.launch(full, &Launch::default()).await;
    let app = fleet.proven_app_by(0).await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", 8).await;
    fleet.ask(&[fleet.caller(0).await], &known).all_served().await;
    let caller = fleet.caller(full).await;
    let served = fleet.ask(std::slice::from_ref(&caller), &known).all_served().await;
    until("it is told", async || {
        let broker = fleet.replicas[full].broker();
        broker.readiness().await.contains("journal_gaps") && broker.log().contains("journal.gaps")
    })
    .await;
    let again = fleet.ask(&[caller], &known).all_served().await;
    let broker = fleet.replicas[full].broker();
    assert!(broker.is_ready().await, "a reason, and no unreadiness");
    let told = broker.log().matches("journal.gaps").count();
    assert!((1..=3).contains(&told), "the log is not flooded, it is told once a minute: {told}");
    assert_eq!(recorded(&fleet, full, &known).await, []);
    fleet.kill(full).await;
    drop(disk);
    fleet.finish().await.lossless();
    let row = [(served + again).to_string(), "0".to_owned(), told.to_string()];
    table("A journal without room", ["tokens served", "recorded", "lines in the log"], [row]);
}
