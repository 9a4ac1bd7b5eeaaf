//! Who did what.

use async_trait::async_trait;

use super::Sqlite;
use crate::store::{Audit, AuditEntry, StoreError, rows::AuditRow};

#[async_trait]
impl Audit for Sqlite {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let AuditEntry { at, principal, action, resource, outcome } = entry.clone();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "-- append()
                    INSERT INTO audit (at, principal, action, resource, outcome) VALUES (?1, ?2, ?3, ?4, ?5)",
                )
                .bind(at)
                .bind(principal)
                .bind(action)
                .bind(resource)
                .bind(outcome)
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn entries(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query_as::<_, AuditRow>(
            "-- entries()
            SELECT at, principal, action, resource, outcome FROM audit ORDER BY seq DESC LIMIT ?1",
        )
        .bind(limit)
        .fetch_all(&self.0.readers)
        .await?;
        Ok(rows.into_iter().map(AuditEntry::from).collect())
    }
}
