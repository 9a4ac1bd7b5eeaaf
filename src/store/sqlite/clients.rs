//! OAuth clients.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{Sqlite, secrets};
use crate::{
    model::{OauthClient, OauthClientName, OauthClientUid, Sealed, SecretVersion, TenantName},
    store::{
        Lease, OauthClients, Page, StoreError, Written,
        bind::revision,
        rows::{ClientRow, page},
    },
};

#[async_trait]
impl OauthClients for Sqlite {
    async fn create_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError> {
        let client = client.clone();
        self.write(move |tx| Box::pin(async move { create(tx, &client).await })).await
    }

    async fn oauth_client(&self, name: &OauthClientName) -> Result<Option<OauthClient>, StoreError> {
        let row = sqlx::query_as::<_, ClientRow>(
            "-- oauth_client()
            SELECT * FROM oauth_clients WHERE name = ?1",
        )
        .bind(name)
        .fetch_optional(&self.0.readers)
        .await?;
        row.map(OauthClient::try_from).transpose()
    }

    async fn oauth_clients(
        &self,
        tenant: Option<&TenantName>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OauthClient>, StoreError> {
        let parent = tenant.map_or_else(String::new, |tenant| format!("{tenant}/"));
        let rows = sqlx::query_as::<_, ClientRow>(
            "-- oauth_clients()
            SELECT * FROM oauth_clients
            WHERE tenant_uid IS (SELECT uid FROM tenants WHERE name = ?1) AND (?1 IS NULL) = (tenant_uid IS NULL)
                AND name > ?2 || 'oauthClients/' || ?3
            ORDER BY name LIMIT ?4",
        )
        .bind(tenant)
        .bind(parent)
        .bind(after.unwrap_or_default())
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.0.readers)
        .await?;
        page(rows, limit)
    }

    async fn update_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError> {
        let client = client.clone();
        self.write(move |tx| Box::pin(async move { update(tx, &client).await })).await
    }

    async fn delete_oauth_client(
        &self,
        name: &OauthClientName,
        revision: Option<u64>,
    ) -> Result<Written, StoreError> {
        let name = name.clone();
        let deleted = self.write(move |tx| Box::pin(async move { delete(tx, &name, revision).await })).await;
        self.forget_pages(deleted).await
    }

    async fn add_secret(
        &self,
        client: OauthClientUid,
        version: &SecretVersion,
        sealed: &Sealed,
    ) -> Result<Written, StoreError> {
        let (version, sealed) = (version.clone(), sealed.clone());
        self.write(move |tx| Box::pin(secrets::add(tx, client, version, sealed))).await
    }

    async fn secrets(&self, client: OauthClientUid) -> Result<Vec<SecretVersion>, StoreError> {
        secrets::list(&self.0.readers, client).await
    }

    async fn secret(&self, client: OauthClientUid, version: u32) -> Result<Option<Sealed>, StoreError> {
        secrets::get(&self.0.readers, client, version).await
    }

    async fn lease(&self, client: OauthClientUid) -> Result<Option<Lease>, StoreError> {
        secrets::lease(&self.0.readers, client).await
    }

    async fn put_lease(&self, client: OauthClientUid, lease: &Lease) -> Result<bool, StoreError> {
        let lease = lease.clone();
        self.write(move |tx| Box::pin(secrets::put_lease(tx, client, lease))).await
    }
}

fn allow_list(client: &OauthClient) -> String {
    serde_json::to_string(&client.client_credentials_tenants).expect("a list of texts is JSON")
}

async fn create(tx: &mut SqliteConnection, client: &OauthClient) -> Result<Written, StoreError> {
    let created = sqlx::query(
        "-- create_oauth_client()
        INSERT INTO oauth_clients (uid, name, tenant_uid, display_name, provider, environment, client_id,
            client_credentials_tenants, current_secret, revision, created_at, updated_at)
        SELECT ?1, ?2, (SELECT uid FROM tenants WHERE name = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12
        WHERE ?3 IS NULL OR EXISTS (SELECT 1 FROM tenants WHERE name = ?3)
        ON CONFLICT DO NOTHING",
    )
    .bind(client.uid)
    .bind(&client.name)
    .bind(&client.name.tenant)
    .bind(&client.display_name)
    .bind(&client.provider)
    .bind(&client.environment)
    .bind(&client.client_id)
    .bind(allow_list(client))
    .bind(client.current_secret)
    .bind(revision(client.meta.revision))
    .bind(client.meta.created_at)
    .bind(client.meta.updated_at)
    .execute(&mut *tx)
    .await?;
    if created.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let taken = sqlx::query_scalar::<_, bool>(
        "-- create_oauth_client(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM oauth_clients WHERE uid = ?1 OR name = ?2)",
    )
    .bind(client.uid)
    .bind(&client.name)
    .fetch_one(tx)
    .await?;
    Ok(if taken { Written::Exists } else { Written::Absent })
}

async fn update(tx: &mut SqliteConnection, client: &OauthClient) -> Result<Written, StoreError> {
    let updated = sqlx::query(
        "-- update_oauth_client()
        UPDATE oauth_clients SET display_name = ?4, client_credentials_tenants = ?5, current_secret = ?6,
            revision = ?3, updated_at = ?7
        WHERE name = ?1 AND uid = ?2 AND revision = ?3 - 1",
    )
    .bind(&client.name)
    .bind(client.uid)
    .bind(revision(client.meta.revision))
    .bind(&client.display_name)
    .bind(allow_list(client))
    .bind(client.current_secret)
    .bind(client.meta.updated_at)
    .execute(&mut *tx)
    .await?;
    if updated.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let exists = sqlx::query_scalar::<_, bool>(
        "-- update_oauth_client(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM oauth_clients WHERE name = ?1 AND uid = ?2)",
    )
    .bind(&client.name)
    .bind(client.uid)
    .fetch_one(tx)
    .await?;
    Ok(if exists { Written::Stale } else { Written::Absent })
}

async fn delete(
    tx: &mut SqliteConnection,
    name: &OauthClientName,
    at_revision: Option<u64>,
) -> Result<Written, StoreError> {
    let deleted = sqlx::query(
        "-- delete_oauth_client(): its secrets and lease cascade
        DELETE FROM oauth_clients WHERE name = ?1 AND (?2 IS NULL OR revision = ?2) AND NOT EXISTS
            (SELECT 1 FROM connections WHERE oauth_client_uid = oauth_clients.uid AND deleted_at IS NULL)",
    )
    .bind(name)
    .bind(at_revision.map(revision))
    .execute(&mut *tx)
    .await?;
    if deleted.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let at_that_revision = sqlx::query_scalar::<_, bool>(
        "-- delete_oauth_client(): why it did not apply
        SELECT ?2 IS NULL OR revision = ?2 FROM oauth_clients WHERE name = ?1",
    )
    .bind(name)
    .bind(at_revision.map(revision))
    .fetch_optional(tx)
    .await?;
    Ok(Written::refused(at_that_revision))
}
