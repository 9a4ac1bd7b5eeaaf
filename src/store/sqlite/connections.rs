//! Connections and the tombstones that they leave.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{Sqlite, grants::revoke};
use crate::{
    model::{Connection, ConnectionName, Generation, TenantName, Timestamp},
    store::{
        Connections, Page, StoreError, Written,
        bind::{micros, revision},
        rows::{self, ConnectionRow, Place, grant_type, page},
    },
};

#[async_trait]
impl Connections for Sqlite {
    async fn create_connection(&self, connection: &Connection) -> Result<Written, StoreError> {
        let connection = connection.clone();
        self.write(move |tx| Box::pin(async move { create(tx, &connection).await })).await
    }

    async fn generation_floor(&self, name: &ConnectionName) -> Result<Generation, StoreError> {
        let floor = sqlx::query_scalar::<_, Option<i64>>(
            "-- generation_floor()
            SELECT max(last_generation) FROM connections WHERE name = ?1 AND deleted_at IS NOT NULL",
        )
        .bind(name)
        .fetch_one(&self.0.readers)
        .await?;
        Place::new("connections", &name.to_string()).generation("last_generation", floor.unwrap_or(0))
    }

    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>, StoreError> {
        let row = sqlx::query_as::<_, ConnectionRow>(
            "-- connection()
            SELECT c.*, o.name AS oauth_client FROM connections c
            JOIN oauth_clients o ON o.uid = c.oauth_client_uid
            WHERE c.name = ?1 AND c.deleted_at IS NULL",
        )
        .bind(name)
        .fetch_optional(&self.0.readers)
        .await?;
        row.map(Connection::try_from).transpose()
    }

    async fn connections(
        &self,
        tenant: &TenantName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let rows = sqlx::query_as::<_, ConnectionRow>(
            "-- connections()
            SELECT c.*, o.name AS oauth_client FROM connections c
            JOIN oauth_clients o ON o.uid = c.oauth_client_uid
            WHERE c.tenant_uid = (SELECT uid FROM tenants WHERE name = ?1) AND c.deleted_at IS NULL
                AND c.name > ?1 || '/connections/' || ?2
            ORDER BY c.name LIMIT ?3",
        )
        .bind(tenant)
        .bind(after.unwrap_or_default())
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.0.readers)
        .await?;
        page(rows, limit)
    }

    async fn update_connection(&self, connection: &Connection) -> Result<Written, StoreError> {
        let connection = connection.clone();
        self.write(move |tx| Box::pin(async move { update(tx, &connection).await })).await
    }

    async fn delete_connection(
        &self,
        name: &ConnectionName,
        revision: Option<u64>,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let name = name.clone();
        let deleted = self
            .write(move |tx| Box::pin(async move { delete(tx, &name, revision, generation, now).await }))
            .await;
        self.forget_pages(deleted).await
    }
}

async fn create(tx: &mut SqliteConnection, connection: &Connection) -> Result<Written, StoreError> {
    let created = sqlx::query(
        "-- create_connection()
        INSERT INTO connections (uid, name, tenant_uid, oauth_client_uid, display_name, grant_type, account_id,
            max_min_ttl, generation_floor, revision, created_at, updated_at)
        SELECT ?1, ?2, t.uid, o.uid, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13 FROM tenants t, oauth_clients o
        WHERE t.name = ?3 AND t.uid = ?4 AND o.name = ?5
        ON CONFLICT DO NOTHING",
    )
    .bind(connection.uid)
    .bind(&connection.name)
    .bind(&connection.name.tenant)
    .bind(connection.tenant_uid)
    .bind(&connection.oauth_client)
    .bind(&connection.display_name)
    .bind(grant_type(connection.grant_type))
    .bind(&connection.account_id)
    .bind(connection.max_min_ttl.map(micros))
    .bind(connection.generation_floor)
    .bind(revision(connection.meta.revision))
    .bind(connection.meta.created_at)
    .bind(connection.meta.updated_at)
    .execute(&mut *tx)
    .await?;
    if created.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let taken = sqlx::query_scalar::<_, bool>(
        "-- create_connection(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM connections WHERE uid = ?1 OR (name = ?2 AND deleted_at IS NULL))",
    )
    .bind(connection.uid)
    .bind(&connection.name)
    .fetch_one(tx)
    .await?;
    Ok(if taken { Written::Exists } else { Written::Absent })
}

async fn update(tx: &mut SqliteConnection, connection: &Connection) -> Result<Written, StoreError> {
    let updated = sqlx::query(
        "-- update_connection()
        UPDATE connections SET display_name = ?4, max_min_ttl = ?5, revision = ?3, updated_at = ?6
        WHERE name = ?1 AND uid = ?2 AND deleted_at IS NULL AND revision = ?3 - 1",
    )
    .bind(&connection.name)
    .bind(connection.uid)
    .bind(revision(connection.meta.revision))
    .bind(&connection.display_name)
    .bind(connection.max_min_ttl.map(micros))
    .bind(connection.meta.updated_at)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let exists = sqlx::query_scalar::<_, bool>(
        "-- update_connection(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM connections WHERE name = ?1 AND uid = ?2 AND deleted_at IS NULL)",
    )
    .bind(&connection.name)
    .bind(connection.uid)
    .fetch_one(tx)
    .await?;
    Ok(if exists { Written::Stale } else { Written::Absent })
}

async fn delete(
    tx: &mut SqliteConnection,
    name: &ConnectionName,
    at_revision: Option<u64>,
    generation: Generation,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let deleted = sqlx::query_scalar::<_, Vec<u8>>(
        "-- delete_connection(): the tombstone
        UPDATE connections SET deleted_at = ?4, last_generation = max(?3, generation_floor,
            coalesce((SELECT generation FROM grants WHERE connection_uid = connections.uid), 0))
        WHERE name = ?1 AND deleted_at IS NULL AND (?2 IS NULL OR revision = ?2) RETURNING uid",
    )
    .bind(name)
    .bind(at_revision.map(revision))
    .bind(generation)
    .bind(now)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(uid) = deleted {
        revoke(tx, rows::connection("connections", &uid)?, now).await?;
        return Ok(Written::Done);
    }
    let exists = sqlx::query_scalar::<_, bool>(
        "-- delete_connection(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM connections WHERE name = ?1 AND deleted_at IS NULL)",
    )
    .bind(name)
    .fetch_one(tx)
    .await?;
    Ok(if exists { Written::Stale } else { Written::Absent })
}
