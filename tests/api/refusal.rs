//! What is promised of every refusal, whatever its reason: read through here, each test checks it.

use std::time::Duration;

use token_broker_proto::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A refusal as a program sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) fields: Vec<String>,
}

/// Reads the details of a refusal; a success is none.
#[track_caller]
pub(crate) fn refusal<T>(result: Result<T, Status>) -> Refused {
    let Err(status) = result else { panic!("it was not refused") };
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "tokenbroker");
    let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
    let reason = reason.unwrap_or_else(|| panic!("{} is not in the contract", info.reason));
    assert_eq!(status.code(), code(reason), "{}", info.reason);
    let retry_after = details.retry_info().and_then(|info| info.retry_delay);
    let fields: Vec<_> = details
        .bad_request()
        .map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect())
        .unwrap_or_default();
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => {
            assert!(retry_after.is_some(), "{}: when to try again?", info.reason);
        }
        Code::FailedPrecondition => {
            assert!(!details.help().unwrap().links.is_empty(), "{}: what to do?", info.reason);
        }
        Code::InvalidArgument => assert!(!fields.is_empty(), "{}: which field?", status.message()),
        _ => {}
    }
    Refused { code: status.code(), reason: info.reason.clone(), retry_after, fields }
}

/// The reason alone.
#[track_caller]
pub(crate) fn reason<T>(result: Result<T, Status>) -> String {
    refusal(result).reason
}

/// The field of an `INVALID_ARGUMENT`.
#[track_caller]
pub(crate) fn bad_field<T>(result: Result<T, Status>) -> String {
    let refused = refusal(result);
    assert_eq!(refused.code, Code::InvalidArgument, "{refused:?}");
    refused.fields.concat()
}

/// The table of the contract.
fn code(reason: ErrorReason) -> Code {
    use ErrorReason as R;
    match reason {
        R::Unspecified => Code::Unknown,
        R::RefreshInProgress | R::ProviderUnavailable | R::StoreUnavailable | R::KeyUnavailable => {
            Code::Unavailable
        }
        R::ProviderRateLimited | R::QuotaExceeded | R::Overloaded => Code::ResourceExhausted,
        R::AuthorizationPending
        | R::ReauthorizationRequired
        | R::RefreshInDoubt
        | R::AppNotConnected
        | R::ConnectionPaused
        | R::Quarantined
        | R::ConnectionRevoked
        | R::OauthClientRejected
        | R::EndpointChanged
        | R::ResourceInUse => Code::FailedPrecondition,
        R::PermissionDenied => Code::PermissionDenied,
        R::Unauthenticated => Code::Unauthenticated,
        R::InvalidArgument => Code::InvalidArgument,
        R::NotFound => Code::NotFound,
        R::AlreadyExists | R::TokenAlreadyKnown => Code::AlreadyExists,
        R::EtagMismatch => Code::Aborted,
        R::DeadlineExceeded => Code::DeadlineExceeded,
        R::Internal => Code::Internal,
    }
}
