//! What a broker stands on: its database, and what it has beside it.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{
    clock::Clock,
    config::{self, Config, Durability},
    coordination::{Coordination, Signal},
    journal::Journal,
    refresh::{Fleet, Lineage},
    seal::{Keyring, SealError},
    store::{
        Store,
        postgres::{Postgres, Settings},
        sqlite::Sqlite,
    },
};

/// A database that does not answer at the start is asked again; the pause doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What a broker stands on.
pub(super) struct Backing {
    pub(super) store: Arc<dyn Store>,
    pub(super) fleet: Fleet,
    /// What many replicas share.
    pub(super) shared: Option<Shared>,
}

/// The shared database, and the signals that go through it where Redis carries none.
pub(super) struct Shared {
    pub(super) postgres: Arc<Postgres>,
    pub(super) notices: UnboundedReceiver<Signal>,
}

impl Backing {
    pub(super) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let Some(settings) = settings_of(&config.database)? else {
            let store = embedded(&config.database.path, clock).await?;
            return Ok(Self { store, fleet: Fleet::default(), shared: None });
        };
        let (journal, set_aside) = Journal::open(&config.journal, &config.replica, clock.clone())
            .await
            .with_context(|| format!("the journal {}", config.journal.path.display()))?;
        for record in &set_aside {
            tracing::error!(?record, "journal.set_aside");
        }
        let redis =
            config.redis.as_ref().map(|redis| Coordination::new(redis, &config.environment, clock.clone()));
        let forgetful = settings.durability == Durability::Asynchronous;
        if forgetful && redis.is_none() {
            tracing::error!(
                "database.durability is \"asynchronous\" and there is no [redis] to remember what the database may \
                 forget: nothing will be refreshed. Add [redis], or make replication synchronous"
            );
        }
        let postgres = Arc::new(Postgres::open(&settings, clock.clone()).await.context("the database")?);
        let (sender, notices) = unbounded_channel();
        let fleet = Fleet {
            redis,
            journal: Some(journal),
            notices: Some(sender),
            witness_required: forgetful,
            lineage: Some(Arc::new(Lineage::new(postgres.clone()))),
        };
        Ok(Self { store: postgres.clone(), fleet, shared: Some(Shared { postgres, notices }) })
    }
}

/// Whether the keys fit what is encrypted. A shared database that is away is waited for, a wrong key is not.
pub(super) async fn verify(keyring: &Keyring, shared: bool) -> anyhow::Result<()> {
    let mut pause = Duration::from_millis(200);
    loop {
        match keyring.verify().await {
            Err(SealError::Store(error)) if shared => {
                tracing::error!(error = %crate::error::Chain(&error), "the database does not answer: waiting for it");
            }
            verified => return verified.context("the key file does not fit this database"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// `None`: the embedded database.
fn settings_of(database: &config::Database) -> anyhow::Result<Option<Settings>> {
    let invalid = |problem| config::Invalid(vec![problem]);
    let Some(url) = database.postgres_url().map_err(invalid)? else { return Ok(None) };
    Ok(Some(Settings {
        url,
        direct_url: database.postgres_direct_url().map_err(invalid)?,
        pool: database.pool,
        prepared_statements: database.prepared_statements,
        durability: database.durability,
    }))
}

/// The embedded database. Its lock proves that every holder of a dispatched token is gone.
async fn embedded(path: &Path, clock: &Clock) -> anyhow::Result<Arc<dyn Store>> {
    let store = Sqlite::open(path).await.with_context(|| format!("the database {}", path.display()))?;
    let lost = store.orphan_dispatched(clock.now()).await?;
    if !lost.is_empty() {
        tracing::error!(grants = lost.len(), "a refresh was under way when the last process ended: in doubt");
    }
    Ok(Arc::new(store))
}
