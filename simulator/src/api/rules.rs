//! What every API request must satisfy before a resource is looked at.

use http::{StatusCode, header};
use serde_json::json;

use super::limiter::Allowance;
use crate::call::Call;
use crate::choices::RateKey;
use crate::ledger::AccessToken;
use crate::reply::Reply;
use crate::state::State;

/// The header of the multiple-zone rule (`tutorial_mpz`).
const COMPANY_HEADER: &str = "procore-company-id";

/// Counts the request; none where limits are off.
pub(super) fn rate(state: &mut State, call: &Call) -> Option<Allowance> {
    if !state.knobs.rate_limiter {
        return None;
    }
    let token = call.bearer().unwrap_or_default();
    let client = state.ledger.access_token(call.environment, token).map(|record| record.client_id.clone());
    let key = match (state.knobs.rate_key, client) {
        (RateKey::App, Some(client)) => client,
        (RateKey::AppAndCompany, Some(client)) => {
            format!(
                "{client} {}",
                call.header(COMPANY_HEADER).or(call.query("company_id")).unwrap_or_default()
            )
        }
        _ => token.to_owned(),
    };
    let (hourly, spike, now) = (state.knobs.hourly_limit, state.knobs.spike_limit, state.now_ms());
    Some(state.limiter.both(&format!("{} {key}", call.environment), hourly, spike, now))
}

pub(super) fn too_many(state: &State, allowance: &Allowance) -> Reply {
    let text =
        "You have surpassed the max number of requests for an hour. Please wait until your limit resets.";
    let reply = Reply::json(StatusCode::TOO_MANY_REQUESTS, &json!({"errors": text}));
    if !state.knobs.retry_after_on_429 {
        return reply;
    }
    reply.with(header::RETRY_AFTER, &(allowance.reset - state.now()).max(1).to_string())
}

/// Finds the live access token, and counts this as its use.
pub(super) fn authenticate(state: &mut State, call: &Call) -> Result<AccessToken, Reply> {
    let token = call.bearer().unwrap_or_default();
    let Some(record) = state.ledger.access_token(call.environment, token).cloned() else {
        return Err(unauthorized("The access token is invalid"));
    };
    let suspended = state.directory.client(call.environment, &record.client_id).is_none_or(|c| c.suspended);
    if record.revoked || suspended {
        return Err(unauthorized("The access token is invalid"));
    }
    if state.now() >= record.expires_at() {
        let text = "Your access token has expired, please use your refresh token to obtain a fresh token.";
        return Err(unauthorized(text));
    }
    state.note_use(token);
    Ok(record)
}

/// Requires the company header, except where a person asks for themselves or for their companies.
pub(super) fn company_header(
    state: &State,
    call: &Call,
    token: &AccessToken,
    resource: &[&str],
) -> Result<Option<u64>, Reply> {
    let number = |text: &str| {
        text.parse().map_err(|_| errors(StatusCode::BAD_REQUEST, "the company id must be a number"))
    };
    if let Some(company) = call.header(COMPANY_HEADER) {
        return number(company).map(Some);
    }
    let narrowed = call.query("company_id").is_some() || call.query("project_id").is_some();
    let exempt = match resource {
        ["me"] => token.user.is_some() && !narrowed,
        ["companies"] => token.user.is_some(),
        _ => false,
    };
    match state.knobs.company_header_status.filter(|_| !exempt) {
        Some(status) => Err(Reply::new(
            StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            "text/plain; charset=utf-8",
            "Missing Procore-Company-Id header! This header names the company a request is for. Every request \
             must carry it.",
        )),
        None => call.query("company_id").map(number).transpose(),
    }
}

/// Errors in the shape seen on Procore's API.
pub(super) fn errors(status: StatusCode, text: &str) -> Reply {
    Reply::json(status, &json!({"errors": [text]}))
}

fn unauthorized(text: &str) -> Reply {
    let challenge = format!(r#"Bearer realm="Procore", error="invalid_token", error_description="{text}""#);
    errors(StatusCode::UNAUTHORIZED, text).with(header::WWW_AUTHENTICATE, &challenge)
}
