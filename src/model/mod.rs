//! What there is, as pure data: identities, names, resources, and the state machine of a grant.

mod attempt;
mod grant;
mod ids;
mod name;
mod receipt;
mod replay;
mod resource;
mod state;
mod timestamp;
mod token;
mod witness;

pub use attempt::{Attempt, Burn, Nonce, NonceHash, Outcome};
pub use grant::REFUSALS_PER_GENERATION;
pub use ids::{AttemptId, ConnectionUid, Epoch, Generation, OauthClientUid, TenantUid};
pub use name::{ConnectionName, InvalidName, OauthClientName, ResourceId, TenantName};
pub use receipt::{Issuance, RawAnswer, Receipt};
pub use replay::{Delays, HolderGone, ReplayPolicy};
pub use resource::{Connection, GrantType, Meta, OauthClient, SecretVersion, Tenant};
pub use state::{
    BurnFate, Closing, EventKind, Grant, GrantFacts, Ledger, Reauthorise, Settlement, State, Step,
    SweepPolicy,
};
pub use timestamp::Timestamp;
pub use token::{AccessToken, Fingerprint, RefreshToken, Sealed, Successor, Tokens};
pub use witness::{Claim, Verdict, Witness};
