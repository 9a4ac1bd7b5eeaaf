//! `GET /oauth/token/info`.

use http::StatusCode;
use serde_json::json;

use super::refusal::error;
use crate::call::Call;
use crate::choices::InfoShape;
use crate::reply::Reply;
use crate::state::State;

pub(super) fn answer(state: &mut State, call: &Call) -> Reply {
    let now = state.now();
    let live = |token: &&str| {
        let record = state.ledger.access_token(call.environment, token);
        record.is_some_and(|record| !record.revoked && now < record.expires_at())
    };
    let Some(token) = call.bearer().filter(live) else {
        let code = match state.knobs.info_shape {
            InfoShape::Old => "invalid_request",
            InfoShape::New => "invalid_token",
        };
        return error(StatusCode::UNAUTHORIZED, code, "The access token is invalid");
    };
    state.note_use(token);
    let record = &state.ledger.access[token];
    let left = record.expires_at() - now;
    let application = json!({"uid": record.client_id});
    let body = match state.knobs.info_shape {
        InfoShape::Old => json!({
            "resource_owner_id": record.user, "scopes": [], "expires_in_seconds": left,
            "application": application, "created_at": record.created_at,
        }),
        InfoShape::New => json!({
            "resource_owner_id": record.user, "scope": [], "expires_in": left,
            "application": application, "created_at": record.created_at,
        }),
    };
    Reply::json(StatusCode::OK, &body)
}
