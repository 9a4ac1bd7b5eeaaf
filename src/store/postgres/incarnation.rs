//! Which database this is: a failover or a restore shows, and with it the chance that something is forgotten.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Postgres, Statement};
use crate::store::StoreError;

/// Where a database is in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// The cluster; absent where the host withholds it.
    pub system: Option<i64>,
    /// The branch: every promotion and every restore to a point in time begins a new one.
    pub timeline: i64,
    /// How far it has come, in bytes of log. On one timeline of one cluster it never goes back.
    pub position: i64,
    /// When the server was started, in microseconds since the Unix epoch.
    pub started: i64,
}

impl Incarnation {
    /// Whether `later`, asked for later, may have forgotten what this one had committed.
    #[must_use]
    pub fn may_forget(&self, later: &Self) -> bool {
        (self.system, self.timeline) != (later.system, later.timeline) || later.position < self.position
    }

    /// Whether the server was started in between: it may be a copy that lacks only what came after this was asked.
    #[must_use]
    pub fn restarted(&self, later: &Self) -> bool {
        self.started != later.started
    }
}

/// The database as this replica knows it: when it last looked, and had offered what it keeps beside it.
#[derive(Debug)]
pub struct Lineage {
    postgres: Arc<Postgres>,
    known: Mutex<Option<Incarnation>>,
}

impl Lineage {
    /// Of a database at which nobody has looked.
    #[must_use]
    pub fn new(postgres: Arc<Postgres>) -> Self {
        Self { postgres, known: Mutex::default() }
    }

    /// It was looked at.
    pub fn know(&self, now: Incarnation) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether it certainly is the one that is known, with all that it had committed.
    pub async fn is_known(&self) -> Result<bool, StoreError> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.postgres.incarnation().await?;
        Ok(known.is_some_and(|known| !known.may_forget(&now) && !known.restarted(&now)))
    }
}

impl Postgres {
    /// Asks the database.
    pub async fn incarnation(&self) -> Result<Incarnation, StoreError> {
        let statement =
            Statement::new("SELECT system, timeline, position, started FROM token_broker.incarnation()");
        let (system, timeline, position, started) = super::only(self.read(statement).await?)?;
        Ok(Incarnation { system, timeline, position, started })
    }
}
