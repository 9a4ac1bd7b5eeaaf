//! The `authorization_code` grant.

use super::refusal::Refusal;
use super::token::{Issued, authenticate, refuse_scope};
use crate::call::Call;
use crate::choices::RefusalKind;
use crate::ledger::EndReason;
use crate::presentation::Outcome;
use crate::state::State;

pub(super) fn exchange(state: &mut State, call: &Call) -> Result<Issued, Refusal> {
    let client_id = authenticate(state, call)?;
    let code = call.param("code").ok_or_else(|| Refusal::missing("code"))?;
    let redirect_uri = call.param("redirect_uri").ok_or_else(|| Refusal::missing("redirect_uri"))?;
    refuse_scope(state, call)?;
    let record = state.ledger.code(call.environment, code).cloned().ok_or(RefusalKind::InvalidGrant)?;
    if record.used {
        if let Some(grant_id) = record.grant_id.filter(|_| state.knobs.code_replay_revokes) {
            state.ledger.end_grant(&grant_id, EndReason::Replayed);
        }
        return Err(RefusalKind::InvalidGrant.into());
    }
    let expired = state.now() >= record.expires_at;
    if expired || record.client_id != client_id || record.redirect_uri != redirect_uri {
        return Err(RefusalKind::InvalidGrant.into());
    }
    let pair = state.open_grant(call.environment, &client_id, record.user, record.company);
    if let Some(record) = state.ledger.codes.get_mut(code) {
        record.used = true;
        record.grant_id = Some(pair.grant_id);
    }
    Ok(Issued {
        outcome: Outcome::Issued,
        access_token: pair.access_token,
        refresh_token: Some(pair.refresh_token),
        expires_in: pair.expires_in,
        created_at: pair.created_at,
    })
}
