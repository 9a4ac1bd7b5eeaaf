//! What a caller should know about a token that it gets all the same.

use std::time::Duration;

use token_broker_proto::v1;

use crate::{
    error::{Reason, Refusal},
    model::State,
};

/// See `tokenbroker.v1.Advice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Machine-readable.
    pub cause: Cause,
    /// The token lives for less than was asked for.
    pub short_lived: bool,
    /// When asking again may bring something better.
    pub retry_after: Option<Duration>,
}

/// See `tokenbroker.v1.Advice.Cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The token is good although an API call with it was refused.
    TokenIsGood,
    /// Whether it is still good could not be found out now.
    TokenUnverified,
    /// The outcome of the last refresh is unknown.
    RefreshInDoubt,
    /// A person must re-authorise before the next token.
    ReauthorizationRequired,
    /// An operator must act before the next token.
    Quarantined,
    /// A better token could not be had now.
    RenewalUnavailable,
}

impl Cause {
    /// Why there is nothing better than the token at hand.
    #[must_use]
    pub const fn of(refusal: &Refusal) -> Self {
        match refusal.reason {
            Reason::RefreshInDoubt => Self::RefreshInDoubt,
            Reason::ReauthorizationRequired => Self::ReauthorizationRequired,
            Reason::Quarantined => Self::Quarantined,
            _ => Self::RenewalUnavailable,
        }
    }
}

impl Advice {
    /// Advice without more.
    #[must_use]
    pub const fn new(cause: Cause) -> Self {
        Self { cause, short_lived: false, retry_after: None }
    }

    /// What a grant's state says about the token it still has.
    #[must_use]
    pub const fn of_state(state: State) -> Option<Self> {
        match state {
            State::Idle | State::Dispatched { .. } | State::Revoked => None,
            State::InDoubt { .. } => Some(Self::new(Cause::RefreshInDoubt)),
            State::ReauthRequired { .. } => Some(Self::new(Cause::ReauthorizationRequired)),
            State::Quarantined { .. } => Some(Self::new(Cause::Quarantined)),
        }
    }

    /// The message of the contract.
    #[must_use]
    pub fn to_wire(&self) -> v1::Advice {
        use v1::advice::Cause as Wire;
        let (cause, hint) = match self.cause {
            Cause::TokenIsGood => (
                Wire::TokenIsGood,
                "the provider confirms this token: look at the app's installation, the account header and permissions",
            ),
            Cause::TokenUnverified => {
                (Wire::TokenUnverified, "the provider could not be asked about this token")
            }
            Cause::RefreshInDoubt => (Wire::RefreshInDoubt, "this may be the last token until a person acts"),
            Cause::ReauthorizationRequired => (
                Wire::ReauthorizationRequired,
                "this is the last token: the connection must be authorised anew",
            ),
            Cause::Quarantined => (Wire::Quarantined, "an operator must look at the connection"),
            Cause::RenewalUnavailable => (Wire::RenewalUnavailable, "a newer token could not be had now"),
        };
        v1::Advice {
            cause: cause.into(),
            short_lived: self.short_lived,
            hint: hint.to_owned(),
            retry_after: self.retry_after.and_then(|after| after.try_into().ok()),
        }
    }
}
