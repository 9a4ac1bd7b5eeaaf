//! What is kept beside the database until the database has it.

use super::{AttemptId, Burn, ConnectionUid, Fingerprint, Generation, Sealed, TenantUid, Timestamp, Tokens};

/// The answer to a presentation, with all that a database needs to take it in: also one that has forgotten the
/// attempt. Its tokens are sealed for the generation after the burn's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Whose keys sealed the tokens.
    pub tenant: TenantUid,
    /// Whose tokens they are.
    pub connection: ConnectionUid,
    /// The intent that was answered.
    pub burn: Burn,
    /// Of the refresh token that was presented.
    pub parent: Fingerprint,
    /// When the answer was read.
    pub received_at: Timestamp,
    /// What came back.
    pub tokens: Tokens,
}

impl Receipt {
    /// The presentation that was answered: a receipt's identity.
    #[must_use]
    pub const fn attempt(&self) -> AttemptId {
        self.burn.attempt
    }
}

/// A 200 answer from which no pair could be read: its bytes, sealed, for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RawAnswer {
    /// Whose keys sealed it.
    pub tenant: TenantUid,
    /// Whose grant is in doubt.
    pub connection: ConnectionUid,
    /// The intent that was answered.
    pub burn: Burn,
    /// When the answer was read.
    pub received_at: Timestamp,
    /// The body.
    pub sealed: Sealed,
}

/// Who was given which generation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issuance {
    /// When.
    pub at: Timestamp,
    /// The caller, e.g. `static:reports`.
    pub principal: String,
    /// Whose access token.
    pub connection: ConnectionUid,
    /// Which one.
    pub generation: Generation,
}
