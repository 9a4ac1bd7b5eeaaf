//! What time alone does.

use sqlx::SqliteConnection;

use super::event;
use crate::{
    model::{ConnectionUid, EventKind, SweepPolicy, Timestamp},
    store::{StoreError, bind::silent_since, rows},
};

pub(super) async fn sweep(
    tx: &mut SqliteConnection,
    policy: SweepPolicy,
    now: Timestamp,
) -> Result<Vec<ConnectionUid>, StoreError> {
    // Doubt ends before silence becomes doubt: a grant takes one step at a time.
    let required = sqlx::query_scalar::<_, Vec<u8>>(
        "-- sweep(): doubt becomes a person's work, a replay window ends
        UPDATE grants SET state = 'reauth_required', since = NULL
        WHERE (state = 'in_doubt' AND since <= ?1 AND (access IS NULL OR access_expires_at <= ?2))
            OR (state = 'idle' AND spend_before <= ?2)
        RETURNING connection_uid",
    )
    .bind(silent_since(now, policy.doubt_grace))
    .bind(now)
    .fetch_all(&mut *tx)
    .await?;
    let mut moved = tell(tx, required, EventKind::ReauthRequired, now).await?;
    moved.extend(doubt(tx, silent_since(now, policy.holder_lost_after), now).await?);
    moved.sort_unstable();
    Ok(moved)
}

pub(super) async fn orphan_dispatched(
    tx: &mut SqliteConnection,
    now: Timestamp,
) -> Result<Vec<ConnectionUid>, StoreError> {
    let mut moved = doubt(tx, Timestamp::from_micros(i64::MAX), now).await?;
    moved.sort_unstable();
    Ok(moved)
}

async fn doubt(
    tx: &mut SqliteConnection,
    silent_since: Timestamp,
    now: Timestamp,
) -> Result<Vec<ConnectionUid>, StoreError> {
    let doubted = sqlx::query_scalar::<_, Vec<u8>>(
        "-- sweep(): silence becomes doubt
        UPDATE grants SET state = 'in_doubt', since = ?2 WHERE state = 'dispatched' AND since <= ?1
        RETURNING connection_uid",
    )
    .bind(silent_since)
    .bind(now)
    .fetch_all(&mut *tx)
    .await?;
    tell(tx, doubted, EventKind::InDoubt, now).await
}

async fn tell(
    tx: &mut SqliteConnection,
    moved: Vec<Vec<u8>>,
    kind: EventKind,
    now: Timestamp,
) -> Result<Vec<ConnectionUid>, StoreError> {
    let mut connections = Vec::with_capacity(moved.len());
    for bytes in moved {
        let connection = rows::connection("grants", &bytes)?;
        event(tx, connection, kind, now).await?;
        connections.push(connection);
    }
    Ok(connections)
}
