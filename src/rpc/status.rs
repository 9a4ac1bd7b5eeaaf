//! The only map from a refusal to gRPC. Codes are chosen so that a client's default retry policy does the right
//! thing; details are `google.rpc` messages that a program can branch on. Inner error text never gets here.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::error::{Reason, Refusal};

/// `google.rpc.ErrorInfo.domain`.
pub const DOMAIN: &str = "tokenbroker";

/// When to try again, where nobody knows better.
const PATIENCE: Duration = Duration::from_secs(5);

/// The gRPC code of a reason.
#[must_use]
pub const fn code(reason: Reason) -> Code {
    match reason {
        Reason::RefreshInProgress
        | Reason::ProviderUnavailable
        | Reason::StoreUnavailable
        | Reason::KeyUnavailable => Code::Unavailable,
        Reason::ProviderRateLimited | Reason::QuotaExceeded | Reason::Overloaded => Code::ResourceExhausted,
        Reason::AuthorizationPending
        | Reason::ReauthorizationRequired
        | Reason::RefreshInDoubt
        | Reason::AppNotConnected
        | Reason::ConnectionPaused
        | Reason::Quarantined
        | Reason::ConnectionRevoked
        | Reason::OauthClientRejected
        | Reason::EndpointChanged
        | Reason::ResourceInUse => Code::FailedPrecondition,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::InvalidArgument => Code::InvalidArgument,
        Reason::NotFound => Code::NotFound,
        Reason::AlreadyExists | Reason::TokenAlreadyKnown => Code::AlreadyExists,
        Reason::EtagMismatch => Code::Aborted,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::Internal => Code::Internal,
    }
}

/// The name in `ErrorInfo.reason`: the contract's, without its prefix.
#[must_use]
pub const fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::RefreshInProgress => "REFRESH_IN_PROGRESS",
        Reason::ProviderUnavailable => "PROVIDER_UNAVAILABLE",
        Reason::StoreUnavailable => "STORE_UNAVAILABLE",
        Reason::KeyUnavailable => "KEY_UNAVAILABLE",
        Reason::ProviderRateLimited => "PROVIDER_RATE_LIMITED",
        Reason::QuotaExceeded => "QUOTA_EXCEEDED",
        Reason::Overloaded => "OVERLOADED",
        Reason::AuthorizationPending => "AUTHORIZATION_PENDING",
        Reason::ReauthorizationRequired => "REAUTHORIZATION_REQUIRED",
        Reason::RefreshInDoubt => "REFRESH_IN_DOUBT",
        Reason::AppNotConnected => "APP_NOT_CONNECTED",
        Reason::ConnectionPaused => "CONNECTION_PAUSED",
        Reason::Quarantined => "QUARANTINED",
        Reason::ConnectionRevoked => "CONNECTION_REVOKED",
        Reason::OauthClientRejected => "OAUTH_CLIENT_REJECTED",
        Reason::EndpointChanged => "ENDPOINT_CHANGED",
        Reason::ResourceInUse => "RESOURCE_IN_USE",
        Reason::PermissionDenied => "PERMISSION_DENIED",
        Reason::Unauthenticated => "UNAUTHENTICATED",
        Reason::InvalidArgument => "INVALID_ARGUMENT",
        Reason::NotFound => "NOT_FOUND",
        Reason::AlreadyExists => "ALREADY_EXISTS",
        Reason::TokenAlreadyKnown => "TOKEN_ALREADY_KNOWN",
        Reason::EtagMismatch => "ETAG_MISMATCH",
        Reason::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Reason::Internal => "INTERNAL",
    }
}

/// The status of a refusal.
#[must_use]
pub fn status(refusal: Refusal) -> Status {
    let Refusal { reason, retry_after, field } = refusal;
    let mut details = ErrorDetails::with_error_info(name(reason), DOMAIN, HashMap::new());
    let transient = matches!(code(reason), Code::Unavailable | Code::ResourceExhausted);
    if let Some(after) = retry_after.or(transient.then_some(PATIENCE)) {
        details.set_retry_info(Some(after));
    }
    if let Some(help) = reason.help() {
        details.add_help_link(help, "");
    }
    let mut message = reason.message().to_owned();
    if let Some((field, problem)) = field {
        message = format!("{message}: {field}: {problem}");
        details.add_bad_request_violation(field, problem);
    }
    Status::with_error_details(code(reason), message, details)
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        status(refusal)
    }
}

#[cfg(test)]
mod tests {
    use token_broker_proto::v1::ErrorReason;

    use super::*;

    #[test]
    fn reasons_are_those_of_the_contract() {
        for reason in Reason::ALL {
            let wire = format!("ERROR_REASON_{}", name(reason));
            assert!(ErrorReason::from_str_name(&wire).is_some(), "{wire} is not in reason.proto");
        }
        let in_contract = (1..1000).take_while(|number| ErrorReason::try_from(*number).is_ok()).count();
        assert_eq!(in_contract, Reason::ALL.len());
    }

    #[test]
    fn a_client_that_retries_by_code_does_the_right_thing() {
        assert_eq!(code(Reason::RefreshInProgress), Code::Unavailable);
        assert_eq!(code(Reason::ReauthorizationRequired), Code::FailedPrecondition);
        let status = status(Refusal::retry(Reason::RefreshInProgress, Duration::from_secs(2)));
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "REFRESH_IN_PROGRESS");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
    }
}
