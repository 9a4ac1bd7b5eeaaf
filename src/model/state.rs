//! What a grant is, what may happen to it, and what its transitions answer.

use std::time::Duration;

use super::{AccessToken, Attempt, AttemptId, Epoch, Fingerprint, Generation, RefreshToken, Timestamp};

/// The rotating token state behind a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Never decreases.
    pub generation: Generation,
    /// Grows with every revocation.
    pub revoke_epoch: Epoch,
    /// Where the grant stands.
    pub state: State,
    /// No burn before this: the provider asked for patience.
    pub not_before: Option<Timestamp>,
    /// No burn after this: the end of a replay window.
    pub spend_before: Option<Timestamp>,
    /// The current access token.
    pub access: Option<AccessToken>,
    /// The current refresh token.
    pub refresh: Option<RefreshToken>,
    /// Of the refresh token before the current one.
    pub predecessor: Option<Fingerprint>,
    /// Keyed hash of (token endpoint, client id) for which the refresh token was received.
    pub endpoint: [u8; 32],
}

/// The protocol state. An attempt is named as long as a late answer must find its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The refresh token may be burnt.
    Idle,
    /// Burnt: one holder, ever, may send it.
    Dispatched {
        /// The holder's.
        attempt: AttemptId,
        /// When it was burnt.
        since: Timestamp,
    },
    /// Burnt, and what became of it is not known.
    InDoubt {
        /// The attempt in question.
        attempt: AttemptId,
        /// When doubt was raised.
        since: Timestamp,
    },
    /// A person must authorise anew.
    ReauthRequired {
        /// The last attempt, where one may still be answered.
        attempt: Option<AttemptId>,
    },
    /// The evidence contradicts itself: an operator must decide.
    Quarantined {
        /// The attempt at which it was noticed.
        attempt: Option<AttemptId>,
    },
    /// Nothing older than this settles afterwards.
    Revoked,
}

impl State {
    /// The attempt that a late answer would belong to.
    #[must_use]
    pub const fn attempt(&self) -> Option<AttemptId> {
        match *self {
            Self::Dispatched { attempt, .. } | Self::InDoubt { attempt, .. } => Some(attempt),
            Self::ReauthRequired { attempt } | Self::Quarantined { attempt } => attempt,
            Self::Idle | Self::Revoked => None,
        }
    }

    /// The name in stores and in the contract.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Dispatched { .. } => "dispatched",
            Self::InDoubt { .. } => "in_doubt",
            Self::ReauthRequired { .. } => "reauth_required",
            Self::Quarantined { .. } => "quarantined",
            Self::Revoked => "revoked",
        }
    }
}

/// A grant with its attempts: what one transition sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The row.
    pub grant: Grant,
    /// Append-only, oldest first.
    pub attempts: Vec<Attempt>,
}

/// A ledger after a transition, and what the transition answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The next ledger; the same where nothing applied.
    pub ledger: Ledger,
    /// What the caller learns.
    pub answer: T,
    /// What a person should hear of.
    pub event: Option<EventKind>,
}

/// Something a person should hear of, at most once per generation and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// Entered `in_doubt`.
    InDoubt,
    /// Entered `reauth_required`.
    ReauthRequired,
    /// Entered `quarantined`.
    Quarantined,
    /// Entered `revoked`.
    Revoked,
    /// A pair arrived that no longer belongs to the grant.
    Orphan,
}

impl EventKind {
    /// The name in stores and in the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InDoubt => "in_doubt",
            Self::ReauthRequired => "reauth_required",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
            Self::Orphan => "orphan",
        }
    }
}

/// What an ambiguous burn turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnFate {
    /// It is committed and ours: go on.
    Proceed,
    /// It is committed, but the grant has moved on: release it as not sent.
    Release,
    /// It is not, and never will be.
    Stop,
}

/// What a settle did with the tokens it was given. Only `Settled` and `Ignored` let go of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// They are the grant's, at this generation.
    Settled(Generation),
    /// This attempt is settled already.
    Ignored,
    /// A successor is under way: ask again once it is closed.
    Waits,
    /// The grant was re-authorised or revoked meanwhile: keep them sealed, audit.
    Orphan,
    /// The grant is quarantined: keep them for the operator.
    Kept,
    /// The store does not know the attempt: a database that forgot. `adopt`, or keep and page.
    Unknown,
}

/// How an attempt ended without tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closing {
    /// No byte of the token left: it may be burnt again.
    NotSent,
    /// The endpoint answered before processing: it may be burnt again, not before the time named.
    Refused {
        /// By our clock.
        not_before: Timestamp,
    },
    /// `invalid_grant`.
    Rejected,
    /// Nobody knows. Not an outcome: the attempt stays open.
    Unknown,
}

/// A new pair from outside the rotation: an import, or a re-authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reauthorise {
    /// The generation the tokens are sealed for; must be above the grant's and the witness's.
    pub generation: Generation,
    /// The revocation epoch at which it began.
    pub epoch: Epoch,
    /// The access token, where one came with it.
    pub access: Option<AccessToken>,
    /// The new refresh token.
    pub refresh: RefreshToken,
    /// See [`Grant::endpoint`].
    pub endpoint: [u8; 32],
    /// A refresh in flight is awaited for this long.
    pub holder_lost_after: Duration,
}

/// When silence becomes doubt, and doubt a person's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SweepPolicy {
    /// A dispatched attempt older than this has lost its holder (D).
    pub holder_lost_after: Duration,
    /// Doubt lasts at least this long, and as long as the old access token lives.
    pub doubt_grace: Duration,
}

/// A grant as anyone may read it: without the refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// See [`Grant::generation`].
    pub generation: Generation,
    /// See [`Grant::revoke_epoch`].
    pub revoke_epoch: Epoch,
    /// See [`Grant::state`].
    pub state: State,
    /// See [`Grant::not_before`].
    pub not_before: Option<Timestamp>,
    /// See [`Grant::spend_before`].
    pub spend_before: Option<Timestamp>,
    /// See [`Grant::access`].
    pub access: Option<AccessToken>,
    /// Of the refresh token, where there is one.
    pub fingerprint: Option<Fingerprint>,
    /// See [`Grant::endpoint`].
    pub endpoint: [u8; 32],
}

impl Grant {
    /// What of the grant may be read without burning it.
    #[must_use]
    pub fn facts(&self) -> GrantFacts {
        GrantFacts {
            generation: self.generation,
            revoke_epoch: self.revoke_epoch,
            state: self.state,
            not_before: self.not_before,
            spend_before: self.spend_before,
            access: self.access.clone(),
            fingerprint: self.refresh.as_ref().map(|token| token.fingerprint),
            endpoint: self.endpoint,
        }
    }
}
