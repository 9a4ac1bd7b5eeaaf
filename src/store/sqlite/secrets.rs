//! What an OAuth client holds: secret versions and the lease.

use sqlx::{SqliteConnection, SqlitePool};

use crate::{
    model::{OauthClientUid, Sealed, SecretVersion, Timestamp},
    store::{
        Lease, StoreError, Written,
        rows::{LeaseRow, Place},
    },
};

pub(super) async fn add(
    tx: &mut SqliteConnection,
    client: OauthClientUid,
    version: SecretVersion,
    sealed: Sealed,
) -> Result<Written, StoreError> {
    let added = sqlx::query(
        "-- add_secret()
        INSERT INTO client_secrets (oauth_client_uid, version, sealed, created_at)
        SELECT uid, ?2, ?3, ?4 FROM oauth_clients WHERE uid = ?1 ON CONFLICT DO NOTHING",
    )
    .bind(client)
    .bind(version.version)
    .bind(sealed)
    .bind(version.created_at)
    .execute(&mut *tx)
    .await?;
    if added.rows_affected() > 0 {
        return Ok(Written::Done);
    }
    let exists = sqlx::query_scalar::<_, bool>(
        "-- add_secret(): why it did not apply
        SELECT EXISTS (SELECT 1 FROM oauth_clients WHERE uid = ?1)",
    )
    .bind(client)
    .fetch_one(tx)
    .await?;
    Ok(if exists { Written::Exists } else { Written::Absent })
}

pub(super) async fn list(
    readers: &SqlitePool,
    client: OauthClientUid,
) -> Result<Vec<SecretVersion>, StoreError> {
    let rows = sqlx::query_as::<_, (i64, i64)>(
        "-- secrets()
        SELECT version, created_at FROM client_secrets WHERE oauth_client_uid = ?1 ORDER BY version",
    )
    .bind(client)
    .fetch_all(readers)
    .await?;
    let owner = client.to_string();
    let place = Place::new("client_secrets", &owner);
    rows.into_iter()
        .map(|(version, created_at)| {
            let version = place.count("version", version)?;
            Ok(SecretVersion { version, created_at: Timestamp::from_micros(created_at) })
        })
        .collect()
}

pub(super) async fn get(
    readers: &SqlitePool,
    client: OauthClientUid,
    version: u32,
) -> Result<Option<Sealed>, StoreError> {
    let sealed = sqlx::query_scalar::<_, Vec<u8>>(
        "-- secret()
        SELECT sealed FROM client_secrets WHERE oauth_client_uid = ?1 AND version = ?2",
    )
    .bind(client)
    .bind(version)
    .fetch_optional(readers)
    .await?;
    Ok(sealed.map(Sealed))
}

pub(super) async fn lease(readers: &SqlitePool, client: OauthClientUid) -> Result<Option<Lease>, StoreError> {
    let row = sqlx::query_as::<_, LeaseRow>(
        "-- lease()
        SELECT generation, access, access_issued_at, access_expires_at FROM leases WHERE oauth_client_uid = ?1",
    )
    .bind(client)
    .fetch_optional(readers)
    .await?;
    row.map(|row| row.read(client)).transpose()
}

pub(super) async fn put_lease(
    tx: &mut SqliteConnection,
    client: OauthClientUid,
    lease: Lease,
) -> Result<bool, StoreError> {
    let put = sqlx::query(
        "-- put_lease()
        INSERT INTO leases (oauth_client_uid, generation, access, access_issued_at, access_expires_at)
        SELECT uid, ?2, ?3, ?4, ?5 FROM oauth_clients WHERE uid = ?1
            AND ?2 = 1 + coalesce((SELECT generation FROM leases WHERE oauth_client_uid = ?1), 0)
        ON CONFLICT (oauth_client_uid) DO UPDATE SET generation = excluded.generation, access = excluded.access,
            access_issued_at = excluded.access_issued_at, access_expires_at = excluded.access_expires_at",
    )
    .bind(client)
    .bind(lease.generation)
    .bind(lease.access.sealed)
    .bind(lease.access.issued_at)
    .bind(lease.access.expires_at)
    .execute(tx)
    .await?;
    Ok(put.rows_affected() > 0)
}
