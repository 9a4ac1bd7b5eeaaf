//! How each fault is inflicted, and healed.

use std::time::Duration;

use procore_simulator::{Cut, Fault, FaultKind, Phase, RetryHint, TornEnd};

use super::{
    episode::Episode,
    plan::{Blow, Kind, REPLICAS},
};
use crate::{
    harness::{Fate, Guardian, Launch, Way, until},
    postgres_faults::{hang_commits, let_commits_go, set, superuser},
    redis_faults::forget_leases,
};

/// Requests that meet a fault of the provider.
const MET: u32 = 4;

/// What has to be healed.
pub enum Wound {
    Replica(usize),
    AllReplicas,
    Stopped(usize),
    Redis,
    Frozen,
    Ways,
    Parted(Option<Guardian>),
    Postgres,
    PostgresPaused,
    ReadOnly,
    Commits,
    Forgetting,
    Provider,
    None,
}

impl Episode<'_> {
    pub(super) async fn inflict(&mut self, kind: Kind, blow: &Blow) -> Wound {
        let fleet = &mut self.fleet;
        let replica = blow.replica;
        match kind {
            Kind::ReplicaKilled => {
                fleet.kill(replica).await;
                Wound::Replica(replica)
            }
            Kind::ReplicaStopped => {
                fleet.replicas[replica].broker().pause();
                Wound::Stopped(replica)
            }
            Kind::ReplicaTerminated => {
                // Nobody to ask about a burn: where the database is away too, the grace may end first.
                if blow.kinds.iter().any(|kind| kind.is_of_postgres()) {
                    let broker = fleet.take(replica, Fate::Hurried);
                    self.load.follow(&self.fleet);
                    broker.terminate();
                    broker.ended().await;
                } else {
                    let broker = fleet.replicas[replica].ending();
                    self.load.follow(&self.fleet);
                    broker.stop().await;
                }
                Wound::Replica(replica)
            }
            Kind::AllKilled => {
                for replica in 0..REPLICAS {
                    fleet.take(replica, Fate::Killed).kill().await;
                }
                Wound::AllReplicas
            }
            Kind::RedisFlushed => {
                fleet.redis.as_ref().unwrap().flush().await;
                Wound::None
            }
            Kind::RedisKilled => {
                fleet.redis.as_mut().unwrap().kill().await;
                Wound::Redis
            }
            Kind::RedisStopped => {
                fleet.redis.as_ref().unwrap().freeze();
                Wound::Frozen
            }
            Kind::RedisSlow => {
                (0..REPLICAS).for_each(|each| fleet.way(each, Way::Slow(Duration::from_millis(200))));
                Wound::Ways
            }
            Kind::RedisPartedFromOne => {
                fleet.way(replica, Way::Cut);
                Wound::Ways
            }
            Kind::RedisPartedFromAll => {
                let guardian = Guardian::partition(fleet.redis.as_ref().unwrap().port());
                if guardian.is_none() {
                    (0..REPLICAS).for_each(|each| fleet.way(each, Way::Cut));
                }
                Wound::Parted(guardian)
            }
            Kind::RedisLies => {
                // For as long as the blow lasts, leases vanish a moment after they are granted.
                let until = tokio::time::Instant::now() + blow.lasts;
                while tokio::time::Instant::now() < until {
                    forget_leases(fleet).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Wound::None
            }
            Kind::ProviderHangs
            | Kind::ProviderResetsBefore
            | Kind::ProviderResetsAfter
            | Kind::ProviderTears
            | Kind::ProviderFails
            | Kind::ProviderThrottles => {
                fleet.simulator.inject(provider(kind).times(MET));
                Wound::Provider
            }
            _ => self.inflict_on_postgres(kind, blow).await,
        }
    }

    async fn inflict_on_postgres(&mut self, kind: Kind, blow: &Blow) -> Wound {
        let fleet = &mut self.fleet;
        let cluster = fleet.cluster.as_ref().unwrap();
        match kind {
            Kind::PostgresKilled => {
                cluster.kill();
                Wound::Postgres
            }
            Kind::PostgresRestarted => {
                cluster.stop();
                Wound::Postgres
            }
            Kind::PostgresStopped => {
                cluster.pause();
                Wound::PostgresPaused
            }
            Kind::PostgresSessionsEnded => {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'serving'";
                sqlx::raw_sql(end).execute(&mut superuser(fleet).await).await.unwrap();
                Wound::None
            }
            Kind::PostgresReadOnly => {
                set(fleet, "default_transaction_read_only = on").await;
                Wound::ReadOnly
            }
            Kind::PostgresCommitsHang => {
                hang_commits(fleet).await;
                let mut superuser = superuser(fleet).await;
                let strike =
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
                let until = tokio::time::Instant::now() + blow.lasts;
                while tokio::time::Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    sqlx::raw_sql(strike).execute(&mut superuser).await.unwrap();
                }
                Wound::Commits
            }
            _ => {
                cluster.stop();
                cluster.keep_copy();
                cluster.restart();
                Wound::Forgetting
            }
        }
    }

    pub(super) async fn heal(&mut self, wound: Wound) {
        let fleet = &mut self.fleet;
        match wound {
            Wound::Replica(replica) => fleet.launch(replica, &Launch::default()).await,
            Wound::AllReplicas => {
                for replica in 0..REPLICAS {
                    fleet.launch(replica, &Launch::default()).await;
                }
            }
            Wound::Stopped(replica) => fleet.replicas[replica].broker().resume(),
            Wound::Redis => fleet.redis.as_mut().unwrap().restart().await,
            Wound::Frozen => fleet.redis.as_ref().unwrap().thaw(),
            Wound::Ways => (0..REPLICAS).for_each(|each| fleet.way(each, Way::Open)),
            Wound::Parted(guardian) => {
                drop(guardian);
                (0..REPLICAS).for_each(|each| fleet.way(each, Way::Open));
            }
            Wound::Postgres => fleet.cluster.as_ref().unwrap().restart(),
            Wound::PostgresPaused => fleet.cluster.as_ref().unwrap().resume(),
            Wound::ReadOnly => set(fleet, "default_transaction_read_only = off").await,
            Wound::Commits => let_commits_go(fleet).await,
            Wound::Forgetting => self.forget().await,
            Wound::Provider => fleet.simulator.clear_faults(),
            Wound::None => {}
        }
    }

    /// The database is replaced by the copy, while nobody writes: the checker must know what it forgets.
    async fn forget(&mut self) {
        let fleet = &mut self.fleet;
        fleet.replicas.iter().for_each(|replica| replica.broker().pause());
        let mut console = superuser(fleet).await;
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'serving' AND state = 'active'";
        until("nobody writes", async || {
            sqlx::query_scalar::<_, i64>(busy).fetch_one(&mut console).await.unwrap() == 0
        })
        .await;
        drop(console);
        let rows = fleet.rows().await.remembering(fleet.remembered.as_ref());
        fleet.remembered = Some(rows);
        let cluster = fleet.cluster.as_ref().unwrap();
        cluster.stop();
        cluster.put_copy_back();
        cluster.restart();
        fleet.replicas.iter().for_each(|replica| replica.broker().resume());
    }
}

fn provider(kind: Kind) -> Fault {
    let torn = |cut| FaultKind::TornBody { cut, end: TornEnd::Close };
    match kind {
        Kind::ProviderHangs => Fault::new(FaultKind::Hang(None)),
        Kind::ProviderResetsBefore => Fault::new(FaultKind::Reset).at(Phase::OnConnect),
        Kind::ProviderResetsAfter => Fault::new(FaultKind::Reset),
        Kind::ProviderTears => Fault::new(torn(Cut::Bytes(20))),
        Kind::ProviderFails => Fault::new(FaultKind::status(502, None)).at(Phase::BeforeProcessing),
        _ => Fault::new(FaultKind::status(429, Some(RetryHint::Seconds(1)))).at(Phase::BeforeProcessing),
    }
}
