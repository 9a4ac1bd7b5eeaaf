//! Servers on a disk, and brokers on them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::process::Pid;
use secrecy::ExposeSecret as _;
use sqlx::PgConnection;
use token_broker::{
    config::{Config, Redis as RedisSettings},
    provider::Profile,
    seal::KeyEncryptionKeys,
};
use tonic::transport::Channel;

use crate::{
    caller,
    child::Server,
    furnish,
    provider::{self, Provider},
    servers::{
        postgres::{Cluster, Database},
        redis::Redis,
    },
};

/// Refreshes at the same time, and callers that cause them.
pub(crate) const CONCURRENCY: u32 = 256;
/// Connections to the database.
pub(crate) const POOL: u32 = 16;

/// Memory for a million rows, and no checkpoint in the middle of a round.
const POSTGRES: &str = "
shared_buffers = '512MB'
max_wal_size = '8GB'
checkpoint_timeout = '1h'
autovacuum = on
";
const TMPFS: i128 = 0x0102_1994;

/// The database cluster, on a disk, and Redis.
pub(crate) struct Machine {
    cluster: Cluster,
    redis: Redis,
}

/// A database with a provider behind it, and brokers in front of it.
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) replicas: Vec<Server>,
    pub(crate) database: Database,
}

/// The attack this stops: a commit that costs nothing.
pub(crate) fn insist_on_a_disk(place: &Path) -> anyhow::Result<()> {
    let kind = i128::from(rustix::fs::statfs(place)?.f_type);
    ensure!(kind != TMPFS, "{} is in memory: set TMPDIR to a folder on a disk", place.display());
    Ok(())
}

impl Machine {
    pub(crate) async fn start(place: &Path) -> Self {
        let disk = place.parent().unwrap_or(place);
        Self { cluster: Cluster::start_on(disk, POSTGRES), redis: Redis::start().await }
    }

    /// A database with so many replicas.
    pub(crate) async fn world(&self, replicas: usize, place: &Path) -> anyhow::Result<World> {
        let provider = Provider::start(1).await?;
        let database = self.cluster.database().await;
        let place = place.join(&database.name);
        std::fs::create_dir(&place)?;
        KeyEncryptionKeys::generate().save_new(&place.join("keys"))?;
        let mut world = World { provider, replicas: Vec::new(), database };
        for replica in 0..replicas {
            let config = self.config(&world, &place, &format!("replica-{replica}"))?;
            world.replicas.push(serve(&config, &place).await?);
        }
        furnish::client(&world.channel(0).await?, provider::CLIENT).await?;
        Ok(world)
    }

    /// A superuser's connection.
    pub(crate) async fn admin(&self, database: &str) -> PgConnection {
        self.cluster.admin(database).await
    }

    /// An empty database.
    pub(crate) async fn empty(&self) -> Database {
        self.cluster.empty_database().await
    }

    /// Microseconds that this process, the replicas and the servers have run.
    pub(crate) fn processor_times(&self, world: &World) -> anyhow::Result<[i64; 4]> {
        let replicas = world.replicas.iter().map(Server::id).collect::<anyhow::Result<Vec<_>>>()?;
        // Of the first one also what its children have run that are gone.
        let database = self.cluster.processes();
        let (here, redis) = (rustix::process::getpid(), self.redis.id());
        Ok([
            ran(here, false)?,
            replicas.into_iter().map(|id| ran(id, false)).sum::<anyhow::Result<_>>()?,
            database.into_iter().map(|id| ran(id, true).unwrap_or_default()).sum(),
            ran(redis, false)?,
        ])
    }

    /// Commands that Redis has processed.
    pub(crate) async fn commands(&self) -> anyhow::Result<u64> {
        let info: String = self.redis.run(redis::cmd("INFO").arg("stats")).await;
        let count = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(count.context("no count")?.trim().parse()?)
    }

    fn config(&self, world: &World, place: &Path, name: &str) -> anyhow::Result<Config> {
        let mut config = Config { replica: name.to_owned(), ..Config::default() };
        config.listen.grpc.set_port(0);
        config.listen.probes.set_port(0);
        config.database.url = Some(world.database.serving_url().expose_secret().to_owned());
        config.database.pool = POOL;
        config.journal.path = place.join(format!("{name}.journal"));
        config.journal.reserve_bytes = u64::from(CONCURRENCY) * 1024 * 1024;
        config.redis = Some(RedisSettings {
            url: Some(self.redis.url()),
            prefix: world.database.name.clone(),
            ..RedisSettings::default()
        });
        config.keys.file = place.join("keys");
        config.refresh.in_flight_per_client = CONCURRENCY;
        // A slot of the fleet is given back behind the refresh that held it.
        config.refresh.in_flight_per_client_fleet = 4 * CONCURRENCY;
        config.refresh.in_flight_per_host = CONCURRENCY;
        config.refresh.in_flight = CONCURRENCY;
        config.refresh.ramp = Duration::ZERO;
        config.egress.allow_private = vec!["127.0.0.0/8".parse()?];
        config.identity = furnish::identity(place)?;
        let mut profile = Profile::procore();
        for environment in profile.environments.values_mut() {
            environment.token_endpoint = format!("http://{}/oauth/token", world.provider.address).parse()?;
        }
        config.profiles = vec![toml::Table::try_from(profile)?];
        Ok(config)
    }
}

impl World {
    /// A connection to one of the replicas.
    pub(crate) async fn channel(&self, replica: usize) -> anyhow::Result<Channel> {
        caller::connect(self.replicas[replica].address).await
    }

    /// Makes connections, each with a refresh token.
    pub(crate) async fn furnish(&self, ids: &[String]) -> anyhow::Result<()> {
        let channel = &self.channel(0).await?;
        let made = stream::iter(ids).map(|id| async move {
            furnish::connection(channel, id, &format!("first-of-{id}-{:032}", 0)).await
        });
        made.buffer_unordered(16).try_collect().await
    }

    /// Bytes of memory that a replica has.
    pub(crate) fn memory(&self, replica: usize) -> anyhow::Result<u64> {
        let status = format!("/proc/{}/status", self.replicas[replica].id()?.as_raw_pid());
        let status = std::fs::read_to_string(status)?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|kib| kib.split_whitespace().next()).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? * 1024)
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        for replica in self.replicas {
            replica.stop().await?;
        }
        Ok(())
    }
}

async fn serve(config: &Config, place: &Path) -> anyhow::Result<Server> {
    let file = |what: &str| -> PathBuf { place.join(format!("{}.{what}", config.replica)) };
    let (settings, addresses) = (file("toml"), file("json"));
    std::fs::write(&settings, config.summary()?)?;
    let [settings_file, address_file] = [settings.to_str(), addresses.to_str()];
    let program = [
        env!("CARGO_BIN_EXE_token-broker"),
        "serve",
        "--config",
        settings_file.context("a path that is text")?,
        "--address-file",
        address_file.context("a path that is text")?,
    ];
    Server::start(&[], &program, &addresses).await
}

/// Microseconds; with its children that have ended, on request.
fn ran(process: Pid, with_children: bool) -> anyhow::Result<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid()))?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let times = fields.split_whitespace().skip(11).take(if with_children { 4 } else { 2 });
    let ticks = times.map(str::parse::<i64>).sum::<Result<i64, _>>()?;
    Ok(ticks * 10_000) // a tick is a hundredth of a second
}
