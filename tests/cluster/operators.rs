//! What operators get wrong: the wrong user, a standby, a Redis that evicts, a journal without a disk.

use std::{fs::File, process::Stdio};

use redis::cmd;
use secrecy::ExposeSecret as _;
use tokio::process::Command;

use crate::{
    harness::{Fleet, Guardian, Launch, Setup, guarded, reason, table, until},
    restores::idle,
    servers::postgres::Cluster,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_user_is_refused_with_the_fix() {
    let fleet = Fleet::prepared(Setup { replicas: 1, redis: false, ..Setup::default() }).await;
    let mut rows = Vec::new();
    for user in ["postgres", "owner"] {
        let mut config = fleet.config("r0", "r0", None);
        config.database.url = Some(fleet.database.url(user).expose_secret().to_owned());
        let path = fleet.folder().join(format!("{user}.toml"));
        std::fs::write(&path, config.summary().unwrap()).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_token-broker"));
        serve.arg("serve").arg("--config").arg(path).stdin(Stdio::null()).kill_on_drop(true);
        let output = guarded("it is refused", serve.output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.lines().last().unwrap_or_default().to_owned();
        assert!(!output.status.success(), "served as {user}");
        assert!(said.contains("token-broker migrate --serving-user"), "{said}");
        rows.push([user.to_owned(), output.status.to_string(), line]);
    }
    table("Serving as somebody too powerful", ["user", "exit", "said"], rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_no_place_to_spend() {
    let fleet = Fleet::start(Setup { replicas: 1, own_postgres: Some(""), ..Setup::default() }).await;
    let app = fleet.proven_app().await;
    let known = [fleet.connection(&fleet.caller(0).await, &app, "wanted").await];
    let standby: Cluster = fleet.cluster.as_ref().unwrap().standby("");
    let database = standby.database_of(&fleet.database);
    let mut fleet = fleet;
    let misled = fleet.add("misled", "misled").await;
    let mut config = fleet.config("misled", "misled", None);
    config.database.url = Some(database.serving_url().expose_secret().to_owned());
    std::fs::write(fleet.replicas[misled].folder.join("config.toml"), config.summary().unwrap()).unwrap();
    let (log, launch) = (fleet.replicas[misled].folder.join("broker.log"), Launch::default());
    let said = until("it says what is wrong", async || {
        std::fs::read_to_string(&log).unwrap_or_default().contains("the database is a standby")
    });
    let heard = tokio::select! {
        () = fleet.launch(misled, &launch) => "it serves, from memory",
        () = said => "it waits for the primary",
    };
    assert_eq!(fleet.presented(&known), 0);
    // Put right. A process that is not waited for lives a moment longer.
    fleet.replicas[misled].abandon().await;
    let lock = fleet.replicas[misled].folder.join("journal/lock");
    until("it is gone", async || File::open(&lock).is_ok_and(|lock| lock.try_lock().is_ok())).await;
    let url = fleet.ways_url(misled);
    let config = fleet.config("misled", "misled", Some(url));
    std::fs::write(fleet.replicas[misled].folder.join("config.toml"), config.summary().unwrap()).unwrap();
    fleet.finish().await.lossless();
    table(
        "A replica that was given a standby",
        ["what it does", "presentations"],
        [[heard, "0"].map(str::to_owned)],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_evicts_is_reported() {
    let mut fleet = Fleet::prepared(Setup { replicas: 1, ..Setup::default() }).await;
    let evict = ["SET", "maxmemory-policy", "allkeys-lru"];
    let _: String = fleet.redis.as_ref().unwrap().run(cmd("CONFIG").arg(&evict)).await;
    fleet.launch(0, &Launch::default()).await;
    let broker = fleet.replicas[0].broker();
    until("/readyz says so", async || broker.readiness().await.contains("redis_evicts")).await;
    assert!(broker.is_ready().await, "a reason, and no unreadiness");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_an_answer_nothing_is_spent() {
    let mut fleet = Fleet::start(Setup { replicas: 2, ..Setup::default() }).await;
    let full = fleet.add("full", "full").await;
    let journal = fleet.replicas[full].folder.join("journal");
    std::fs::create_dir(&journal).unwrap();
    let Some(disk) = Guardian::small_disk(&journal) else {
        println!("F11: skipped: only root can mount a small disk");
        return;
    };
    fleet.launch(full, &Launch::default()).await;
    let app = fleet.proven_app_by(0).await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "wanted", 3).await;
    let caller = fleet.caller(full).await;
    let refused = fleet.ask(std::slice::from_ref(&caller), &known).answers().await;
    let word = |status: &tonic::Status| reason(status) == "STORE_UNAVAILABLE";
    assert!(refused.iter().all(|answer| answer.as_ref().is_err_and(word)), "{refused:?}");
    let spent = fleet.presented(&known);
    assert_eq!(spent, 0);
    until("/readyz says so", async || {
        fleet.replicas[full].broker().readiness().await.contains("journal_unwritable")
    })
    .await;
    fleet.ask(&[fleet.caller(1).await], &known).all_served().await;
    until("the database has the answers", async || idle(&fleet, &known, 1).await == known.len()).await;
    let served = fleet.ask(&[caller], &known).all_served().await;
    fleet.kill(full).await;
    drop(disk);
    fleet.finish().await.lossless();
    let row = [refused.len(), spent, served].map(|count| count.to_string());
    table("F11: a journal without room", ["refused", "presented", "served what others refreshed"], [row]);
}
