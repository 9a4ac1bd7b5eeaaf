//! What came back, as it came.

use std::{fmt, time::Duration};

use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

/// What became of a request. Which of these it is rests on one fact, whether the token was handed to the
/// socket, and never on the kind of an error.
#[derive(Debug)]
pub enum Answer {
    /// Proven: no byte of the token left, and none ever will.
    NotSent {
        /// Why.
        why: NotSent,
    },
    /// The token left, and nothing came back.
    Silent {
        /// Why no more came.
        why: Cut,
    },
    /// The beginning of an answer came back.
    Torn {
        /// What came.
        response: Response,
        /// Why no more came.
        why: Cut,
    },
    /// An answer came back.
    Complete {
        /// The answer.
        response: Response,
    },
}

/// A response, or the beginning of one.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it came.
    pub body: Body,
    /// Whether the token was handed to the socket: a server may answer before it reads, and be believed.
    pub handed: bool,
    /// From the start of the request to the last byte of the answer: a token issued here is at most so old.
    pub took: Duration,
}

/// Bytes that hold tokens: never printed, wiped on drop.
#[derive(Default)]
pub struct Body(Zeroizing<Vec<u8>>);

/// Why a token did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The body refused: its deadline had passed.
    Deadline,
    /// The connection ended first.
    Closed,
    /// The total time-out passed first.
    TimedOut,
    /// The server answered first, and not with tokens.
    AnsweredEarly,
}

/// Why no more of an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The connection ended.
    Closed,
    /// The total time-out passed.
    TimedOut,
    /// What came is not HTTP.
    Malformed,
    /// More than [`super::MAX_ANSWER`] came.
    TooLarge,
}

/// What the token-info endpoint says of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenInfo {
    /// It is good.
    Alive,
    /// It is not.
    Dead,
    /// The endpoint did not say.
    Unknown,
}

impl Answer {
    /// The body as it came, for a sealed copy of what nobody could read.
    #[must_use]
    pub fn body(&self) -> Option<&Body> {
        match self {
            Self::Torn { response, .. } | Self::Complete { response } => Some(&response.body),
            Self::NotSent { .. } | Self::Silent { .. } => None,
        }
    }
}

impl Body {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends. A buffer outgrown is wiped too, as `Vec`'s own growth would not.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut grown = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two().max(8 * 1024)));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(bytes);
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Response {
    /// Header values are left out: a server may echo in them what it was sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .field("handed", &self.handed)
            .field("took", &self.took)
            .finish()
    }
}
