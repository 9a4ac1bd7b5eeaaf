//! What came back, into the grant: `settle` and `adopt`.

use sqlx::{SqliteConnection, query::QueryAs, sqlite::SqliteArguments};

use super::event;
use crate::{
    model::{
        AttemptId, Burn, ConnectionUid, EventKind, Fingerprint, Generation, RefreshToken, Settlement,
        Successor, Timestamp, Tokens,
    },
    store::{
        StoreError,
        rows::{self, Place},
    },
};

/// The next generation, under a guard on `?1`. No token of another connection gets in.
macro_rules! advance {
    ($name:literal, $guard:literal) => {
        concat!(
            "-- ",
            $name,
            "
            UPDATE grants SET generation = generation + 1, state = ?2, attempt_id = NULL, since = NULL,
                not_before = NULL, spend_before = NULL,
                access = ?3, access_issued_at = ?4, access_expires_at = ?5,
                predecessor = CASE WHEN ?6 THEN fingerprint ELSE predecessor END,
                refresh = CASE WHEN ?6 THEN ?7 ELSE refresh END,
                fingerprint = CASE WHEN ?6 THEN ?8 ELSE fingerprint END
            WHERE NOT EXISTS (SELECT 1 FROM grants other
                    WHERE other.fingerprint = ?8 AND other.connection_uid <> grants.connection_uid)
                AND ",
            $guard,
            " RETURNING connection_uid, generation"
        )
    };
}

type Advance = QueryAs<'static, sqlx::Sqlite, (Vec<u8>, i64), SqliteArguments>;

pub(super) async fn settle(
    tx: &mut SqliteConnection,
    attempt: AttemptId,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Settlement, StoreError> {
    let statement = sqlx::query_as(advance!(
        "settle(): the answer of the current, open attempt, or of a replayed one",
        "connection_uid = (SELECT connection_uid FROM attempts WHERE attempt_id = ?1)
        AND EXISTS (SELECT 1 FROM attempts a WHERE a.attempt_id = ?1 AND (
            (a.outcome IS NULL AND grants.attempt_id = ?1
                AND grants.state IN ('dispatched', 'in_doubt', 'reauth_required'))
            OR (a.outcome = 'replay_permitted' AND grants.state = 'idle' AND grants.generation = a.generation)))"
    ));
    let Some((connection, generation)) = advance(tx, statement.bind(attempt), tokens).await? else {
        return unsettled(tx, attempt, tokens, now).await;
    };
    close(tx, attempt, now).await?;
    reauth_where_missing(tx, connection, tokens, now).await?;
    Ok(Settlement::Settled(generation))
}

pub(super) async fn adopt(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    burn: &Burn,
    parent: Fingerprint,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Settlement, StoreError> {
    sqlx::query(
        "-- adopt(): the one in doubt; its token was still good, whatever it presented was not processed
        UPDATE attempts SET outcome = 'refused', closed_at = ?6
        WHERE outcome IS NULL AND attempt_id = (SELECT attempt_id FROM grants
            WHERE connection_uid = ?1 AND state NOT IN ('dispatched', 'revoked')
                AND generation = ?3 AND fingerprint = ?4)
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempt_id = ?2)
            AND NOT EXISTS (SELECT 1 FROM grants WHERE fingerprint = ?5 AND connection_uid <> ?1)",
    )
    .bind(connection)
    .bind(burn.attempt)
    .bind(burn.generation)
    .bind(parent)
    .bind(rotated(tokens).map(|token| token.fingerprint))
    .bind(now)
    .execute(&mut *tx)
    .await?;
    let adopted = sqlx::query(
        "-- adopt(): the attempt that the database forgot
        INSERT INTO attempts (attempt_id, connection_uid, generation, nonce_hash, replica, cause, fingerprint,
            dispatched_at, outcome, closed_at)
        SELECT ?2, connection_uid, generation, ?4, ?5, ?6, fingerprint, ?8, 'settled', ?8 FROM grants
        WHERE connection_uid = ?1 AND state NOT IN ('dispatched', 'revoked') AND generation = ?3 AND fingerprint = ?7
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempt_id = ?2)
            AND NOT EXISTS (SELECT 1 FROM attempts WHERE connection_uid = ?1 AND generation = ?3 AND holds_slot)
            AND NOT EXISTS (SELECT 1 FROM grants WHERE fingerprint = ?9 AND connection_uid <> ?1)",
    )
    .bind(connection)
    .bind(burn.attempt)
    .bind(burn.generation)
    .bind(burn.nonce)
    .bind(&burn.replica)
    .bind(&burn.cause)
    .bind(parent)
    .bind(now)
    .bind(rotated(tokens).map(|token| token.fingerprint))
    .execute(&mut *tx)
    .await?;
    if adopted.rows_affected() == 0 {
        return Ok(Settlement::Kept);
    }
    let statement = sqlx::query_as(advance!("adopt(): the pair", "connection_uid = ?1"));
    let advanced = advance(tx, statement.bind(connection), tokens).await?;
    let (connection, generation) = advanced.ok_or(StoreError::Corrupt {
        table: "grants",
        column: "fingerprint",
        row: connection.to_string(),
    })?;
    reauth_where_missing(tx, connection, tokens, now).await?;
    Ok(Settlement::Settled(generation))
}

const fn rotated(tokens: &Tokens) -> Option<&RefreshToken> {
    match &tokens.refresh {
        Successor::Rotated(token) => Some(token),
        Successor::Unchanged | Successor::Missing => None,
    }
}

async fn advance(
    tx: &mut SqliteConnection,
    statement: Advance,
    tokens: &Tokens,
) -> Result<Option<(ConnectionUid, Generation)>, StoreError> {
    let access = tokens.access.as_ref();
    let refresh = rotated(tokens);
    let missing = matches!(tokens.refresh, Successor::Missing);
    let row = statement
        .bind(if missing { "reauth_required" } else { "idle" })
        .bind(access.map(|access| access.sealed.clone()))
        .bind(access.map(|access| access.issued_at))
        .bind(access.map(|access| access.expires_at))
        .bind(!matches!(tokens.refresh, Successor::Unchanged))
        .bind(refresh.map(|token| token.sealed.clone()))
        .bind(refresh.map(|token| token.fingerprint))
        .fetch_optional(tx)
        .await?;
    row.map(|(connection, generation)| {
        let connection = rows::connection("grants", &connection)?;
        let row = connection.to_string();
        Ok((connection, Place::new("grants", &row).generation("generation", generation)?))
    })
    .transpose()
}

async fn close(tx: &mut SqliteConnection, attempt: AttemptId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "-- settle(): the attempt
        UPDATE attempts SET outcome = 'settled', closed_at = ?2 WHERE attempt_id = ?1 AND outcome IS NULL",
    )
    .bind(attempt)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A rotating provider that sent no refresh token: this access token is the last.
async fn reauth_where_missing(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<(), StoreError> {
    match tokens.refresh {
        Successor::Missing => event(tx, connection, EventKind::ReauthRequired, now).await,
        Successor::Rotated(_) | Successor::Unchanged => Ok(()),
    }
}

/// The answers of `settle` that leave the grant alone.
async fn unsettled(
    tx: &mut SqliteConnection,
    attempt: AttemptId,
    tokens: &Tokens,
    now: Timestamp,
) -> Result<Settlement, StoreError> {
    sqlx::query(
        "-- settle(): the grant has moved on
        UPDATE attempts SET outcome = 'superseded', closed_at = ?2
        WHERE attempt_id = ?1 AND outcome IS NULL AND EXISTS (SELECT 1 FROM grants g
            WHERE g.connection_uid = attempts.connection_uid
                AND g.state <> 'quarantined' AND g.attempt_id IS NOT ?1)",
    )
    .bind(attempt)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    let row = sqlx::query_as::<_, (Vec<u8>, String)>(
        "-- settle(): why it did not apply
        SELECT a.connection_uid, CASE
            WHEN a.outcome = 'settled' THEN 'ignored'
            WHEN a.outcome IS NULL THEN 'kept' -- quarantined, or the token of another connection
            WHEN a.outcome <> 'replay_permitted' THEN 'orphan'
            WHEN g.state = 'quarantined' THEN 'kept'
            WHEN g.generation = a.generation AND g.state IN ('dispatched', 'in_doubt', 'reauth_required') THEN 'waits'
            WHEN g.generation = a.generation AND g.state = 'idle' THEN 'kept' -- the token of another connection
            WHEN ?2 IS NULL OR g.fingerprint = ?2 OR g.predecessor = ?2 THEN 'ignored' -- settled before
            ELSE 'orphan' END
        FROM attempts a JOIN grants g USING (connection_uid) WHERE a.attempt_id = ?1",
    )
    .bind(attempt)
    .bind(rotated(tokens).map(|token| token.fingerprint))
    .fetch_optional(&mut *tx)
    .await?;
    let Some((connection, answer)) = row else { return Ok(Settlement::Unknown) };
    let settlement = match answer.as_str() {
        "ignored" => Settlement::Ignored,
        "waits" => Settlement::Waits,
        "kept" => Settlement::Kept,
        _ => Settlement::Orphan,
    };
    if settlement == Settlement::Orphan {
        let connection = rows::connection("attempts", &connection)?;
        event(tx, connection, EventKind::Orphan, now).await?;
    }
    Ok(settlement)
}
