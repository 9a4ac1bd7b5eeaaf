//! What a connection looks like from outside: the public state is derived, and kept nowhere.

use token_broker_proto::v1::{
    Attempt as WireAttempt, Connection as Wire, Event as WireEvent, KeptAnswer, WitnessEntry,
    connection::{GrantType as WireGrantType, State as WireState},
};

use super::admin::wire_meta;
use crate::{
    cache::wire_time,
    error::Refusal,
    model::{Attempt, Connection, Generation, GrantFacts, GrantType, Receipt, State, Timestamp, Witness},
    refresh::Medium,
    store::{Event, Lease},
};

/// State, generation and the access token's end, for show.
#[derive(Clone, Copy)]
pub(super) struct AccessView {
    state: WireState,
    generation: Generation,
    expires_at: Option<Timestamp>,
}

/// Combines what is kept apart: grant or lease.
pub(super) fn access_of(
    connection: &Connection,
    grant: Option<&GrantFacts>,
    lease: Option<&Lease>,
) -> AccessView {
    let floor = connection.generation_floor;
    match (connection.grant_type, grant) {
        (GrantType::ClientCredentials, _) => AccessView {
            state: WireState::Active,
            generation: Generation(floor.0 + lease.map_or(0, |lease| lease.generation.0)),
            expires_at: lease.map(|lease| lease.access.expires_at),
        },
        (GrantType::AuthorizationCode, None) => {
            AccessView { state: WireState::PendingAuthorization, generation: floor, expires_at: None }
        }
        (GrantType::AuthorizationCode, Some(grant)) => AccessView {
            state: public_state(grant.state),
            generation: grant.generation,
            expires_at: grant.access.as_ref().map(|access| access.expires_at),
        },
    }
}

const fn public_state(state: State) -> WireState {
    match state {
        State::Idle | State::Dispatched { .. } => WireState::Active,
        State::InDoubt { .. } => WireState::InDoubt,
        State::ReauthRequired { .. } => WireState::ReauthorizationRequired,
        State::Quarantined { .. } => WireState::Quarantined,
        State::Revoked => WireState::Revoked,
    }
}

pub(super) fn wire_connection(connection: &Connection, access: AccessView) -> Wire {
    let (etag, create_time, update_time) = wire_meta(&connection.meta);
    let grant_type = match connection.grant_type {
        GrantType::AuthorizationCode => WireGrantType::AuthorizationCode,
        GrantType::ClientCredentials => WireGrantType::ClientCredentials,
    };
    Wire {
        name: connection.name.to_string(),
        uid: connection.uid.to_string(),
        display_name: connection.display_name.clone(),
        oauth_client: connection.oauth_client.to_string(),
        grant_type: grant_type.into(),
        account_id: connection.account_id.clone(),
        max_min_ttl: connection.max_min_ttl.and_then(|ttl| ttl.try_into().ok()),
        state: access.state.into(),
        generation: access.generation.0,
        expire_time: access.expires_at.map(wire_time),
        etag,
        create_time,
        update_time,
    }
}

pub(super) fn grant_type(wire: WireGrantType) -> Result<GrantType, Refusal> {
    match wire {
        WireGrantType::AuthorizationCode => Ok(GrantType::AuthorizationCode),
        WireGrantType::ClientCredentials => Ok(GrantType::ClientCredentials),
        WireGrantType::Unspecified => Err(Refusal::field("connection.grant_type", "must be set")),
    }
}

pub(super) fn wire_attempt(attempt: &Attempt) -> WireAttempt {
    WireAttempt {
        attempt_id: attempt.burn.attempt.to_string(),
        generation: attempt.burn.generation.0,
        replica: attempt.burn.replica.clone(),
        cause: attempt.burn.cause.clone(),
        dispatch_time: Some(wire_time(attempt.dispatched_at)),
        outcome: attempt.outcome().map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
        close_time: attempt.closed.map(|(_, at)| wire_time(at)),
    }
}

pub(super) fn wire_event(event: &Event) -> WireEvent {
    WireEvent {
        kind: event.kind.as_str().to_owned(),
        generation: event.generation.0,
        create_time: Some(wire_time(event.at)),
    }
}

pub(super) fn wire_witness(entry: &Witness) -> WitnessEntry {
    WitnessEntry {
        generation: entry.generation.0,
        attempt_id: entry.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
        revoked: entry.revoked,
    }
}

pub(super) fn wire_kept((medium, receipt): &(Medium, Receipt)) -> KeptAnswer {
    KeptAnswer {
        medium: medium.as_str().to_owned(),
        attempt_id: receipt.attempt().to_string(),
        generation: receipt.burn.generation.0,
        receive_time: Some(wire_time(receipt.received_at)),
    }
}
