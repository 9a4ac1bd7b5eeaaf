//! Tenants.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::Sqlite;
use crate::{
    model::{Tenant, TenantName},
    store::{
        Page, StoreError, Tenants, Written,
        bind::revision,
        rows::{TenantRow, page},
    },
};

#[async_trait]
impl Tenants for Sqlite {
    async fn create_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError> {
        let tenant = tenant.clone();
        self.write(move |tx| Box::pin(async move { create(tx, &tenant).await })).await
    }

    async fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError> {
        let row = sqlx::query_as::<_, TenantRow>(
            "-- tenant()
            SELECT uid, name, display_name, revision, created_at, updated_at FROM tenants WHERE name = ?1",
        )
        .bind(name)
        .fetch_optional(&self.0.readers)
        .await?;
        row.map(Tenant::try_from).transpose()
    }

    async fn tenants(&self, after: Option<&str>, limit: u32) -> Result<Page<Tenant>, StoreError> {
        let rows = sqlx::query_as::<_, TenantRow>(
            "-- tenants()
            SELECT uid, name, display_name, revision, created_at, updated_at FROM tenants
            WHERE name > 'tenants/' || ?1 ORDER BY name LIMIT ?2",
        )
        .bind(after.unwrap_or_default())
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.0.readers)
        .await?;
        page(rows, limit)
    }

    async fn update_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError> {
        let tenant = tenant.clone();
        self.write(move |tx| Box::pin(async move { update(tx, &tenant).await })).await
    }

    async fn delete_tenant(&self, name: &TenantName, revision: Option<u64>) -> Result<Written, StoreError> {
        let name = name.clone();
        let deleted = self.write(move |tx| Box::pin(async move { delete(tx, &name, revision).await })).await;
        self.forget_pages(deleted).await
    }
}

async fn create(tx: &mut SqliteConnection, tenant: &Tenant) -> Result<Written, StoreError> {
    let created = sqlx::query(
        "-- create_tenant()
        INSERT INTO tenants (uid, name, display_name, revision, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.uid)
    .bind(&tenant.name)
    .bind(&tenant.display_name)
    .bind(revision(tenant.meta.revision))
    .bind(tenant.meta.created_at)
    .bind(tenant.meta.updated_at)
    .execute(tx)
    .await?;
    Ok(if created.rows_affected() > 0 { Written::Done } else { Written::Exists })
}

async fn update(tx: &mut SqliteConnection, tenant: &Tenant) -> Result<Written, StoreError> {
    let updated = sqlx::query(
        "-- update_tenant()
        UPDATE tenants SET display_name = ?4, revision = ?3, updated_at = ?5
        WHERE name = ?1 AND uid = ?2 AND revision = ?3 - 1",
    )
    .bind(&tenant.name)
    .bind(tenant.uid)
    .bind(revision(tenant.meta.revision))
    .bind(&tenant.display_name)
    .bind(tenant.meta.updated_at)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let exists = sqlx::query_scalar::<_, bool>(
        "-- update_tenant(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM tenants WHERE name = ?1 AND uid = ?2)",
    )
    .bind(&tenant.name)
    .bind(tenant.uid)
    .fetch_one(tx)
    .await?;
    Ok(if exists { Written::Stale } else { Written::Absent })
}

async fn delete(
    tx: &mut SqliteConnection,
    name: &TenantName,
    at_revision: Option<u64>,
) -> Result<Written, StoreError> {
    let deleted = sqlx::query(
        "-- delete_tenant(): its data keys cascade, and with them everything sealed under them
        DELETE FROM tenants WHERE name = ?1 AND (?2 IS NULL OR revision = ?2)
            AND NOT EXISTS (SELECT 1 FROM oauth_clients WHERE tenant_uid = tenants.uid)
            AND NOT EXISTS (SELECT 1 FROM connections WHERE tenant_uid = tenants.uid AND deleted_at IS NULL)",
    )
    .bind(name)
    .bind(at_revision.map(revision))
    .execute(&mut *tx)
    .await?;
    if deleted.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let at_that_revision = sqlx::query_scalar::<_, bool>(
        "-- delete_tenant(): why it did not apply
        SELECT ?2 IS NULL OR revision = ?2 FROM tenants WHERE name = ?1",
    )
    .bind(name)
    .bind(at_revision.map(revision))
    .fetch_optional(tx)
    .await?;
    Ok(Written::refused(at_that_revision))
}
