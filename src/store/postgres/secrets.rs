//! What an OAuth client holds: secret versions and the lease.

use super::{Postgres, Statement};
use crate::{
    model::{OauthClientUid, Sealed, SecretVersion, Timestamp},
    store::{
        Lease, StoreError, Written,
        rows::{LeaseRow, Place},
    },
};

impl Postgres {
    pub(super) async fn add_secret_version(
        &self,
        client: OauthClientUid,
        version: &SecretVersion,
        sealed: &Sealed,
    ) -> Result<Written, StoreError> {
        let statement = Statement::new(
            "-- add_secret()
            WITH added AS (
                INSERT INTO token_broker.client_secrets (oauth_client_uid, version, sealed, created_at)
                SELECT uid, $2, $3, $4 FROM token_broker.oauth_clients WHERE uid = $1
                ON CONFLICT DO NOTHING RETURNING version
            )
            SELECT CASE
                WHEN EXISTS (SELECT FROM added) THEN 'done'
                WHEN EXISTS (SELECT FROM token_broker.oauth_clients WHERE uid = $1) THEN 'exists'
                ELSE 'absent' END",
        )
        .bind(client)
        .bind(i64::from(version.version))
        .bind(sealed.clone())
        .bind(self.0.skew.there(version.created_at));
        self.written(statement).await
    }

    pub(super) async fn secret_versions(
        &self,
        client: OauthClientUid,
    ) -> Result<Vec<SecretVersion>, StoreError> {
        let statement = Statement::new(
            "-- secrets()
            SELECT version, created_at FROM token_broker.client_secrets WHERE oauth_client_uid = $1 ORDER BY version",
        );
        let rows = self.read::<(i64, i64)>(statement.bind(client)).await?;
        let owner = client.to_string();
        let place = Place::new("client_secrets", &owner);
        rows.into_iter()
            .map(|(version, created_at)| {
                let created_at = self.0.skew.here(Timestamp::from_micros(created_at));
                Ok(SecretVersion { version: place.count("version", version)?, created_at })
            })
            .collect()
    }

    pub(super) async fn secret_version(
        &self,
        client: OauthClientUid,
        version: u32,
    ) -> Result<Option<Sealed>, StoreError> {
        let statement = Statement::new(
            "-- secret()
            SELECT sealed FROM token_broker.client_secrets WHERE oauth_client_uid = $1 AND version = $2",
        );
        let rows = self.read::<(Vec<u8>,)>(statement.bind(client).bind(i64::from(version))).await?;
        Ok(rows.into_iter().next().map(|(sealed,)| Sealed(sealed)))
    }

    pub(super) async fn stored_lease(&self, client: OauthClientUid) -> Result<Option<Lease>, StoreError> {
        let statement = Statement::new(
            "-- lease()
            SELECT generation, access, access_issued_at, access_expires_at FROM token_broker.leases
            WHERE oauth_client_uid = $1",
        );
        let row = self.read::<LeaseRow>(statement.bind(client)).await?.pop();
        let lease = row.map(|row| row.read(client)).transpose()?;
        Ok(lease.map(|lease| Lease { access: self.0.skew.access(lease.access), ..lease }))
    }

    pub(super) async fn store_lease(
        &self,
        client: OauthClientUid,
        lease: &Lease,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new(
            "-- put_lease(): of two replicas with the same generation one
            INSERT INTO token_broker.leases AS held
                (oauth_client_uid, generation, access, access_issued_at, access_expires_at)
            SELECT uid, $2, $3, $4, $5 FROM token_broker.oauth_clients WHERE uid = $1
                AND $2 = 1 + coalesce((SELECT generation FROM token_broker.leases WHERE oauth_client_uid = $1), 0)
            ON CONFLICT (oauth_client_uid) DO UPDATE SET generation = excluded.generation, access = excluded.access,
                access_issued_at = excluded.access_issued_at, access_expires_at = excluded.access_expires_at
            WHERE held.generation = excluded.generation - 1
            RETURNING generation",
        )
        .bind(client)
        .bind(lease.generation)
        .bind(lease.access.sealed.clone())
        .bind(self.0.skew.there(lease.access.issued_at))
        .bind(self.0.skew.there(lease.access.expires_at));
        Ok(!self.write::<(i64,)>(statement).await?.is_empty())
    }
}
