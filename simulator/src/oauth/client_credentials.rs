//! The `client_credentials` grant: no refresh token, no company (`oauth_client_credentials`).

use super::refusal::Refusal;
use super::token::{Issued, authenticate, refuse_scope};
use crate::call::Call;
use crate::choices::RefusalKind;
use crate::presentation::Outcome;
use crate::state::State;

pub(super) fn issue(state: &mut State, call: &Call) -> Result<Issued, Refusal> {
    let client_id = authenticate(state, call)?;
    let client = state.directory.client(call.environment, &client_id).ok_or(RefusalKind::InvalidClient)?;
    if !client.service_account {
        return Err(RefusalKind::UnauthorizedClient.into());
    }
    refuse_scope(state, call)?;
    let (access_token, record) = state.issue_client_token(call.environment, &client_id);
    Ok(Issued {
        outcome: Outcome::Issued,
        access_token,
        refresh_token: None,
        expires_in: record.ttl,
        created_at: record.created_at,
    })
}
