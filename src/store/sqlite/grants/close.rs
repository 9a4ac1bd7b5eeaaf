//! Attempts that brought no tokens: `conclude`, `permit_replay`, `quarantine`.

use sqlx::SqliteConnection;

use super::event;
use crate::{
    model::{AttemptId, Closing, ConnectionUid, EventKind, Outcome, REFUSALS_PER_GENERATION, Timestamp},
    store::{StoreError, rows},
};

pub(super) async fn conclude(
    tx: &mut SqliteConnection,
    attempt: AttemptId,
    closing: Closing,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (outcome, not_before) = match closing {
        Closing::NotSent => (Outcome::NotSent, None),
        Closing::Refused { not_before } => (Outcome::Refused, Some(not_before)),
        Closing::Rejected => (Outcome::Rejected, None),
        Closing::Unknown => return doubt(tx, attempt, now).await,
    };
    let closed = sqlx::query(
        "-- conclude(): the attempt
        UPDATE attempts SET outcome = ?2, closed_at = ?3 WHERE attempt_id = ?1 AND outcome IS NULL",
    )
    .bind(attempt)
    .bind(outcome)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    let reopened = outcome.frees_slot() && reopen(tx, attempt, not_before).await?;
    if !reopened {
        require_reauth(tx, attempt, now).await?;
    }
    Ok(true)
}

/// Back to idle, unless the endpoint has refused this generation too often. Zero rows also where the attempt is not
/// the grant's any more.
async fn reopen(
    tx: &mut SqliteConnection,
    attempt: AttemptId,
    not_before: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let limit = i64::try_from(REFUSALS_PER_GENERATION).expect("a handful");
    let reopened = sqlx::query(
        "-- conclude(): the token may be burnt again
        UPDATE grants SET state = 'idle', attempt_id = NULL, since = NULL, not_before = coalesce(?2, not_before)
        WHERE attempt_id = ?1 AND state IN ('dispatched', 'in_doubt', 'reauth_required')
            AND (?2 IS NULL OR ?3 > (SELECT count(*) FROM attempts a
                WHERE a.connection_uid = grants.connection_uid AND a.generation = grants.generation
                    AND a.outcome = 'refused'))",
    )
    .bind(attempt)
    .bind(not_before)
    .bind(limit)
    .execute(tx)
    .await?;
    Ok(reopened.rows_affected() > 0)
}

/// Where it is required already nothing changes, and nobody is told again.
async fn require_reauth(
    tx: &mut SqliteConnection,
    attempt: AttemptId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entered = sqlx::query_scalar::<_, Vec<u8>>(
        "-- conclude(): a person must authorise anew
        UPDATE grants SET state = 'reauth_required', since = NULL
        WHERE attempt_id = ?1 AND state IN ('dispatched', 'in_doubt') RETURNING connection_uid",
    )
    .bind(attempt)
    .fetch_optional(&mut *tx)
    .await?;
    tell(tx, entered, EventKind::ReauthRequired, now).await.map(drop)
}

async fn doubt(tx: &mut SqliteConnection, attempt: AttemptId, now: Timestamp) -> Result<bool, StoreError> {
    let entered = sqlx::query_scalar::<_, Vec<u8>>(
        "-- conclude(): nobody knows; the attempt stays open
        UPDATE grants SET state = 'in_doubt', since = ?2
        WHERE attempt_id = ?1 AND state = 'dispatched'
            AND EXISTS (SELECT 1 FROM attempts WHERE attempt_id = ?1 AND outcome IS NULL)
        RETURNING connection_uid",
    )
    .bind(attempt)
    .bind(now)
    .fetch_optional(&mut *tx)
    .await?;
    tell(tx, entered, EventKind::InDoubt, now).await
}

pub(super) async fn permit_replay(
    tx: &mut SqliteConnection,
    attempt: AttemptId,
    spend_before: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let closed = sqlx::query(
        "-- permit_replay(): the attempt in doubt
        UPDATE attempts SET outcome = 'replay_permitted', closed_at = ?2
        WHERE attempt_id = ?1 AND outcome IS NULL
            AND EXISTS (SELECT 1 FROM grants WHERE attempt_id = ?1 AND state = 'in_doubt')",
    )
    .bind(attempt)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "-- permit_replay(): the token may be burnt again, for a while
        UPDATE grants SET state = 'idle', attempt_id = NULL, since = NULL, spend_before = ?2
        WHERE attempt_id = ?1 AND state = 'in_doubt'",
    )
    .bind(attempt)
    .bind(spend_before)
    .execute(tx)
    .await?;
    Ok(true)
}

pub(super) async fn quarantine(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    attempt: Option<AttemptId>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if let Some(attempt) = attempt {
        let closed = sqlx::query(
            "-- quarantine(): the caller's attempt was not sent
            UPDATE attempts SET outcome = 'not_sent', closed_at = ?3
            WHERE attempt_id = ?1 AND connection_uid = ?2 AND outcome IS NULL",
        )
        .bind(attempt)
        .bind(connection)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if closed.rows_affected() == 0 {
            return Ok(false);
        }
    }
    let entered = sqlx::query_scalar::<_, Vec<u8>>(
        "-- quarantine(): the grant, unless it is another attempt's
        UPDATE grants SET state = 'quarantined', since = NULL
        WHERE connection_uid = ?1 AND state IN ('idle', 'dispatched', 'in_doubt')
            AND (?2 IS NULL OR attempt_id = ?2)
        RETURNING connection_uid",
    )
    .bind(connection)
    .bind(attempt)
    .fetch_optional(&mut *tx)
    .await?;
    tell(tx, entered, EventKind::Quarantined, now).await
}

pub(super) async fn resolve(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let entered = sqlx::query_scalar::<_, Vec<u8>>(
        "-- resolve(): an operator ends doubt or quarantine
        UPDATE grants SET state = 'reauth_required', since = NULL
        WHERE connection_uid = ?1 AND state IN ('in_doubt', 'quarantined') RETURNING connection_uid",
    )
    .bind(connection)
    .fetch_optional(&mut *tx)
    .await?;
    tell(tx, entered, EventKind::ReauthRequired, now).await
}

/// The event of the grant that a statement moved, if it moved one.
async fn tell(
    tx: &mut SqliteConnection,
    moved: Option<Vec<u8>>,
    kind: EventKind,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(connection) = moved else { return Ok(false) };
    let connection = rows::connection("grants", &connection)?;
    event(tx, connection, kind, now).await?;
    Ok(true)
}
