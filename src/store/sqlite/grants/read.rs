//! What may be read of a grant without burning it.

use sqlx::SqlitePool;

use super::rows::{AttemptRow, EventRow, GrantRow};
use crate::{
    model::{Attempt, ConnectionUid, GrantFacts},
    store::{Event, StoreError},
};

pub(super) async fn grant(
    readers: &SqlitePool,
    connection: ConnectionUid,
) -> Result<Option<GrantFacts>, StoreError> {
    let row = sqlx::query_as::<_, GrantRow>(
        "-- grant()
        SELECT hex(connection_uid) AS row, generation, revoke_epoch, state, attempt_id, since, not_before,
            spend_before, access, access_issued_at, access_expires_at, fingerprint, endpoint
        FROM grants WHERE connection_uid = ?1",
    )
    .bind(connection)
    .fetch_optional(readers)
    .await?;
    row.map(GrantFacts::try_from).transpose()
}

pub(super) async fn attempts(
    readers: &SqlitePool,
    connection: ConnectionUid,
    limit: u32,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query_as::<_, AttemptRow>(
        "-- attempts()
        SELECT hex(attempt_id) AS row, attempt_id, generation, nonce_hash, replica, cause, fingerprint,
            dispatched_at, outcome, closed_at
        FROM attempts WHERE connection_uid = ?1 ORDER BY seq DESC LIMIT ?2",
    )
    .bind(connection)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    rows.into_iter().map(Attempt::try_from).collect()
}

pub(super) async fn events(
    readers: &SqlitePool,
    connection: ConnectionUid,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let rows = sqlx::query_as::<_, EventRow>(
        "-- events()
        SELECT hex(connection_uid) AS row, connection_uid, generation, kind, at
        FROM events WHERE connection_uid = ?1 ORDER BY seq DESC LIMIT ?2",
    )
    .bind(connection)
    .bind(limit)
    .fetch_all(readers)
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}
