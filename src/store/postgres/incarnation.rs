//! Which database this is: a failover or a restore shows, and with it the chance that something is forgotten.

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

    /// Whether it is the same server, of the same branch, not restarted in between.
    #[must_use]
    pub fn is_same_run(&self, other: &Self) -> bool {
        (self.system, self.timeline, self.started) == (other.system, other.timeline, other.started)
    }

    /// Whether the server was started in between: it may be a copy that lacks only what came after this was asked.
    #[must_use]
    pub fn restarted(&self, later: &Self) -> bool {
        self.started != later.started
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
