//! Two builds with adjacent schemas serve side by side: `scripts/upgrade`.

use std::path::{Path, PathBuf};

use sqlx::Executor as _;

use crate::{
    chaos::Load,
    harness::{Fleet, Launch, Setup, migrate, now, ours, table, until},
};

const CONNECTIONS: usize = 24;
/// Life of an access token, in seconds: everything is always about to be due.
const LIFE: u64 = 3;

/// A fleet that is upgraded under load.
struct Upgrade {
    fleet: Fleet,
    load: Load,
    older: PathBuf,
    /// Whether this build runs, by replica.
    is_ours: Vec<bool>,
    rows: Vec<[String; 6]>,
}

impl Upgrade {
    /// Three older replicas, on a database as the older build makes it.
    async fn start(older: PathBuf) -> Self {
        let setup = Setup { own_postgres: Some(""), migrated_by: Some(older.clone()), ..Setup::default() };
        let mut fleet = Fleet::prepared(setup).await;
        let launch = Launch { program: Some(older.clone()), ..Launch::default() };
        for replica in 0..fleet.replicas.len() {
            fleet.launch(replica, &launch).await;
        }
        let app = fleet.proven_app().await;
        fleet.simulator.knobs(|knobs| (knobs.access_ttl, knobs.latency_ms) = (LIFE, 40));
        fleet.connections(&fleet.caller(0).await, &app, "upgraded", CONNECTIONS).await;
        let load = Load::start(&fleet, 1);
        let is_ours = vec![false; fleet.replicas.len()];
        Self { fleet, load, older, is_ours, rows: Vec::new() }
    }

    /// Another replica joins.
    async fn join(&mut self) {
        let replica = self.fleet.add("joins", "joins").await;
        self.fleet.launch(replica, &Launch::default()).await;
        self.is_ours.push(true);
        self.load.follow(&self.fleet);
    }

    /// One replica ends in order, and another build takes its place and its journal.
    async fn replace(&mut self, replica: usize, is_ours: bool) {
        let ending = self.fleet.replicas[replica].ending();
        self.load.follow(&self.fleet);
        ending.stop().await;
        let program = (!is_ours).then(|| self.older.clone());
        self.fleet.launch(replica, &Launch { program, ..Launch::default() }).await;
        self.is_ours[replica] = is_ours;
        self.load.follow(&self.fleet);
    }

    /// Goes on until every replica has refreshed something that was due since, and settled it.
    async fn works(&mut self, phase: &str) {
        let (since, answered) = (now(), self.load.answered());
        let presented = self.fleet.presentations().len();
        let settled = async || {
            let rows = self.fleet.rows().await;
            let attempts = rows.grants.values().flat_map(|grant| &grant.attempts);
            let mine = attempts.filter(|attempt| attempt.dispatched_at > since && attempt.is("settled"));
            let mine: Vec<_> = mine.map(|attempt| attempt.replica.clone()).collect();
            let by = |name: &String| mine.iter().filter(|replica| *replica == name).count();
            self.fleet.replicas.iter().map(|replica| by(&replica.name)).collect::<Vec<_>>()
        };
        let mut by_replica = Vec::new();
        until("every replica refreshes", async || {
            by_replica = settled().await;
            by_replica.iter().all(|count| *count > 2)
        })
        .await;
        let of = |ours: bool| {
            let counts = by_replica.iter().zip(&self.is_ours).filter(|(_, is_ours)| **is_ours == ours);
            counts.map(|(count, _)| count).sum::<usize>().to_string()
        };
        let replicas = self.is_ours.iter().map(|ours| if *ours { "new" } else { "old" });
        self.rows.push([
            phase.to_owned(),
            replicas.collect::<Vec<_>>().join(" "),
            (self.fleet.presentations().len() - presented).to_string(),
            of(false),
            of(true),
            (self.load.answered() - answered).to_string(),
        ]);
    }

    async fn migrations(&self) -> usize {
        let mut admin = self.fleet.database.connect("postgres").await;
        admin.fetch_all("SELECT version FROM token_broker.migrations").await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/upgrade"]
async fn two_builds_with_adjacent_schemas_serve_together() {
    let older =
        std::env::var_os("TOKEN_BROKER_OLDER").expect("scripts/upgrade says where the older build is");
    let mut upgrade = Upgrade::start(Path::new(&older).to_owned()).await;
    let migrations = upgrade.migrations().await;
    upgrade.works("before").await;
    migrate(ours(), &upgrade.fleet.database).await;
    assert!(upgrade.migrations().await > migrations, "there is nothing to migrate");
    upgrade.works("migrated").await;
    upgrade.join().await;
    upgrade.works("a new one joins").await;
    upgrade.replace(0, true).await;
    upgrade.replace(1, true).await;
    upgrade.works("rolling out").await;
    upgrade.replace(0, false).await;
    upgrade.works("rolling back").await;
    upgrade.replace(0, true).await;
    upgrade.replace(2, true).await;
    upgrade.works("rolled out").await;
    let Upgrade { fleet, load, rows, .. } = upgrade;
    load.end().await;
    fleet.simulator.knobs(|knobs| knobs.latency_ms = 0);
    let verdict = fleet.finish().await;
    verdict.lossless();
    table(
        "Two builds, under load",
        ["phase", "replicas", "presentations", "settled by old", "by new", "callers answered"],
        rows,
    );
    println!(
        "{} presentations in all, none double; {}, {} lost",
        verdict.presentations,
        verdict.states(),
        verdict.lost
    );
}
