//! The one-way record, and what may be had with it.

use sqlx::{SqliteConnection, SqlitePool};

use crate::{
    model::{AttemptId, Burn, BurnFate, ConnectionUid, Nonce, Sealed, TenantUid, Timestamp},
    store::StoreError,
};

pub(super) async fn burn(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    burn: &Burn,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let burnt = sqlx::query(
        "-- burn(): idle -> dispatched
        UPDATE grants SET state = 'dispatched', attempt_id = ?2, since = ?4
        WHERE connection_uid = ?1 AND state = 'idle' AND generation = ?3 AND refresh IS NOT NULL
            AND (not_before IS NULL OR not_before <= ?4)
            AND (spend_before IS NULL OR ?4 < spend_before)
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempt_id = ?2)
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE connection_uid = ?1 AND generation = ?3 AND holds_slot)",
    )
    .bind(connection)
    .bind(burn.attempt)
    .bind(burn.generation)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if burnt.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "-- burn(): the attempt
        INSERT INTO attempts
            (attempt_id, connection_uid, generation, nonce_hash, replica, cause, fingerprint, dispatched_at)
        SELECT ?2, connection_uid, generation, ?3, ?4, ?5, fingerprint, ?6 FROM grants WHERE connection_uid = ?1",
    )
    .bind(connection)
    .bind(burn.attempt)
    .bind(burn.nonce)
    .bind(&burn.replica)
    .bind(&burn.cause)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(true)
}

/// By a reader: its snapshot holds committed burns only.
pub(super) async fn take(
    readers: &SqlitePool,
    tenant: TenantUid,
    attempt: AttemptId,
    nonce: Nonce,
) -> Result<Option<Sealed>, StoreError> {
    let sealed = sqlx::query_scalar::<_, Vec<u8>>(
        "-- take()
        SELECT g.refresh FROM attempts a JOIN grants g USING (connection_uid)
        WHERE a.attempt_id = ?1 AND a.nonce_hash = ?2 AND a.outcome IS NULL
            AND g.state = 'dispatched' AND g.attempt_id = a.attempt_id AND g.refresh IS NOT NULL
            AND EXISTS (SELECT 1 FROM connections WHERE uid = a.connection_uid AND tenant_uid = ?3)",
    )
    .bind(attempt)
    .bind(nonce.hash())
    .bind(tenant)
    .fetch_optional(readers)
    .await?;
    Ok(sealed.map(Sealed))
}

pub(super) async fn resolve(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    burn: &Burn,
    now: Timestamp,
) -> Result<BurnFate, StoreError> {
    let fate = sqlx::query_scalar::<_, String>(
        "-- resolve_burn()
        SELECT CASE
            WHEN a.outcome IS NOT NULL THEN 'stop'
            WHEN g.state = 'dispatched' AND g.attempt_id = a.attempt_id THEN 'proceed'
            ELSE 'release' END
        FROM attempts a JOIN grants g USING (connection_uid)
        WHERE a.attempt_id = ?1 AND a.connection_uid = ?2",
    )
    .bind(burn.attempt)
    .bind(connection)
    .fetch_optional(&mut *tx)
    .await?;
    match fate.as_deref() {
        Some("proceed") => return Ok(BurnFate::Proceed),
        Some("release") => return Ok(BurnFate::Release),
        Some(_) => return Ok(BurnFate::Stop),
        None => {}
    }
    sqlx::query(
        "-- resolve_burn(): a tombstone, on whose key a burn still queued fails
        INSERT INTO attempts (attempt_id, connection_uid, generation, nonce_hash, replica, cause, dispatched_at,
            outcome, closed_at)
        SELECT ?2, connection_uid, ?3, ?4, ?5, ?6, ?7, 'not_sent', ?7 FROM grants
        WHERE connection_uid = ?1 AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempt_id = ?2)",
    )
    .bind(connection)
    .bind(burn.attempt)
    .bind(burn.generation)
    .bind(burn.nonce)
    .bind(&burn.replica)
    .bind(&burn.cause)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(BurnFate::Stop)
}
