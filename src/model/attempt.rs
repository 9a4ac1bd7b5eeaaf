//! One presentation of a secret to a provider, journalled before it is sent.

use sha2::{Digest as _, Sha256};

use super::{AttemptId, Fingerprint, Generation, Timestamp};

/// The secret by which the holder of an attempt proves itself to `take`; made for one attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 32]);

/// What of a nonce is stored: a reader of the database cannot take with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NonceHash(pub [u8; 32]);

impl Nonce {
    /// SHA-256 of the nonce.
    #[must_use]
    pub fn hash(&self) -> NonceHash {
        NonceHash(Sha256::digest(self.0).into())
    }
}

/// The intent to present the refresh token of one generation: this row is the audit record too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Burn {
    /// Chosen by the holder.
    pub attempt: AttemptId,
    /// The generation whose token is to be presented.
    pub generation: Generation,
    /// Of the holder's nonce.
    pub nonce: NonceHash,
    /// Which replica.
    pub replica: String,
    /// Who or what caused it.
    pub cause: String,
}

/// How a presentation ended. Written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Its answer is the grant's next generation.
    Settled,
    /// Proven: no byte of the token left.
    NotSent,
    /// The token endpoint itself answered before processing. So it must have been where another attempt, of which
    /// the database knew nothing, brought the next pair for the same token (`adopt`).
    Refused,
    /// `invalid_grant`.
    Rejected,
    /// The profile lets the same token be presented again.
    ReplayPermitted,
    /// A re-authorisation or revocation went before.
    Superseded,
}

impl Outcome {
    /// Whether the generation's token may be presented again after this outcome.
    #[must_use]
    pub const fn frees_slot(self) -> bool {
        matches!(self, Self::NotSent | Self::Refused | Self::ReplayPermitted)
    }

    /// The name in stores and in the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::NotSent => "not_sent",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::ReplayPermitted => "replay_permitted",
            Self::Superseded => "superseded",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Settled, Self::NotSent, Self::Refused, Self::Rejected, Self::ReplayPermitted, Self::Superseded]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}

/// A journalled presentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The intent.
    pub burn: Burn,
    /// Of the token presented; absent in the tombstone of a burn that never was.
    pub fingerprint: Option<Fingerprint>,
    /// When the burn was made.
    pub dispatched_at: Timestamp,
    /// Absent while open.
    pub closed: Option<(Outcome, Timestamp)>,
}

impl Attempt {
    /// Whether no outcome is known yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// The outcome, once there is one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.closed.map(|(outcome, _)| outcome)
    }

    /// Whether the attempt keeps its generation's one slot.
    #[must_use]
    pub fn holds_slot(&self) -> bool {
        self.outcome().is_none_or(|outcome| !outcome.frees_slot())
    }
}
