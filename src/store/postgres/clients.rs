//! OAuth clients.

use async_trait::async_trait;

use super::{Postgres, Statement};
use crate::{
    model::{OauthClient, OauthClientName, OauthClientUid, Sealed, SecretVersion, TenantName},
    store::{
        Lease, OauthClients, Page, StoreError, Written,
        bind::revision,
        rows::{ClientRow, page},
    },
};

impl Postgres {
    pub(super) fn client_here(&self, client: OauthClient) -> OauthClient {
        OauthClient { meta: self.0.skew.meta(&client.meta), ..client }
    }
}

fn allow_list(client: &OauthClient) -> String {
    serde_json::to_string(&client.client_credentials_tenants).expect("a list of texts is JSON")
}

#[async_trait]
impl OauthClients for Postgres {
    async fn create_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- create_oauth_client()
            WITH created AS (
                INSERT INTO token_broker.oauth_clients (uid, name, tenant_uid, display_name, provider, environment,
                    client_id, client_credentials_tenants, current_secret, revision, created_at, updated_at)
                SELECT $1, $2, (SELECT uid FROM token_broker.tenants WHERE name = $3), $4, $5, $6, $7, $8, $9, $10,
                    $11, $12
                WHERE $3 IS NULL OR EXISTS (SELECT FROM token_broker.tenants WHERE name = $3)
                ON CONFLICT DO NOTHING RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM created) THEN 'done'
                WHEN EXISTS (SELECT FROM token_broker.oauth_clients WHERE uid = $1 OR name = $2) THEN 'exists'
                WHEN $3 IS NULL OR EXISTS (SELECT FROM token_broker.tenants WHERE name = $3)
                    THEN 'exists' -- since this statement began
                ELSE 'absent' END",
        )
        .bind(client.uid)
        .bind(client.name.clone())
        .bind(client.name.tenant.clone())
        .bind(client.display_name.clone())
        .bind(client.provider.clone())
        .bind(client.environment.clone())
        .bind(client.client_id.clone())
        .bind(allow_list(client))
        .bind(client.current_secret.map(i64::from))
        .bind(revision(client.meta.revision))
        .bind(self.0.skew.there(client.meta.created_at))
        .bind(self.0.skew.there(client.meta.updated_at));
        self.written(statement).await
    }

    async fn oauth_client(&self, name: &OauthClientName) -> Result<Option<OauthClient>, StoreError> {
        let statement = Statement::new(
            "-- oauth_client()
            SELECT uuid_send(uid) AS uid, name, display_name, provider, environment, client_id,
                client_credentials_tenants, current_secret, revision, created_at, updated_at
            FROM token_broker.oauth_clients WHERE name = $1",
        );
        let row = self.read::<ClientRow>(statement.bind(name.clone())).await?.into_iter().next();
        Ok(row.map(OauthClient::try_from).transpose()?.map(|client| self.client_here(client)))
    }

    async fn oauth_clients(
        &self,
        tenant: Option<&TenantName>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OauthClient>, StoreError> {
        let parent = tenant.map_or_else(String::new, |tenant| format!("{tenant}/"));
        let statement = Statement::new(
            "-- oauth_clients()
            SELECT uuid_send(uid) AS uid, name, display_name, provider, environment, client_id,
                client_credentials_tenants, current_secret, revision, created_at, updated_at
            FROM token_broker.oauth_clients
            WHERE tenant_uid IS NOT DISTINCT FROM (SELECT uid FROM token_broker.tenants WHERE name = $1)
                AND ($1 IS NULL) = (tenant_uid IS NULL)
                AND name > $2 || 'oauthClients/' || $3
            ORDER BY name LIMIT $4",
        )
        .bind(tenant.cloned())
        .bind(parent)
        .bind(after.unwrap_or_default().to_owned())
        .bind(i64::from(limit) + 1);
        let page: Page<OauthClient> = page(self.read::<ClientRow>(statement).await?, limit)?;
        Ok(page.map(|client| self.client_here(client)))
    }

    async fn update_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- update_oauth_client()
            WITH updated AS (
                UPDATE token_broker.oauth_clients SET display_name = $4, client_credentials_tenants = $5,
                    current_secret = $6, revision = $3, updated_at = $7
                WHERE name = $1 AND uid = $2 AND revision = $3 - 1 RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM updated) THEN 'done'
                WHEN EXISTS (SELECT FROM token_broker.oauth_clients WHERE name = $1 AND uid = $2) THEN 'stale'
                ELSE 'absent' END",
        )
        .bind(client.name.clone())
        .bind(client.uid)
        .bind(revision(client.meta.revision))
        .bind(client.display_name.clone())
        .bind(allow_list(client))
        .bind(client.current_secret.map(i64::from))
        .bind(self.0.skew.there(client.meta.updated_at));
        self.written(statement).await
    }

    async fn delete_oauth_client(
        &self,
        name: &OauthClientName,
        revision: Option<u64>,
    ) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- delete_oauth_client(): its secrets and lease cascade
            WITH deleted AS (
                DELETE FROM token_broker.oauth_clients o WHERE name = $1 AND ($2 IS NULL OR revision = $2)
                    AND NOT EXISTS (SELECT FROM token_broker.connections
                        WHERE oauth_client_uid = o.uid AND deleted_at IS NULL)
                RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM deleted) THEN 'done'
                ELSE coalesce((SELECT CASE WHEN $2 IS NULL OR revision = $2 THEN 'in_use' ELSE 'stale' END
                    FROM token_broker.oauth_clients WHERE name = $1), 'absent') END",
        );
        self.written(statement.bind(name.clone()).bind(revision.map(self::revision))).await
    }

    async fn add_secret(
        &self,
        client: OauthClientUid,
        version: &SecretVersion,
        sealed: &Sealed,
    ) -> Result<Written, StoreError> {
        self.add_secret_version(client, version, sealed).await
    }

    async fn secrets(&self, client: OauthClientUid) -> Result<Vec<SecretVersion>, StoreError> {
        self.secret_versions(client).await
    }

    async fn secret(&self, client: OauthClientUid, version: u32) -> Result<Option<Sealed>, StoreError> {
        self.secret_version(client, version).await
    }

    async fn lease(&self, client: OauthClientUid) -> Result<Option<Lease>, StoreError> {
        self.stored_lease(client).await
    }

    async fn put_lease(&self, client: OauthClientUid, lease: &Lease) -> Result<bool, StoreError> {
        self.store_lease(client, lease).await
    }
}
