//! What may be read of a grant without burning it.

use sqlx::{SqliteConnection, SqlitePool};

use super::Whose;
use crate::{
    model::{Attempt, ConnectionUid, GrantFacts, TenantUid},
    store::{
        Event, StoreError,
        rows::{AttemptRow, EventRow, GrantRow},
    },
};

pub(super) async fn grant(
    readers: &SqlitePool,
    tenant: TenantUid,
    connection: ConnectionUid,
) -> Result<Option<GrantFacts>, StoreError> {
    let row = sqlx::query_as::<_, GrantRow>(
        "-- grant()
        SELECT hex(connection_uid) AS row, generation, revoke_epoch, state, attempt_id, since, not_before,
            spend_before, access, access_issued_at, access_expires_at, fingerprint, endpoint
        FROM grants WHERE connection_uid = ?1
            AND EXISTS (SELECT 1 FROM connections WHERE uid = ?1 AND tenant_uid = ?2)",
    )
    .bind(connection)
    .bind(tenant)
    .fetch_optional(readers)
    .await?;
    row.map(GrantFacts::try_from).transpose()
}

pub(super) async fn attempts(
    readers: &SqlitePool,
    tenant: TenantUid,
    connection: ConnectionUid,
    limit: u32,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query_as::<_, AttemptRow>(
        "-- attempts()
        SELECT hex(attempt_id) AS row, attempt_id, generation, nonce_hash, replica, cause, fingerprint,
            dispatched_at, outcome, closed_at
        FROM attempts WHERE connection_uid = ?1
            AND EXISTS (SELECT 1 FROM connections WHERE uid = ?1 AND tenant_uid = ?2)
        ORDER BY seq DESC LIMIT ?3",
    )
    .bind(connection)
    .bind(tenant)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    rows.into_iter().map(Attempt::try_from).collect()
}

pub(super) async fn events(
    readers: &SqlitePool,
    tenant: TenantUid,
    connection: ConnectionUid,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query_as::<_, EventRow>(
        "-- events()
        SELECT hex(connection_uid) AS row, connection_uid, generation, kind, at
        FROM events WHERE connection_uid = ?1
            AND EXISTS (SELECT 1 FROM connections WHERE uid = ?1 AND tenant_uid = ?2)
        ORDER BY seq DESC LIMIT ?3",
    )
    .bind(connection)
    .bind(tenant)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}

/// Whether a connection, or an attempt, is the tenant's.
pub(super) async fn is_of(
    tx: &mut SqliteConnection,
    tenant: TenantUid,
    whose: Whose,
) -> Result<bool, StoreError> {
    let found = match whose {
        Whose::Connection(connection) => sqlx::query_scalar(
            "-- is_of(): the connection
            SELECT EXISTS (SELECT 1 FROM connections WHERE uid = ?1 AND tenant_uid = ?2)",
        )
        .bind(connection),
        Whose::Attempt(attempt) => sqlx::query_scalar(
            "-- is_of(): the attempt
            SELECT EXISTS (SELECT 1 FROM attempts a JOIN connections c ON c.uid = a.connection_uid
                WHERE a.attempt_id = ?1 AND c.tenant_uid = ?2)",
        )
        .bind(attempt),
    };
    Ok(found.bind(tenant).fetch_one(tx).await?)
}
