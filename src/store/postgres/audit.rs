//! Who did what.

use async_trait::async_trait;

use super::{Postgres, Statement};
use crate::store::{Audit, AuditEntry, StoreError, rows::AuditRow};

#[async_trait]
impl Audit for Postgres {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let AuditEntry { at, principal, action, resource, outcome } = entry.clone();
        let statement = Statement::new(
            "-- append()
            INSERT INTO token_broker.audit (at, principal, action, resource, outcome) VALUES ($1, $2, $3, $4, $5)
            RETURNING seq",
        );
        let statement = statement.bind(self.0.skew.there(at)).bind(principal).bind(action);
        self.step::<(i64,)>(statement.bind(resource).bind(outcome)).await.map(drop)
    }

    async fn entries(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let statement = Statement::new(
            "-- entries()
            SELECT at, principal, action, resource, outcome FROM token_broker.audit ORDER BY seq DESC LIMIT $1",
        );
        let rows = self.read::<AuditRow>(statement.bind(i64::from(limit))).await?;
        let entries = rows.into_iter().map(AuditEntry::from);
        Ok(entries.map(|entry| AuditEntry { at: self.0.skew.here(entry.at), ..entry }).collect())
    }
}
