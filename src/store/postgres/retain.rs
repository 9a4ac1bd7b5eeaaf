//! What may go once it is old.

use std::time::Duration;

use super::{Postgres, Statement};
use crate::{model::Timestamp, store::StoreError};

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Closed attempts of earlier generations, since they were closed. With them goes the knowledge of spent tokens.
    pub attempts: Duration,
    /// Events.
    pub events: Duration,
    /// Audit entries; never less than 30 days, which the database enforces.
    pub audit: Duration,
}

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Attempts.
    pub attempts: u64,
    /// Events.
    pub events: u64,
    /// Audit entries.
    pub audit: u64,
}

impl Postgres {
    /// Deletes at most `batch` rows of each kind. Call again while as many go.
    pub async fn retain(
        &self,
        policy: Retention,
        now: Timestamp,
        batch: u32,
    ) -> Result<Retained, StoreError> {
        let before = |age: Duration| self.0.skew.there(now.minus(age));
        let statement =
            Statement::new("SELECT attempts, events, audit FROM token_broker.retain($1, $2, $3, $4)")
                .bind(before(policy.attempts))
                .bind(before(policy.events))
                .bind(before(policy.audit))
                .bind(i64::from(batch));
        let (attempts, events, audit) = self.step::<(i64, i64, i64)>(statement).await?;
        let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
        Ok(Retained { attempts: count(attempts), events: count(events), audit: count(audit) })
    }
}
