//! The `refresh_token` grant.

use super::refusal::Refusal;
use super::token::{Issued, authenticate, refuse_scope};
use crate::call::Call;
use crate::choices::{FamilyRevocation, RefusalKind};
use crate::ledger::{EndReason, Life, RefreshToken};
use crate::presentation::Outcome;
use crate::state::State;

/// Doorkeeper looks at the token before the client, so a spent token with a wrong secret is `invalid_grant`.
pub(super) fn exchange(state: &mut State, call: &Call) -> Result<Issued, Refusal> {
    let token = call.param("refresh_token").ok_or_else(|| Refusal::missing("refresh_token"))?;
    let presented =
        state.ledger.refresh_token(call.environment, token).cloned().ok_or(RefusalKind::InvalidGrant)?;
    if presented.life != Life::Live {
        if presented.life == Life::Spent {
            punish_replay(state, &presented);
        }
        return Err(RefusalKind::InvalidGrant.into());
    }
    if authenticate(state, call)? != presented.pair.client_id {
        return Err(RefusalKind::InvalidGrant.into());
    }
    refuse_scope(state, call)?;
    let pair = state.rotate(&presented);
    Ok(Issued {
        outcome: Outcome::Rotated,
        access_token: pair.access_token,
        refresh_token: Some(pair.refresh_token),
        expires_in: pair.expires_in,
        created_at: pair.created_at,
    })
}

fn punish_replay(state: &mut State, replayed: &RefreshToken) {
    let grant_id = &replayed.pair.grant_id;
    let Some(grant) = state.ledger.grants.get(grant_id) else { return };
    let victims = match state.knobs.family_revocation {
        FamilyRevocation::Off => Vec::new(),
        FamilyRevocation::Grant => vec![grant_id.clone()],
        FamilyRevocation::User => {
            state.ledger.grants_of(grant.environment, &grant.client_id, Some(grant.user))
        }
    };
    for victim in victims {
        state.ledger.end_grant(&victim, EndReason::Replayed);
    }
}
