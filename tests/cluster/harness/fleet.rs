//! A fleet: a database, a Redis, a provider, and as many brokers as wanted.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use futures_util::future::join_all;
use procore_simulator::{FamilyRevocation, Presentation, Simulator};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use token_broker::{config::Config, seal::KeyEncryptionKeys};
use token_broker_proto::v1::{GetAccessTokenResponse, standing::Breaker};
use tonic::Status;

use super::{
    App, Broker, Caller, Fate, Known, Launch, Mishap, kept, migrate,
    proxy::{Proxy, Way},
    replica::{Replica, now},
    rows::Rows,
    settings::{self, CREDENTIAL, profile},
    until,
};
use crate::servers::{
    postgres::{Cluster, Database, shared},
    redis::Redis,
};

/// What a fleet is made of.
pub struct Setup {
    /// How many brokers.
    pub replicas: usize,
    /// Whether there is a Redis.
    pub redis: bool,
    /// A PostgreSQL cluster of its own, to be killed at will, with more lines in its configuration.
    pub own_postgres: Option<&'static str>,
    /// The build that migrates the cluster of its own, where it is not this one.
    pub migrated_by: Option<PathBuf>,
    /// What is configured otherwise.
    pub change: fn(&mut Config),
}

impl Default for Setup {
    fn default() -> Self {
        Self { replicas: 3, redis: true, own_postgres: None, migrated_by: None, change: |_| () }
    }
}

/// A running fleet.
pub struct Fleet {
    /// The provider.
    pub simulator: Arc<Simulator>,
    /// What the brokers stand on.
    pub database: Database,
    /// The database's servers, where they are the fleet's own.
    pub cluster: Option<Cluster>,
    /// What the brokers agree by.
    pub redis: Option<Redis>,
    /// The brokers.
    pub replicas: Vec<Replica>,
    /// What was done that may cost something.
    pub mishaps: Vec<Mishap>,
    /// What the database had before it was replaced by an older copy.
    pub remembered: Option<Rows>,
    pub(super) known: Mutex<Vec<Known>>,
    pub(super) heard: Heard,
    ways: Vec<Proxy>,
    change: fn(&mut Config),
    folder: TempDir,
}

/// The highest generation that any caller was given, by connection.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<HashMap<String, u64>>>);

impl Heard {
    /// A token was handed out.
    pub fn note(&self, name: &str, generation: u64) {
        let mut heard = self.0.lock().unwrap();
        let highest = heard.entry(name.to_owned()).or_default();
        *highest = generation.max(*highest);
    }

    pub(super) fn of(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    /// `GetAccessToken`, noted.
    pub async fn token(&self, caller: &Caller, name: &str) -> Result<GetAccessTokenResponse, Status> {
        let answer = caller.token(name).await?;
        self.note(name, answer.generation);
        Ok(answer)
    }
}

impl Fleet {
    /// Starts everything.
    pub async fn start(setup: Setup) -> Self {
        let mut fleet = Self::prepared(setup).await;
        let launch = Launch::default();
        join_all(fleet.replicas.iter_mut().map(|replica| replica.start(&launch))).await;
        fleet
    }

    /// Everything, an app that is proven, and one more replica, which is held at a point: its number.
    pub async fn with_holder(setup: Setup, point: &str) -> (Self, usize, App) {
        let mut fleet = Self::start(setup).await;
        let holder = fleet.add("holder", "holder").await;
        let launch = fleet.replicas[holder].holding_at(point);
        fleet.launch(holder, &launch).await;
        fleet.with_redis(true).await;
        let app = fleet.proven_app_by(0).await;
        (fleet, holder, app)
    }

    /// Everything but the brokers.
    pub async fn prepared(setup: Setup) -> Self {
        let Setup { replicas, redis, own_postgres, migrated_by, change } = setup;
        let simulator = procore_simulator::Config { seed: 7, ..Default::default() };
        let simulator = Arc::new(Simulator::start(simulator).await.unwrap());
        simulator.knobs(|knobs| {
            knobs.access_ttl = 86_400;
            // One token presented twice, and every connection is lost.
            knobs.family_revocation = FamilyRevocation::User;
        });
        let cluster = own_postgres.map(Cluster::start);
        let database = match (&cluster, migrated_by) {
            (Some(cluster), Some(program)) => {
                let database = cluster.untouched("upgraded").await;
                migrate(&program, &database).await;
                database
            }
            (cluster, _) => cluster.as_ref().unwrap_or_else(|| shared()).database().await,
        };
        let redis = if redis { Some(Redis::start().await) } else { None };
        // What SIGKILL leaves is what the kernel has: a disk would add nothing but waiting.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        KeyEncryptionKeys::generate().save_new(&folder.path().join("kek.toml")).unwrap();
        std::fs::write(folder.path().join("operator.token"), CREDENTIAL).unwrap();
        let mut fleet = Self {
            simulator,
            database,
            cluster,
            redis,
            replicas: Vec::new(),
            mishaps: Vec::new(),
            remembered: None,
            known: Mutex::default(),
            heard: Heard::default(),
            ways: Vec::new(),
            change,
            folder,
        };
        for index in 0..replicas {
            fleet.add(&format!("r{index}"), &format!("r{index}")).await;
        }
        fleet
    }

    /// A place for one more broker; its number.
    pub async fn add(&mut self, place: &str, name: &str) -> usize {
        let number = self.replicas.len();
        let way = match &self.redis {
            Some(redis) => Some(Proxy::to(redis.port()).await),
            None => None,
        };
        let config = self.config(place, name, way.as_ref().map(Proxy::url));
        self.ways.extend(way);
        let folder = self.folder.path().join(place);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), settings::written(&config)).unwrap();
        self.replicas.push(Replica { name: name.to_owned(), folder, broker: None });
        number
    }

    /// How a broker in a place is configured.
    pub fn config(&self, place: &str, name: &str, redis: Option<String>) -> Config {
        let url = self.database.serving_url();
        let mut config = settings::config(self.folder.path(), name, url.expose_secret(), redis);
        config.journal.path = self.folder.path().join(place).join("journal");
        config.profiles = vec![profile(&self.simulator)];
        (self.change)(&mut config);
        config
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A caller of one replica, on a connection of its own.
    pub async fn caller(&self, replica: usize) -> Caller {
        self.replicas[replica].broker().caller().await
    }

    /// A caller of each replica that runs.
    pub async fn callers(&self) -> Vec<Caller> {
        let running = self.replicas.iter().filter(|replica| replica.runs());
        join_all(running.map(|replica| replica.broker().caller())).await
    }

    /// Who notes what callers were given.
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// A tenant, and an app whose secret is known to work by every replica that runs.
    pub async fn proven_app(&self) -> App {
        let callers = self.callers().await;
        let first = callers.last().expect("a replica runs");
        self.tenant(first).await;
        let app = self.app(first, "app").await;
        for caller in &callers {
            let proof = format!("proof-{}", self.known.lock().unwrap().len());
            // Where another replica has told it, nothing needs to be proven.
            if caller.standing(&app.name).await.breaker() != Breaker::Closed {
                let proof = self.connection(caller, &app, &proof).await;
                caller.refresh(&proof.name).await.unwrap();
            }
        }
        app
    }

    /// The same, proven by one replica, which tells the others.
    pub async fn proven_app_by(&self, replica: usize) -> App {
        let caller = self.caller(replica).await;
        self.tenant(&caller).await;
        let app = self.app(&caller, "app").await;
        let proof = self.connection(&caller, &app, "proof").await;
        caller.refresh(&proof.name).await.unwrap();
        app
    }

    /// Where a replica finds Redis.
    pub fn ways_url(&self, replica: usize) -> String {
        self.ways[replica].url()
    }

    /// SIGKILL to a replica; what it was at may be lost.
    pub async fn kill(&mut self, replica: usize) {
        let broker = self.take(replica, Fate::Killed);
        broker.kill().await;
    }

    /// The process of a replica, to be ended; what it is at may be lost.
    pub fn take(&mut self, replica: usize, fate: Fate) -> Broker {
        let place = &mut self.replicas[replica];
        let broker = place.broker.take().unwrap_or_else(|| panic!("{} does not run", place.name));
        self.mishaps.push(Mishap { replica: place.name.clone(), fate, at: now() });
        broker
    }

    /// Starts a replica again, or for the first time.
    pub async fn launch(&mut self, replica: usize, launch: &Launch) {
        self.replicas[replica].start(launch).await;
    }

    /// How a replica reaches Redis.
    pub fn way(&self, replica: usize, way: Way) {
        self.ways[replica].set(way);
    }

    /// Waits until every replica that runs has Redis, or none has.
    pub async fn with_redis(&self, has: bool) {
        for replica in self.replicas.iter().filter(|replica| replica.runs()) {
            until("a replica knows how Redis is", async || {
                let wrong = replica.broker().readiness().await.contains("redis_unavailable");
                wrong != has
            })
            .await;
        }
    }

    /// Receipts in escrow that nobody has marked as settled.
    pub async fn escrowed(&self) -> usize {
        match &self.redis {
            Some(redis) => kept::in_escrow(redis).await.len(),
            None => 0,
        }
    }

    /// The database as it is now.
    pub async fn rows(&self) -> Rows {
        Rows::read(self.database.connect("postgres").await).await
    }

    /// The presentations of refresh tokens so far; processing one later adds none.
    pub fn presentations(&self) -> Vec<Presentation> {
        let mut log = self.simulator.log();
        log.retain(|seen| seen.grant_type.as_deref() == Some("refresh_token") && seen.continues.is_none());
        log
    }
}

impl Drop for Fleet {
    /// A test that fails tells what the brokers said.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for replica in &self.replicas {
            let log = std::fs::read_to_string(replica.folder.join("broker.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            println!("=== {} ===\n{}", replica.name, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
