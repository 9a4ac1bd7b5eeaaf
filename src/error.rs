//! Why a call is refused: a typed public reason, and a private cause that goes to the log and no further.

use std::{fmt, time::Duration};

/// What a program may branch on. The gRPC code of each is in `rpc::status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "documented in reason.proto, whose names these are")]
pub enum Reason {
    RefreshInProgress,
    ProviderUnavailable,
    StoreUnavailable,
    KeyUnavailable,
    ProviderRateLimited,
    QuotaExceeded,
    Overloaded,
    AuthorizationPending,
    ReauthorizationRequired,
    RefreshInDoubt,
    AppNotConnected,
    ConnectionPaused,
    Quarantined,
    ConnectionRevoked,
    OauthClientRejected,
    EndpointChanged,
    ResourceInUse,
    PermissionDenied,
    Unauthenticated,
    InvalidArgument,
    NotFound,
    AlreadyExists,
    TokenAlreadyKnown,
    EtagMismatch,
    DeadlineExceeded,
    Internal,
}

impl Reason {
    /// Every reason, for tests of exhaustiveness.
    pub const ALL: [Self; 26] = [
        Self::RefreshInProgress,
        Self::ProviderUnavailable,
        Self::StoreUnavailable,
        Self::KeyUnavailable,
        Self::ProviderRateLimited,
        Self::QuotaExceeded,
        Self::Overloaded,
        Self::AuthorizationPending,
        Self::ReauthorizationRequired,
        Self::RefreshInDoubt,
        Self::AppNotConnected,
        Self::ConnectionPaused,
        Self::Quarantined,
        Self::ConnectionRevoked,
        Self::OauthClientRejected,
        Self::EndpointChanged,
        Self::ResourceInUse,
        Self::PermissionDenied,
        Self::Unauthenticated,
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::TokenAlreadyKnown,
        Self::EtagMismatch,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// What the caller is told, in a sentence without a secret or an inner error.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::RefreshInProgress => "a refresh is under way; ask again shortly",
            Self::ProviderUnavailable => "the provider could not be reached or did not answer properly",
            Self::StoreUnavailable => "the broker's store is unavailable",
            Self::KeyUnavailable => "a key that is needed here is unavailable",
            Self::ProviderRateLimited => "the provider asked for patience",
            Self::QuotaExceeded => "the caller's quota is used up",
            Self::Overloaded => "the broker is overloaded or shutting down",
            Self::AuthorizationPending => "the connection was never authorised",
            Self::ReauthorizationRequired => "a person must authorise the connection anew",
            Self::RefreshInDoubt => "the outcome of the last refresh is unknown",
            Self::AppNotConnected => "the app is not connected to this account at the provider",
            Self::ConnectionPaused => "the connection is paused",
            Self::Quarantined => "the connection is quarantined until an operator has looked at it",
            Self::ConnectionRevoked => "the connection is revoked",
            Self::OauthClientRejected => {
                "the provider rejects the OAuth client, or its secret is not proven yet"
            }
            Self::EndpointChanged => {
                "the token endpoint or client id differs from those the grant was made for"
            }
            Self::ResourceInUse => "other resources still refer to this one",
            Self::PermissionDenied => "permission denied, or no such resource",
            Self::Unauthenticated => "the caller is not authenticated",
            Self::InvalidArgument => "the request is not valid",
            Self::NotFound => "no such resource",
            Self::AlreadyExists => "the resource exists already",
            Self::TokenAlreadyKnown => "the broker holds, or held, this refresh token already",
            Self::EtagMismatch => "the resource has changed since it was read",
            Self::DeadlineExceeded => "the deadline has passed",
            Self::Internal => "internal error",
        }
    }

    /// Whose job it is and what to do, where there is something to do.
    #[must_use]
    pub const fn help(self) -> Option<&'static str> {
        match self {
            Self::AuthorizationPending => {
                Some("import a refresh token, or have the tenant authorise the connection")
            }
            Self::ReauthorizationRequired => {
                Some("have the tenant authorise the connection again, or import a new refresh token")
            }
            Self::RefreshInDoubt => {
                Some("wait for the grace time to pass, or re-authorise now: see connection inspect")
            }
            Self::Quarantined => Some("an operator should read connection inspect"),
            Self::OauthClientRejected => {
                Some("check the OAuth client's secret at the provider; add and promote a new one")
            }
            Self::EndpointChanged => {
                Some("restore the OAuth client's endpoint, or re-authorise the connection")
            }
            Self::TokenAlreadyKnown => Some(
                "obtain a new refresh token by a new authorisation; the same one must not be spent twice",
            ),
            Self::AppNotConnected => Some("have the account's administrator connect the app"),
            Self::ConnectionPaused => Some("an operator should resume the connection"),
            Self::ConnectionRevoked => Some("have the tenant authorise a new connection"),
            Self::ResourceInUse => Some("delete what refers to it first"),
            Self::StoreUnavailable => Some("the platform team should look at the broker's database"),
            Self::KeyUnavailable => Some("the platform team should look at the broker's keys"),
            Self::Unauthenticated => Some("send `authorization: Bearer <credential>`"),
            _ => None,
        }
    }
}

/// A refusal on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub reason: Reason,
    /// When to try again, where that can help.
    pub retry_after: Option<Duration>,
    /// The field at fault and what is wrong with it, for `InvalidArgument`.
    pub field: Option<(&'static str, String)>,
}

impl Refusal {
    /// Refuses for this reason.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        Self { reason, retry_after: None, field: None }
    }

    /// Refuses for now.
    #[must_use]
    pub const fn retry(reason: Reason, after: Duration) -> Self {
        Self { reason, retry_after: Some(after), field: None }
    }

    /// Refuses a field of the request. `problem` must not echo a secret.
    #[must_use]
    pub fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self { reason: Reason::InvalidArgument, retry_after: None, field: Some((field, problem.into())) }
    }

    /// Logs the private cause with the public reason, and lets go of it.
    pub fn because(reason: Reason, cause: &dyn std::error::Error) -> Self {
        tracing::warn!(?reason, cause = %Chain(cause), "refused");
        Self::new(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.message())
    }
}

impl std::error::Error for Refusal {}

impl From<crate::store::StoreError> for Refusal {
    fn from(error: crate::store::StoreError) -> Self {
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::because(Reason::StoreUnavailable, &error) }
    }
}

/// Renders an error with its sources, for the log.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
