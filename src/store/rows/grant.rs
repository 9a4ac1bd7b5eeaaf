//! The rows of grants, attempts and events.

use super::{AccessRow, Place};
use crate::{
    model::{
        Attempt, AttemptId, Burn, ConnectionUid, Epoch, EventKind, GrantFacts, NonceHash, Outcome, State,
        Timestamp,
    },
    store::{Event, StoreError},
};

#[derive(sqlx::FromRow)]
pub(in crate::store) struct GrantRow {
    row: String,
    generation: i64,
    revoke_epoch: i64,
    state: String,
    attempt_id: Option<Vec<u8>>,
    since: Option<i64>,
    not_before: Option<i64>,
    spend_before: Option<i64>,
    #[sqlx(flatten)]
    access: AccessRow,
    fingerprint: Option<Vec<u8>>,
    endpoint: Vec<u8>,
}

impl TryFrom<GrantRow> for GrantFacts {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        let place = Place::new("grants", &row.row);
        let attempt =
            row.attempt_id.as_deref().map(|id| place.uid("attempt_id", id).map(AttemptId)).transpose()?;
        let since = row.since.map(Timestamp::from_micros);
        let state = match (row.state.as_str(), attempt, since) {
            ("idle", None, None) => State::Idle,
            ("dispatched", Some(attempt), Some(since)) => State::Dispatched { attempt, since },
            ("in_doubt", Some(attempt), Some(since)) => State::InDoubt { attempt, since },
            ("reauth_required", attempt, None) => State::ReauthRequired { attempt },
            ("quarantined", attempt, None) => State::Quarantined { attempt },
            ("revoked", None, None) => State::Revoked,
            _ => return Err(place.corrupt("state")),
        };
        Ok(Self {
            generation: place.generation("generation", row.generation)?,
            revoke_epoch: Epoch(place.count("revoke_epoch", row.revoke_epoch)?),
            state,
            not_before: row.not_before.map(Timestamp::from_micros),
            spend_before: row.spend_before.map(Timestamp::from_micros),
            access: row.access.read(place)?,
            fingerprint: place.fingerprint("fingerprint", row.fingerprint.as_deref())?,
            endpoint: place.hash("endpoint", &row.endpoint)?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct AttemptRow {
    row: String,
    attempt_id: Vec<u8>,
    generation: i64,
    nonce_hash: Vec<u8>,
    replica: String,
    cause: String,
    fingerprint: Option<Vec<u8>>,
    dispatched_at: i64,
    outcome: Option<String>,
    closed_at: Option<i64>,
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = StoreError;

    fn try_from(row: AttemptRow) -> Result<Self, StoreError> {
        let place = Place::new("attempts", &row.row);
        let closed = match (row.outcome, row.closed_at) {
            (None, None) => None,
            (Some(outcome), Some(at)) => {
                let outcome = Outcome::parse(&outcome).ok_or_else(|| place.corrupt("outcome"))?;
                Some((outcome, Timestamp::from_micros(at)))
            }
            _ => return Err(place.corrupt("closed_at")),
        };
        Ok(Self {
            burn: Burn {
                attempt: AttemptId(place.uid("attempt_id", &row.attempt_id)?),
                generation: place.generation("generation", row.generation)?,
                nonce: NonceHash(place.hash("nonce_hash", &row.nonce_hash)?),
                replica: row.replica,
                cause: row.cause,
            },
            fingerprint: place.fingerprint("fingerprint", row.fingerprint.as_deref())?,
            dispatched_at: Timestamp::from_micros(row.dispatched_at),
            closed,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct EventRow {
    row: String,
    connection_uid: Vec<u8>,
    generation: i64,
    kind: String,
    at: i64,
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        use EventKind::{InDoubt, Orphan, Quarantined, ReauthRequired, Revoked};
        let place = Place::new("events", &row.row);
        Ok(Self {
            connection: ConnectionUid(place.uid("connection_uid", &row.connection_uid)?),
            generation: place.generation("generation", row.generation)?,
            kind: [InDoubt, ReauthRequired, Quarantined, Revoked, Orphan]
                .into_iter()
                .find(|kind| kind.as_str() == row.kind)
                .ok_or_else(|| place.corrupt("kind"))?,
            at: Timestamp::from_micros(row.at),
        })
    }
}
