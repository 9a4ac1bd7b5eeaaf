//! What went wrong, for people and for programs.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::cli::{Failure, Format};

fn refusal() -> Failure {
    let mut details = ErrorDetails::new();
    details
        .set_error_info(
            "REFRESH_IN_PROGRESS",
            "tokenbroker",
            HashMap::from([("generation".to_owned(), "7".to_owned())]),
        )
        .set_retry_info(Some(Duration::from_millis(2500)))
        .add_bad_request_violation("min_ttl", "is above a third of the token's life")
        .add_help_link("watch the attempt", "https://docs.example/refresh");
    Failure::from(Status::with_error_details(Code::Unavailable, "a refresh is under way", details))
}

#[test]
fn people_read_what_why_when_and_the_way_out() {
    assert_eq!(
        refusal().render(Format::Table),
        "error: a refresh is under way\n  \
           reason: REFRESH_IN_PROGRESS\n  \
           field `min_ttl`: is above a third of the token's life\n  \
           try again in 2s500ms\n  \
           help: watch the attempt (https://docs.example/refresh)"
    );
}

#[test]
fn programs_read_the_same() {
    let shown: Value = serde_json::from_str(&refusal().render(Format::Json)).unwrap();
    assert_eq!(
        shown,
        json!({ "error": {
            "code": "UNAVAILABLE",
            "message": "a refresh is under way",
            "reason": "REFRESH_IN_PROGRESS",
            "metadata": { "generation": "7" },
            "retry_delay": "2s500ms",
            "fields": [{ "field": "min_ttl", "description": "is above a third of the token's life" }],
            "help": [{ "description": "watch the attempt", "url": "https://docs.example/refresh" }],
        }})
    );
}

#[test]
fn a_status_without_details_is_still_said() {
    let failure = Failure::from(Status::new(Code::NotFound, ""));
    assert_eq!(failure.render(Format::Table), "error: NOT_FOUND\n  reason: NOT_FOUND");
    let failure = Failure::from(Status::with_details(Code::Internal, "x", b"garbage".to_vec().into()));
    assert!(failure.render(Format::Table).starts_with("error: x"));
}

#[test]
fn exit_codes_say_whether_to_try_again() {
    for (code, expected) in [
        (Code::Unavailable, 3),
        (Code::ResourceExhausted, 3),
        (Code::DeadlineExceeded, 3),
        (Code::FailedPrecondition, 1),
        (Code::PermissionDenied, 1),
        (Code::InvalidArgument, 1),
        (Code::Internal, 1),
    ] {
        assert_eq!(Failure::from(Status::new(code, "")).exit_code(), expected, "{code:?}");
    }
    assert_eq!(Failure::usage("x").exit_code(), 2);
    assert_eq!(Failure::Unreachable { server: String::new() }.exit_code(), 3);
}

#[test]
fn no_escape_sequence_reaches_the_terminal() {
    let failure = Failure::from(Status::new(Code::NotFound, "\u{1b}[2Jgone\r\nerror: other"));
    let shown = failure.render(Format::Table);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\r'));
    assert_eq!(shown.lines().count(), 2);
}
