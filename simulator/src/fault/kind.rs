//! What a client that meets a fault sees.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the client sees.
///
/// Kinds that alter an answer alter `{}` where there is none yet, that is before processing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Silence: for so many milliseconds and then the answer, or for ever.
    ///
    /// Before processing and with a duration, it is the processing that waits.
    Hang(Option<u64>),
    /// A TCP reset.
    Reset,
    /// The connection is closed in good order without an answer.
    Close,
    /// The answer's beginning.
    TornBody {
        /// Where it is cut.
        cut: Cut,
        /// What follows the cut.
        end: TornEnd,
    },
    /// Another status, headers and body.
    Status {
        /// The status code; an invalid one becomes 500.
        code: u16,
        /// Additional headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body; HTML where it begins with `<`, else JSON.
        #[serde(default)]
        body: String,
        /// When to come again.
        #[serde(default)]
        retry: Option<RetryHint>,
    },
    /// A redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        code: u16,
        /// The `Location`.
        location: String,
    },
    /// The answer, late or in drops.
    Slow {
        /// Milliseconds before the first byte.
        #[serde(default)]
        delay_ms: u64,
        /// Bytes per drop; 0 sends all at once.
        #[serde(default)]
        drop_bytes: usize,
        /// Milliseconds between drops.
        #[serde(default)]
        pause_ms: u64,
    },
    /// Bytes that are not HTTP.
    Garbage,
    /// The answer's JSON followed by spaces up to so many bytes.
    Huge(u64),
    /// A body made from a template, in which `{{access_token}}`, `{{refresh_token}}` and `{{body}}` stand
    /// for what the client would have got.
    Body {
        /// The template. A byte order mark, duplicate members or odd numbers are simply written in it.
        template: String,
        /// Status code, 200 unless given.
        #[serde(default)]
        code: Option<u16>,
        /// Content type, that of the answer unless given.
        #[serde(default)]
        content_type: Option<String>,
    },
    /// The answer's body as gzip, with or without saying so.
    Gzip {
        /// Whether `Content-Encoding: gzip` is sent.
        declared: bool,
    },
    /// The answer's body in one good chunk, followed by a chunk size that is none.
    ChunkedGarbage,
}

/// Where a torn answer ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// After so many bytes of the body.
    Bytes(usize),
    /// Behind the closing quote of this member's value.
    After(String),
    /// In front of this member's name.
    Before(String),
    /// In the middle of this member's value.
    Inside(String),
}

/// What follows a torn answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TornEnd {
    /// FIN.
    Close,
    /// RST.
    Reset,
    /// Silence, on an open connection.
    Hang,
}

/// How a 429 or 503 says when to come again, in seconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryHint {
    /// `Retry-After` as a number.
    Seconds(u64),
    /// `Retry-After` as an HTTP date.
    Date(u64),
    /// `X-Rate-Limit-Reset` alone, Unix seconds.
    RateLimitReset(u64),
}

impl FaultKind {
    /// A bare status with an empty JSON object, and a hint when to come again.
    #[must_use]
    pub fn status(code: u16, retry: Option<RetryHint>) -> Self {
        Self::Status { code, headers: Vec::new(), body: "{}".to_owned(), retry }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hang(_) => "hang",
            Self::Reset => "reset",
            Self::Close => "close",
            Self::TornBody { .. } => "torn_body",
            Self::Status { code, .. } => return write!(f, "status {code}"),
            Self::Redirect { code, .. } => return write!(f, "redirect {code}"),
            Self::Slow { .. } => "slow",
            Self::Garbage => "garbage",
            Self::Huge(_) => "huge",
            Self::Body { .. } => "body",
            Self::Gzip { .. } => "gzip",
            Self::ChunkedGarbage => "chunked_garbage",
        })
    }
}
