//! What an answer means: step 9 of the protocol, as a pure function.

use super::{Answer, ConnectError, Cut, Issued, NotSent, Profile};
use crate::model::Timestamp;

/// What an answer means for the grant whose token was presented.
#[derive(Clone, Debug)]
pub enum Classified {
    /// A new refresh token came, mostly with an access token.
    Rotated(Issued),
    /// An access token came, and no refresh token.
    AccessOnly(Issued),
    /// Proven: the token never left.
    NotSent {
        /// Why.
        why: NotSent,
    },
    /// The token endpoint itself answered before it processed anything: the token is as good as before.
    Refused {
        /// The `error` code, one of the profile's list; absent for a 429 without one.
        error: Option<String>,
        /// When to ask again, at most [`super::MAX_NOT_BEFORE`] from now; absent where the provider did not say.
        not_before: Option<Timestamp>,
    },
    /// `invalid_grant`: the token is dead.
    Rejected {
        /// The `error` code.
        error: String,
    },
    /// Nobody knows whether the token was spent.
    Unknown {
        /// Why.
        why: UnknownCause,
    },
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownCause {
    /// Nothing came back.
    Silent(Cut),
    /// What came back was cut short before a refresh token.
    Torn(Cut),
    /// A success without tokens that could be read.
    NoTokens(u16),
    /// A redirect; it is never followed.
    Redirect(u16),
    /// A client error that is not the token endpoint's own.
    NotJson(u16),
    /// A client error whose code the profile does not list.
    Unlisted {
        /// The status.
        status: u16,
        /// The code, where there is one that looks like one.
        error: Option<String>,
    },
    /// A server error, whatever its body: a gateway may have given up while the origin still works.
    Server(u16),
    /// Any other status.
    Status(u16),
}

/// What the breaker of the OAuth client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nothing: the provider was not heard.
    None,
    /// The provider works; of the client secret nothing is known. Doorkeeper looks at the token before the
    /// client: `invalid_grant` proves no secret.
    Answered,
    /// The secret is good: tokens came.
    Proven,
    /// Nobody knows; counts towards opening.
    Unknown,
    /// Open at once.
    Trip(TripCause),
}

/// Why a breaker opens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TripCause {
    /// `invalid_client`.
    InvalidClient,
    /// `unauthorized_client`.
    UnauthorizedClient,
    /// A redirect: the endpoint has moved, or is not the provider's.
    Redirect,
    /// A client error that is not JSON: something stands before the token endpoint.
    NotJson,
    /// The certificate is for another name.
    TlsName,
}

/// Says what `answer` means. `now` is when it had been read.
#[must_use]
pub fn classify(profile: &Profile, answer: &Answer, now: Timestamp) -> Classified {
    let _ = (profile, answer, now);
    todo!()
}

impl Classified {
    /// What the breaker learns.
    #[must_use]
    pub fn breaker(&self) -> Signal {
        todo!()
    }
}

impl ConnectError {
    /// What the breaker learns.
    #[must_use]
    pub fn breaker(&self) -> Signal {
        match self {
            Self::Tls { name_failure: true, .. } => Signal::Trip(TripCause::TlsName),
            _ => Signal::None,
        }
    }
}

impl TripCause {
    /// The name in metrics and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::Redirect => "redirect",
            Self::NotJson => "not_json",
            Self::TlsName => "tls_name",
        }
    }
}
