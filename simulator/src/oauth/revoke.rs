//! `POST /oauth/revoke`: 200 and `{}`, whether or not anything was revoked (`oauth_endpoints`).

use http::StatusCode;
use serde_json::json;

use super::refusal::error;
use super::token::authenticate;
use crate::call::Call;
use crate::choices::{RevokeReach, WrongClientRevoke};
use crate::ledger::{EndReason, Life};
use crate::reply::Reply;
use crate::state::State;

/// What the presented token turned out to be.
struct Found {
    client_id: String,
    access_token: String,
    refresh_token: Option<String>,
    expired: bool,
}

pub(super) fn answer(state: &mut State, call: &Call) -> Reply {
    let client_id = match authenticate(state, call) {
        Ok(client_id) => client_id,
        Err(refusal) => return refusal.reply(&state.knobs),
    };
    let done = Reply::json(StatusCode::OK, &json!({}));
    let Some(found) = call.param("token").and_then(|token| find(state, call, token)) else { return done };
    if found.client_id != client_id {
        return match state.knobs.revoke_wrong_client {
            WrongClientRevoke::Ignored => done,
            WrongClientRevoke::Forbidden => error(
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "You are not authorized to revoke this token",
            ),
        };
    }
    if found.expired && state.knobs.revoke_expired_is_noop {
        return done;
    }
    if found.refresh_token.is_none() || state.knobs.revoke_reach == RevokeReach::Pair {
        state.ledger.revoke_access(&found.access_token);
    }
    if let Some(token) = found.refresh_token {
        state.ledger.kill(&token, Life::Revoked, EndReason::Revoked);
    }
    done
}

fn find(state: &State, call: &Call, token: &str) -> Option<Found> {
    if let Some(record) = state.ledger.access_token(call.environment, token) {
        return Some(Found {
            client_id: record.client_id.clone(),
            access_token: token.to_owned(),
            refresh_token: record.refresh_token.clone(),
            expired: state.now() >= record.expires_at(),
        });
    }
    let record = state.ledger.refresh_token(call.environment, token)?;
    (state.knobs.revoke_accepts_refresh_token && record.life.is_live()).then(|| Found {
        client_id: record.pair.client_id.clone(),
        access_token: record.pair.access_token.clone(),
        refresh_token: Some(token.to_owned()),
        expired: false,
    })
}
