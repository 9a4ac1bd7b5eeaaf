//! Connections and the tombstones that they leave.

use async_trait::async_trait;

use super::{Postgres, Statement};
use crate::{
    model::{Connection, ConnectionName, Generation, OauthClient, TenantName, Timestamp},
    store::{
        Connections, Page, StoreError, Written,
        bind::{micros, revision},
        rows::{ConnectionRow, Place, grant_type, page},
    },
};

impl Postgres {
    fn connection_here(&self, connection: Connection) -> Connection {
        Connection { meta: self.0.skew.meta(&connection.meta), ..connection }
    }
}

#[async_trait]
impl Connections for Postgres {
    async fn create_connection(&self, connection: &Connection) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- create_connection(): never below a tombstone, also where one was left since the floor was read
            WITH created AS (
                INSERT INTO token_broker.connections (uid, name, tenant_uid, oauth_client_uid, display_name,
                    grant_type, account_id, max_min_ttl, generation_floor, revision, created_at, updated_at)
                SELECT $1, $2, t.uid, o.uid, $6, $7, $8, $9,
                    greatest($10, (SELECT max(last_generation) FROM token_broker.connections WHERE name = $2)),
                    $11, $12, $13
                FROM token_broker.tenants t, token_broker.oauth_clients o
                WHERE t.name = $3 AND t.uid = $4 AND o.name = $5
                ON CONFLICT DO NOTHING RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM created) THEN 'done'
                WHEN EXISTS (SELECT FROM token_broker.connections
                    WHERE uid = $1 OR (name = $2 AND deleted_at IS NULL)) THEN 'exists'
                WHEN EXISTS (SELECT FROM token_broker.tenants t, token_broker.oauth_clients o
                    WHERE t.name = $3 AND t.uid = $4 AND o.name = $5) THEN 'exists' -- since this statement began
                ELSE 'absent' END",
        )
        .bind(connection.uid)
        .bind(connection.name.clone())
        .bind(connection.name.tenant.clone())
        .bind(connection.tenant_uid)
        .bind(connection.oauth_client.clone())
        .bind(connection.display_name.clone())
        .bind(grant_type(connection.grant_type))
        .bind(connection.account_id.clone())
        .bind(connection.max_min_ttl.map(micros))
        .bind(connection.generation_floor)
        .bind(revision(connection.meta.revision))
        .bind(self.0.skew.there(connection.meta.created_at))
        .bind(self.0.skew.there(connection.meta.updated_at));
        self.written(statement).await
    }

    async fn generation_floor(&self, name: &ConnectionName) -> Result<Generation, StoreError> {
        let statement = Statement::new(
            "-- generation_floor()
            SELECT coalesce(max(last_generation), 0) FROM token_broker.connections
            WHERE name = $1 AND deleted_at IS NOT NULL",
        );
        let rows = self.read::<(i64,)>(statement.bind(name.clone())).await?;
        let floor = rows.first().map_or(0, |row| row.0);
        Place::new("connections", &name.to_string()).generation("last_generation", floor)
    }

    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>, StoreError> {
        let statement = Statement::new(
            "-- connection()
            SELECT uuid_send(c.uid) AS uid, c.name, uuid_send(c.tenant_uid) AS tenant_uid, o.name AS oauth_client,
                c.display_name, c.grant_type, c.account_id, c.max_min_ttl, c.generation_floor, c.revision,
                c.created_at, c.updated_at
            FROM token_broker.connections c JOIN token_broker.oauth_clients o ON o.uid = c.oauth_client_uid
            WHERE c.name = $1 AND c.deleted_at IS NULL",
        );
        let row = self.read::<ConnectionRow>(statement.bind(name.clone())).await?.into_iter().next();
        Ok(row.map(Connection::try_from).transpose()?.map(|connection| self.connection_here(connection)))
    }

    async fn connection_and_client(
        &self,
        name: &ConnectionName,
    ) -> Result<Option<(Connection, OauthClient)>, StoreError> {
        let found = self.0.together.connections.ask(name.clone()).await??;
        Ok(found.map(|(connection, client)| (self.connection_here(connection), self.client_here(client))))
    }

    async fn connections(
        &self,
        tenant: &TenantName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let statement = Statement::new(
            "-- connections()
            SELECT uuid_send(c.uid) AS uid, c.name, uuid_send(c.tenant_uid) AS tenant_uid, o.name AS oauth_client,
                c.display_name, c.grant_type, c.account_id, c.max_min_ttl, c.generation_floor, c.revision,
                c.created_at, c.updated_at
            FROM token_broker.connections c JOIN token_broker.oauth_clients o ON o.uid = c.oauth_client_uid
            WHERE c.tenant_uid = (SELECT uid FROM token_broker.tenants WHERE name = $1) AND c.deleted_at IS NULL
                AND c.name > $1 || '/connections/' || $2
            ORDER BY c.name LIMIT $3",
        )
        .bind(tenant.clone())
        .bind(after.unwrap_or_default().to_owned())
        .bind(i64::from(limit) + 1);
        let page: Page<Connection> = page(self.read::<ConnectionRow>(statement).await?, limit)?;
        Ok(page.map(|connection| self.connection_here(connection)))
    }

    async fn update_connection(&self, connection: &Connection) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- update_connection()
            WITH updated AS (
                UPDATE token_broker.connections SET display_name = $4, max_min_ttl = $5, revision = $3, updated_at = $6
                WHERE name = $1 AND uid = $2 AND deleted_at IS NULL AND revision = $3 - 1 RETURNING uid
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM updated) THEN 'done'
                WHEN EXISTS (SELECT FROM token_broker.connections
                    WHERE name = $1 AND uid = $2 AND deleted_at IS NULL) THEN 'stale'
                ELSE 'absent' END",
        )
        .bind(connection.name.clone())
        .bind(connection.uid)
        .bind(revision(connection.meta.revision))
        .bind(connection.display_name.clone())
        .bind(connection.max_min_ttl.map(micros))
        .bind(self.0.skew.there(connection.meta.updated_at));
        self.written(statement).await
    }

    async fn delete_connection(
        &self,
        name: &ConnectionName,
        revision: Option<u64>,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "SELECT token_broker.delete_connection(
                (SELECT uid FROM token_broker.tenants WHERE name = $1), $2, $3, $4, $5)",
        )
        .bind(name.tenant.clone())
        .bind(name.clone())
        .bind(revision.map(self::revision))
        .bind(generation)
        .bind(self.0.skew.there(now));
        self.written(statement).await
    }
}
