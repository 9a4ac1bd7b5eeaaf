//! `POST /oauth/token`.

use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::refusal::{Refusal, no_store};
use super::{client_credentials, code, refresh};
use crate::call::Call;
use crate::choices::{ExpiresIn, RefusalKind, ScopeHandling, TokenTypeCase};
use crate::knobs::Knobs;
use crate::ledger::{EndReason, Life};
use crate::mint::fingerprint;
use crate::presentation::{Arrival, Outcome, Subject};
use crate::reply::Reply;
use crate::state::State;

/// What a successful token request yields.
pub(super) struct Issued {
    pub(super) outcome: Outcome,
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: u64,
    pub(super) created_at: i64,
}

/// How far a token request is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processing {
    /// To its answer.
    Full,
    /// It is logged with this outcome and nothing else happens.
    Only(Outcome),
    /// Its refresh token is spent, and nothing issued.
    Consume,
}

/// The answer of RFC 6749, section 5.1, in the documented order.
#[derive(Serialize)]
struct TokenBody<'a> {
    access_token: &'a str,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    created_at: i64,
}

/// Tells what a request presents, before anything is decided about it.
pub(crate) fn subject(state: &State, call: &Call) -> Subject {
    let mut subject = Subject {
        client_id: call.param("client_id").map(str::to_owned),
        grant_type: call.param("grant_type").map(str::to_owned),
        ..Subject::default()
    };
    subject.client_id = call.credentials(state.knobs.basic_auth).map(|(id, _)| id).or(subject.client_id);
    if let Some(token) = call.param("refresh_token") {
        subject.fingerprint = Some(fingerprint(token));
        if let Some(record) = state.ledger.refresh_token(call.environment, token) {
            subject.known = true;
            subject.token_id = Some(record.id.clone());
            subject.grant_id = Some(record.pair.grant_id.clone());
            subject.generation = Some(record.pair.generation);
        }
    } else if let Some(code) = call.param("code") {
        subject.fingerprint = Some(fingerprint(code));
        if let Some(record) = state.ledger.code(call.environment, code) {
            subject.known = true;
            subject.grant_id.clone_from(&record.grant_id);
        }
    }
    subject
}

/// Takes a token request as far as it is to go and logs it; returns the log position and the answer.
pub(crate) fn process(
    state: &mut State,
    call: &Call,
    arrival: Arrival,
    processing: Processing,
) -> (u64, Option<Reply>) {
    let mut subject = subject(state, call);
    let (outcome, issued, reply) = match processing {
        Processing::Only(outcome) => (outcome, None, None),
        Processing::Consume => {
            consume(state, call, EndReason::ConsumedByFault);
            (Outcome::Consumed, None, None)
        }
        Processing::Full => match grant(state, call) {
            Ok(issued) => {
                let refresh = issued.refresh_token.as_deref().map(fingerprint);
                (issued.outcome, refresh, Some(success(&state.knobs, &issued)))
            }
            Err(refusal) => {
                if state.knobs.consume_on_failed_refresh.contains(&refusal.kind) {
                    consume(state, call, EndReason::ConsumedByRefusal);
                }
                (Outcome::Refused(refusal.kind), None, Some(refusal.reply(&state.knobs)))
            }
        },
    };
    // A code's grant exists only once the code was exchanged.
    if let Some(code) = call.param("code").filter(|_| subject.grant_id.is_none()) {
        subject.grant_id = state.ledger.code(call.environment, code).and_then(|code| code.grant_id.clone());
    }
    (state.log.append(arrival, subject, outcome, issued), reply)
}

/// Follows Doorkeeper's order of checks, which decides what a doubly wrong request is told.
fn grant(state: &mut State, call: &Call) -> Result<Issued, Refusal> {
    if call.method != Method::POST {
        return Err(RefusalKind::InvalidRequest.into());
    }
    if let Err(reason) = &call.params {
        return Err(Refusal { kind: RefusalKind::InvalidRequest, description: reason.clone() });
    }
    let grant_type = call.param("grant_type").ok_or_else(|| Refusal::missing("grant_type"))?;
    throttle(state, call)?;
    match grant_type {
        "refresh_token" => refresh::exchange(state, call),
        "authorization_code" => code::exchange(state, call),
        "client_credentials" => client_credentials::issue(state, call),
        _ => Err(RefusalKind::UnsupportedGrantType.into()),
    }
}

fn throttle(state: &mut State, call: &Call) -> Result<(), Refusal> {
    let (Some(limit), Some(client)) = (state.knobs.token_requests_per_10s, call.param("client_id")) else {
        return Ok(());
    };
    let key = format!("token endpoint {} {client}", call.environment);
    let now = state.now_ms();
    if state.limiter.spike(&key, limit, now).exceeded { Err(RefusalKind::RateLimited.into()) } else { Ok(()) }
}

/// Checks the client of a request and returns its id.
pub(super) fn authenticate(state: &State, call: &Call) -> Result<String, Refusal> {
    let (id, secret) = call.credentials(state.knobs.basic_auth).ok_or(RefusalKind::InvalidClient)?;
    if !state.directory.authenticates(call.environment, &id, &secret) {
        return Err(RefusalKind::InvalidClient.into());
    }
    Ok(id)
}

/// Procore has no scopes to ask for.
pub(super) fn refuse_scope(state: &State, call: &Call) -> Result<(), Refusal> {
    match state.knobs.scope {
        ScopeHandling::Refuse if call.param("scope").is_some() => Err(RefusalKind::InvalidScope.into()),
        _ => Ok(()),
    }
}

fn consume(state: &mut State, call: &Call, reason: EndReason) {
    let presented = call.param("refresh_token").filter(|token| {
        // A token of another environment is a stranger here.
        state.ledger.refresh_token(call.environment, token).is_some()
    });
    if let Some(token) = presented {
        state.ledger.kill(token, Life::Spent, reason);
    }
}

fn success(knobs: &Knobs, issued: &Issued) -> Reply {
    let body = TokenBody {
        access_token: &issued.access_token,
        token_type: match knobs.token_type {
            TokenTypeCase::Lower => "bearer",
            TokenTypeCase::Capital => "Bearer",
        },
        expires_in: match knobs.expires_in {
            ExpiresIn::Integer => Some(json!(issued.expires_in)),
            ExpiresIn::Text => Some(json!(issued.expires_in.to_string())),
            ExpiresIn::Absent => None,
        },
        refresh_token: issued.refresh_token.as_deref(),
        created_at: issued.created_at,
    };
    no_store(Reply::json(StatusCode::OK, &body))
}
