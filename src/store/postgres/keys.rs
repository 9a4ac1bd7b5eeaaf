//! Data keys under the key-encryption key.

use async_trait::async_trait;

use super::{Postgres, Statement};
use crate::store::{DataKeys, KeyScope, StoreError, WrappedKey, Written, rows::KeyRow};

#[async_trait]
impl DataKeys for Postgres {
    async fn data_keys(&self, scope: &KeyScope) -> Result<Vec<WrappedKey>, StoreError> {
        let (kind, tenant) = scope.columns();
        let statement = Statement::new(
            "-- data_keys()
            SELECT uuid_send(id) AS id, wrapped_by, wrapped, created_at FROM token_broker.data_keys
            WHERE scope = $1 AND tenant_uid IS NOT DISTINCT FROM $2 ORDER BY seq",
        );
        let rows = self.read::<KeyRow>(statement.bind(kind).bind(tenant)).await?;
        rows.into_iter()
            .map(|row| {
                let key = row.read(scope)?;
                Ok(WrappedKey { created_at: self.0.skew.here(key.created_at), ..key })
            })
            .collect()
    }

    async fn add_first_key(&self, key: &WrappedKey) -> Result<Written, StoreError> {
        let (kind, tenant) = key.scope.columns();
        let statement = Statement::new(
            "-- add_first_key(): of two at once the index admits one
            WITH added AS (
                INSERT INTO token_broker.data_keys (id, scope, tenant_uid, wrapped_by, wrapped, created_at, is_first)
                SELECT $1, $2, $3, $4, $5, $6, true
                WHERE NOT EXISTS (SELECT FROM token_broker.data_keys
                        WHERE scope = $2 AND tenant_uid IS NOT DISTINCT FROM $3)
                    AND ($3 IS NULL OR EXISTS (SELECT FROM token_broker.tenants WHERE uid = $3))
                ON CONFLICT DO NOTHING RETURNING seq
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM added) THEN 'done'
                WHEN $3 IS NULL OR EXISTS (SELECT FROM token_broker.tenants WHERE uid = $3) THEN 'exists'
                ELSE 'absent' END",
        );
        let statement = statement.bind(key.id).bind(kind).bind(tenant).bind(key.wrapped_by.clone());
        self.written(statement.bind(key.wrapped.clone()).bind(self.0.skew.there(key.created_at))).await
    }
}
