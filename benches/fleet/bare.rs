//! What two guarded commits cost and nothing else: the floor of a refresh.

use std::{
    sync::atomic::{AtomicI64, AtomicUsize, Ordering},
    time::Instant,
};

use futures_util::future::try_join_all;
use secrecy::ExposeSecret as _;
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    servers::postgres::Database,
    world::{CONCURRENCY, POOL},
};

const TABLE: &str = "
CREATE TABLE conn (id bigint PRIMARY KEY, version bigint NOT NULL, token bytea NOT NULL, updated timestamptz NOT NULL);
INSERT INTO conn SELECT id, 0, decode(repeat(md5(id::text), 64), 'hex'), now() FROM generate_series(0, 19999) id;
ANALYZE conn";
const ROWS: usize = 20_000;
const GUARDED: &str =
    "UPDATE conn SET version = version + 1, token = $3, updated = now() WHERE id = $1 AND version = $2
    RETURNING version";

/// A table of tokens, and as many connections to it as a broker has.
pub(crate) struct Bare {
    pool: PgPool,
    next: AtomicUsize,
    versions: Vec<AtomicI64>,
    token: Vec<u8>,
}

impl Bare {
    pub(crate) async fn open(database: &Database) -> anyhow::Result<Self> {
        let options = PgPoolOptions::new().max_connections(POOL).min_connections(POOL);
        let pool = options.connect(database.owner_url().expose_secret()).await?;
        sqlx::raw_sql(TABLE).execute(&pool).await?;
        let versions = (0..ROWS).map(|_| AtomicI64::new(0)).collect();
        Ok(Self { pool, next: AtomicUsize::new(0), versions, token: vec![7; 1_024] })
    }

    /// Pairs of commits per second, until then.
    pub(crate) async fn pairs_per_second(&self, end: Instant) -> anyhow::Result<f64> {
        let began = Instant::now();
        let done = try_join_all((0..CONCURRENCY).map(|_| self.pairs(end))).await?;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let pairs = done.iter().sum::<usize>() as f64;
        Ok(pairs / began.elapsed().as_secs_f64())
    }

    async fn pairs(&self, end: Instant) -> anyhow::Result<usize> {
        let mut pairs = 0;
        while Instant::now() < end {
            let row = self.next.fetch_add(1, Ordering::Relaxed) % ROWS;
            // A row is somebody else's only after all others: its version is known without asking.
            let version = self.versions[row].fetch_add(2, Ordering::Relaxed);
            for version in [version, version + 1] {
                let update = sqlx::query_scalar::<_, i64>(GUARDED).bind(i64::try_from(row)?).bind(version);
                update.bind(&self.token).fetch_one(&self.pool).await?;
            }
            pairs += 1;
        }
        Ok(pairs)
    }
}
