//! Data keys under the key-encryption key.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::Sqlite;
use crate::store::{DataKeys, KeyScope, StoreError, WrappedKey, Written, rows::KeyRow};

#[async_trait]
impl DataKeys for Sqlite {
    async fn data_keys(&self, scope: &KeyScope) -> Result<Vec<WrappedKey>, StoreError> {
        let (kind, tenant) = scope.columns();
        let rows = sqlx::query_as::<_, KeyRow>(
            "-- data_keys()
            SELECT id, wrapped_by, wrapped, created_at FROM data_keys
            WHERE scope = ?1 AND tenant_uid IS ?2 ORDER BY seq",
        )
        .bind(kind)
        .bind(tenant)
        .fetch_all(&self.0.readers)
        .await?;
        rows.into_iter().map(|row| row.read(scope)).collect()
    }

    async fn add_first_key(&self, key: &WrappedKey) -> Result<Written, StoreError> {
        let key = key.clone();
        self.write(move |tx| Box::pin(async move { add_first(tx, &key).await })).await
    }
}

async fn add_first(tx: &mut SqliteConnection, key: &WrappedKey) -> Result<Written, StoreError> {
    let (kind, tenant) = key.scope.columns();
    let added = sqlx::query(
        "-- add_first_key()
        INSERT INTO data_keys (id, scope, tenant_uid, wrapped_by, wrapped, created_at)
        SELECT ?1, ?2, ?3, ?4, ?5, ?6
        WHERE NOT EXISTS (SELECT 1 FROM data_keys WHERE scope = ?2 AND tenant_uid IS ?3)
            AND (?3 IS NULL OR EXISTS (SELECT 1 FROM tenants WHERE uid = ?3))
        ON CONFLICT DO NOTHING",
    )
    .bind(key.id.as_bytes().to_vec())
    .bind(kind)
    .bind(tenant)
    .bind(&key.wrapped_by)
    .bind(key.wrapped.clone())
    .bind(key.created_at)
    .execute(&mut *tx)
    .await?;
    if added.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let owned = sqlx::query_scalar::<_, bool>(
        "-- add_first_key(): why it did not apply
        SELECT ?1 IS NULL OR EXISTS (SELECT 1 FROM tenants WHERE uid = ?1)",
    )
    .bind(tenant)
    .fetch_one(tx)
    .await?;
    Ok(if owned { Written::Exists } else { Written::Absent })
}
