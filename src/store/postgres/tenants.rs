//! Tenants.

use async_trait::async_trait;

use super::{Postgres, Statement};
use crate::{
    model::{Tenant, TenantName},
    store::{
        Page, StoreError, Tenants, Written,
        bind::revision,
        rows::{TenantRow, page},
    },
};

impl Postgres {
    fn tenant_here(&self, tenant: Tenant) -> Tenant {
        Tenant { meta: self.0.skew.meta(&tenant.meta), ..tenant }
    }
}

#[async_trait]
impl Tenants for Postgres {
    async fn create_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- create_tenant()
            WITH created AS (
                INSERT INTO token_broker.tenants (uid, name, display_name, revision, created_at, updated_at)
                VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING uid
            )
            SELECT CASE WHEN EXISTS (SELECT FROM created) THEN 'done' ELSE 'exists' END",
        )
        .bind(tenant.uid)
        .bind(tenant.name.clone())
        .bind(tenant.display_name.clone())
        .bind(revision(tenant.meta.revision))
        .bind(self.0.skew.there(tenant.meta.created_at))
        .bind(self.0.skew.there(tenant.meta.updated_at));
        self.written(statement).await
    }

    async fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError> {
        let statement = Statement::new(
            "-- tenant()
            SELECT uuid_send(uid) AS uid, name, display_name, revision, created_at, updated_at
            FROM token_broker.tenants WHERE name = $1",
        );
        let row = self.read::<TenantRow>(statement.bind(name.clone())).await?.pop();
        row.map(|row| row.try_into().map(|tenant| self.tenant_here(tenant))).transpose()
    }

    async fn tenants(&self, after: Option<&str>, limit: u32) -> Result<Page<Tenant>, StoreError> {
        let statement = Statement::new(
            "-- tenants()
            SELECT uuid_send(uid) AS uid, name, display_name, revision, created_at, updated_at
            FROM token_broker.tenants WHERE name > 'tenants/' || $1 ORDER BY name LIMIT $2",
        );
        let statement = statement.bind(after.unwrap_or_default().to_owned()).bind(i64::from(limit) + 1);
        let page: Page<Tenant> = page(self.read::<TenantRow>(statement).await?, limit)?;
        Ok(page.map(|tenant| self.tenant_here(tenant)))
    }

    async fn update_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- update_tenant()
            WITH updated AS (
                UPDATE token_broker.tenants SET display_name = $4, revision = $3, updated_at = $5
                WHERE name = $1 AND uid = $2 AND revision = $3 - 1 RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM updated) THEN 'done'
                WHEN EXISTS (SELECT FROM token_broker.tenants WHERE name = $1 AND uid = $2) THEN 'stale'
                ELSE 'absent' END",
        )
        .bind(tenant.name.clone())
        .bind(tenant.uid)
        .bind(revision(tenant.meta.revision))
        .bind(tenant.display_name.clone())
        .bind(self.0.skew.there(tenant.meta.updated_at));
        self.written(statement).await
    }

    async fn delete_tenant(&self, name: &TenantName, revision: Option<u64>) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- delete_tenant(): its data keys cascade, and with them everything sealed under them
            WITH deleted AS (
                DELETE FROM token_broker.tenants t WHERE name = $1 AND ($2 IS NULL OR revision = $2)
                    AND NOT EXISTS (SELECT FROM token_broker.oauth_clients WHERE tenant_uid = t.uid)
                    AND NOT EXISTS (SELECT FROM token_broker.connections
                        WHERE tenant_uid = t.uid AND deleted_at IS NULL)
                RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM deleted) THEN 'done'
                ELSE coalesce((SELECT CASE WHEN $2 IS NULL OR revision = $2 THEN 'in_use' ELSE 'stale' END
                    FROM token_broker.tenants WHERE name = $1), 'absent') END",
        );
        self.written(statement.bind(name.clone()).bind(revision.map(self::revision))).await
    }
}
