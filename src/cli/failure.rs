//! What went wrong, for people and for programs.

use std::{error::Error, iter};

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Format, output::printable};
use crate::config::duration;

/// Why a tool did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The arguments, the files or the configuration are wrong.
    Usage(String),
    /// No broker answers there.
    Unreachable {
        /// Where.
        server: String,
    },
    /// The broker refused.
    Refused(Box<Status>),
}

impl Failure {
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// A wrong file, with what the system says of it.
    pub(super) fn because(error: impl Error) -> Self {
        Self::Usage(with_sources(&error))
    }

    /// 1 refused by the broker, 2 usage or configuration, 3 unavailable: try again.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Refused(status) => match status.code() {
                Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => 3,
                _ => 1,
            },
        }
    }

    /// What, the reason, when to try again, and the way out.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table => self.text(),
            Format::Json => json!({ "error": self.json() }).to_string(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Usage(what) => format!("error: {what}"),
            Self::Unreachable { server } => {
                format!(
                    "error: no broker answers at {server}\n  help: start one, or name one with `--server`"
                )
            }
            Self::Refused(status) => refusal(status, &status.get_error_details()),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Usage(what) => json!({ "code": "USAGE", "message": what }),
            Self::Unreachable { server } => {
                json!({ "code": "UNREACHABLE", "message": format!("no broker answers at {server}") })
            }
            Self::Refused(status) => {
                let details = status.get_error_details();
                let info = details.error_info();
                let fields = details.bad_request().map(|bad| &bad.field_violations[..]).unwrap_or_default();
                let help = details.help().map(|help| &help.links[..]).unwrap_or_default();
                json!({
                    "code": code(status.code()),
                    "message": status.message(),
                    "reason": info.map(|info| &info.reason),
                    "metadata": info.map(|info| &info.metadata),
                    "retry_delay": retry(&details),
                    "fields": fields.iter()
                        .map(|field| json!({ "field": field.field, "description": field.description }))
                        .collect::<Vec<_>>(),
                    "help": help.iter()
                        .map(|link| json!({ "description": link.description, "url": link.url }))
                        .collect::<Vec<_>>(),
                })
            }
        }
    }
}

/// An error and its sources: their messages do not repeat one another.
pub(super) fn with_sources(error: &dyn Error) -> String {
    iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn refusal(status: &Status, details: &ErrorDetails) -> String {
    let what = if status.message().is_empty() { code(status.code()) } else { status.message() };
    let mut lines = vec![format!("error: {}", printable(what))];
    let reason = details.error_info().map_or(code(status.code()), |info| info.reason.as_str());
    lines.push(format!("  reason: {}", printable(reason)));
    if let Some(bad) = details.bad_request() {
        lines.extend(bad.field_violations.iter().map(|field| {
            format!("  field `{}`: {}", printable(&field.field), printable(&field.description))
        }));
    }
    if let Some(delay) = retry(details) {
        lines.push(format!("  try again in {delay}"));
    }
    if let Some(help) = details.help() {
        lines.extend(help.links.iter().map(|link| {
            let url =
                if link.url.is_empty() { String::new() } else { format!(" ({})", printable(&link.url)) };
            format!("  help: {}{url}", printable(&link.description))
        }));
    }
    lines.join("\n")
}

fn retry(details: &ErrorDetails) -> Option<String> {
    details.retry_info().and_then(|info| info.retry_delay).map(duration::format)
}

/// As in the gRPC specification.
fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}
