//! What comes from outside the rotation: `reauthorise` and `revoke`.

use sqlx::SqliteConnection;

use super::event;
use crate::{
    model::{ConnectionUid, Epoch, EventKind, Fingerprint, Reauthorise, Timestamp},
    store::{Reauthorised, StoreError, bind::silent_since, rows::Place},
};

pub(super) async fn reauthorise(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    new: &Reauthorise,
    now: Timestamp,
) -> Result<Reauthorised, StoreError> {
    if let Some(refusal) = refusal(tx, connection, new.refresh.fingerprint).await? {
        return Ok(refusal);
    }
    let done = replace(tx, connection, new, now).await? || plant(tx, connection, new).await?;
    Ok(if done { Reauthorised::Done(new.generation) } else { Reauthorised::Refused })
}

/// A token that is someone's already would be spent twice, one that was someone's is spent.
async fn refusal(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    fingerprint: Fingerprint,
) -> Result<Option<Reauthorised>, StoreError> {
    let (living, known) = sqlx::query_as::<_, (bool, bool)>(
        "-- reauthorise(): gone, or a known token
        SELECT EXISTS (SELECT 1 FROM connections WHERE uid = ?1 AND deleted_at IS NULL),
            EXISTS (SELECT 1 FROM grants WHERE fingerprint = ?2)
                OR EXISTS (SELECT 1 FROM grants WHERE predecessor = ?2)
                OR EXISTS (SELECT 1 FROM attempts WHERE fingerprint = ?2 AND holds_slot)",
    )
    .bind(connection)
    .bind(fingerprint)
    .fetch_one(tx)
    .await?;
    Ok(match (living, known) {
        (false, _) => Some(Reauthorised::Gone),
        (true, true) => Some(Reauthorised::TokenKnown),
        (true, false) => None,
    })
}

async fn replace(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    new: &Reauthorise,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let held = sqlx::query_scalar::<_, Option<Vec<u8>>>(
        "-- reauthorise(): whose answer is still awaited
        SELECT attempt_id FROM grants WHERE connection_uid = ?1",
    )
    .bind(connection)
    .fetch_optional(&mut *tx)
    .await?;
    let access = new.access.as_ref();
    let replaced = sqlx::query(
        "-- reauthorise(): a new rotation
        UPDATE grants SET generation = ?2, state = 'idle', attempt_id = NULL, since = NULL,
            not_before = NULL, spend_before = NULL, predecessor = NULL,
            access = ?4, access_issued_at = ?5, access_expires_at = ?6,
            refresh = ?7, fingerprint = ?8, endpoint = ?9
        WHERE connection_uid = ?1 AND revoke_epoch = ?3 AND generation < ?2
            AND (state <> 'dispatched' OR since <= ?10)",
    )
    .bind(connection)
    .bind(new.generation)
    .bind(new.epoch)
    .bind(access.map(|access| access.sealed.clone()))
    .bind(access.map(|access| access.issued_at))
    .bind(access.map(|access| access.expires_at))
    .bind(new.refresh.sealed.clone())
    .bind(new.refresh.fingerprint)
    .bind(new.endpoint.to_vec())
    .bind(silent_since(now, new.holder_lost_after))
    .execute(&mut *tx)
    .await?;
    if replaced.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "-- reauthorise(): the old attempt; a late answer of it is an orphan
        UPDATE attempts SET outcome = 'superseded', closed_at = ?2 WHERE attempt_id = ?1 AND outcome IS NULL",
    )
    .bind(held.flatten())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(true)
}

async fn plant(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    first: &Reauthorise,
) -> Result<bool, StoreError> {
    let access = first.access.as_ref();
    let planted = sqlx::query(
        "-- reauthorise(): the first pair of a connection
        INSERT INTO grants (connection_uid, generation, revoke_epoch, state, access, access_issued_at,
            access_expires_at, refresh, fingerprint, endpoint)
        SELECT uid, ?2, ?3, 'idle', ?4, ?5, ?6, ?7, ?8, ?9 FROM connections
        WHERE uid = ?1 AND deleted_at IS NULL AND generation_floor < ?2 AND ?3 = 0
            AND NOT EXISTS (SELECT 1 FROM grants WHERE connection_uid = ?1)",
    )
    .bind(connection)
    .bind(first.generation)
    .bind(first.epoch)
    .bind(access.map(|access| access.sealed.clone()))
    .bind(access.map(|access| access.issued_at))
    .bind(access.map(|access| access.expires_at))
    .bind(first.refresh.sealed.clone())
    .bind(first.refresh.fingerprint)
    .bind(first.endpoint.to_vec())
    .execute(tx)
    .await?;
    Ok(planted.rows_affected() > 0)
}

pub(in super::super) async fn revoke(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    now: Timestamp,
) -> Result<Option<Epoch>, StoreError> {
    let entered = sqlx::query(
        "-- revoke()
        UPDATE grants SET state = 'revoked', attempt_id = NULL, since = NULL, not_before = NULL,
            spend_before = NULL, access = NULL, access_issued_at = NULL, access_expires_at = NULL,
            refresh = NULL, fingerprint = NULL
        WHERE connection_uid = ?1 AND state <> 'revoked'",
    )
    .bind(connection)
    .execute(&mut *tx)
    .await?;
    if entered.rows_affected() > 0 {
        event(tx, connection, EventKind::Revoked, now).await?;
    }
    let epoch = sqlx::query_scalar::<_, i64>(
        "-- revoke(): whatever began before may not complete
        UPDATE grants SET revoke_epoch = revoke_epoch + 1 WHERE connection_uid = ?1 RETURNING revoke_epoch",
    )
    .bind(connection)
    .fetch_optional(tx)
    .await?;
    let row = connection.to_string();
    epoch.map(|epoch| Place::new("grants", &row).count("revoke_epoch", epoch).map(Epoch)).transpose()
}
