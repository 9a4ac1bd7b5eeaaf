//! What happens in an episode: a pure function of the seed and the episode's number.

use std::{fmt, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

/// Faults per episode.
const BLOWS: usize = 10;
/// Brokers in a fleet.
pub const REPLICAS: usize = 3;

/// Who is hit, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ReplicaKilled,
    ReplicaStopped,
    ReplicaTerminated,
    AllKilled,
    RedisFlushed,
    RedisKilled,
    RedisStopped,
    RedisSlow,
    RedisPartedFromOne,
    RedisPartedFromAll,
    RedisLies,
    PostgresKilled,
    PostgresRestarted,
    PostgresStopped,
    PostgresSessionsEnded,
    PostgresReadOnly,
    PostgresCommitsHang,
    PostgresForgets,
    ProviderHangs,
    ProviderResetsBefore,
    ProviderResetsAfter,
    ProviderTears,
    ProviderFails,
    ProviderThrottles,
}

const KINDS: [Kind; 24] = [
    Kind::ReplicaKilled,
    Kind::ReplicaStopped,
    Kind::ReplicaTerminated,
    Kind::AllKilled,
    Kind::RedisFlushed,
    Kind::RedisKilled,
    Kind::RedisStopped,
    Kind::RedisSlow,
    Kind::RedisPartedFromOne,
    Kind::RedisPartedFromAll,
    Kind::RedisLies,
    Kind::PostgresKilled,
    Kind::PostgresRestarted,
    Kind::PostgresStopped,
    Kind::PostgresSessionsEnded,
    Kind::PostgresReadOnly,
    Kind::PostgresCommitsHang,
    Kind::PostgresForgets,
    Kind::ProviderHangs,
    Kind::ProviderResetsBefore,
    Kind::ProviderResetsAfter,
    Kind::ProviderTears,
    Kind::ProviderFails,
    Kind::ProviderThrottles,
];

/// One blow, or two at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blow {
    pub kinds: Vec<Kind>,
    /// Of which replica, where one is hit.
    pub replica: usize,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What happens in an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub blows: Vec<Blow>,
    /// For whatever else is random in it.
    pub seed: u64,
}

impl Plan {
    /// Of an episode.
    pub fn of(seed: u64, episode: u64) -> Self {
        let mut random =
            StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(episode));
        let blows = (0..BLOWS).map(|_| Blow::any(&mut random)).collect();
        Self { blows, seed: random.next_u64() }
    }
}

impl Blow {
    fn any(random: &mut StdRng) -> Self {
        let mut kinds = vec![*KINDS.choose(random).expect("some")];
        if random.random_bool(0.25) {
            let second = *KINDS.choose(random).expect("some");
            if second.whose() != kinds[0].whose()
                && !kinds.iter().chain([&second]).any(|kind| kind.is_alone())
            {
                kinds.push(second);
            }
        }
        let replica = random.random_range(0..REPLICAS);
        Self { kinds, replica, lasts: Duration::from_millis(random.random_range(300..6000)) }
    }

    /// What the table calls it.
    pub fn label(&self) -> String {
        match self.kinds.as_slice() {
            [one] => one.to_string(),
            _ => "two at once".to_owned(),
        }
    }
}

impl Kind {
    /// The server that it hits.
    fn whose(self) -> u8 {
        match self {
            Self::ReplicaKilled | Self::ReplicaStopped | Self::ReplicaTerminated | Self::AllKilled => 0,
            Self::RedisFlushed
            | Self::RedisKilled
            | Self::RedisStopped
            | Self::RedisSlow
            | Self::RedisPartedFromOne
            | Self::RedisPartedFromAll
            | Self::RedisLies => 1,
            Self::PostgresKilled
            | Self::PostgresRestarted
            | Self::PostgresStopped
            | Self::PostgresSessionsEnded
            | Self::PostgresReadOnly
            | Self::PostgresCommitsHang
            | Self::PostgresForgets => 2,
            _ => 3,
        }
    }

    /// Whether it keeps replicas from their database.
    pub fn is_of_postgres(self) -> bool {
        self.whose() == 2
    }

    /// A database that forgets, and with it what should remember: nothing can help then (`docs/refresh.md`).
    fn is_alone(self) -> bool {
        self == Self::PostgresForgets
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReplicaKilled => "replica: SIGKILL",
            Self::ReplicaStopped => "replica: SIGSTOP, SIGCONT",
            Self::ReplicaTerminated => "replica: SIGTERM",
            Self::AllKilled => "all replicas: SIGKILL",
            Self::RedisFlushed => "Redis: FLUSHALL",
            Self::RedisKilled => "Redis: killed",
            Self::RedisStopped => "Redis: stopped",
            Self::RedisSlow => "Redis: slow",
            Self::RedisPartedFromOne => "Redis: parted from one",
            Self::RedisPartedFromAll => "Redis: parted from all",
            Self::RedisLies => "Redis: lies about leases",
            Self::PostgresKilled => "PostgreSQL: killed",
            Self::PostgresRestarted => "PostgreSQL: restarted",
            Self::PostgresStopped => "PostgreSQL: stopped",
            Self::PostgresSessionsEnded => "PostgreSQL: sessions ended",
            Self::PostgresReadOnly => "PostgreSQL: read-only",
            Self::PostgresCommitsHang => "PostgreSQL: ended inside COMMITs",
            Self::PostgresForgets => "PostgreSQL: an older copy",
            Self::ProviderHangs => "provider: hangs",
            Self::ProviderResetsBefore => "provider: resets before",
            Self::ProviderResetsAfter => "provider: resets after",
            Self::ProviderTears => "provider: torn answers",
            Self::ProviderFails => "provider: 502",
            Self::ProviderThrottles => "provider: 429",
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for blow in &self.blows {
            let kinds: Vec<_> = blow.kinds.iter().map(ToString::to_string).collect();
            write!(f, "\n  {} (r{}, {} ms)", kinds.join(" + "), blow.replica, blow.lasts.as_millis())?;
        }
        Ok(())
    }
}
