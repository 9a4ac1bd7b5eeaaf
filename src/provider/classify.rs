//! What an answer means: step 9 of the protocol, as a pure function.

use serde_json::Value;

use super::{
    Answer, ConnectError, Cut, Issued, NotSent, Profile, Response,
    extract::{Members, members},
    not_before::not_before,
};
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
    let (response, cut) = match answer {
        Answer::NotSent { why } => return Classified::NotSent { why: *why },
        Answer::Silent { why } => return unknown(UnknownCause::Silent(*why)),
        Answer::Torn { response, why } => (response, Some(*why)),
        Answer::Complete { response } => (response, None),
    };
    let classified = match response.status.as_u16() {
        200..=299 => success(profile, response, cut, now),
        300..=399 => unknown(UnknownCause::Redirect(response.status.as_u16())),
        400..=499 => client_error(profile, response, cut, now),
        status @ 500..=599 => unknown(UnknownCause::Server(status)),
        status => unknown(UnknownCause::Status(status)),
    };
    match classified {
        // An answer to a token that was never sent says nothing about it.
        Classified::Unknown { .. } | Classified::Rejected { .. } if !response.handed => {
            Classified::NotSent { why: NotSent::AnsweredEarly }
        }
        classified => classified,
    }
}

fn unknown(why: UnknownCause) -> Classified {
    Classified::Unknown { why }
}

/// Tokens count before anything else that the answer says. An answer that is not whole may have had a refresh
/// token: without one, nobody knows.
fn success(profile: &Profile, response: &Response, cut: Option<Cut>, now: Timestamp) -> Classified {
    let status = response.status.as_u16();
    let nothing = cut.map_or(UnknownCause::NoTokens(status), UnknownCause::Torn);
    let Some(Members { map, whole }) = members(response.body.as_bytes()) else { return unknown(nothing) };
    let error = map.get("error").and_then(Value::as_str).map(str::to_owned);
    // A slow answer's token was issued before the answer was read.
    match (Issued::read(map, profile, now.minus(response.took)), error) {
        (Some(issued), _) if issued.refresh_token.is_some() => Classified::Rotated(issued),
        (Some(issued), _) if whole => Classified::AccessOnly(issued),
        (None, Some(error)) if whole && cut.is_none() => {
            by_code(profile, response, &error, now).unwrap_or_else(|| unknown(unlisted(status, Some(&error))))
        }
        _ => unknown(nothing),
    }
}

/// Decides by the JSON `error` code: 400 and 401 mean the same. Tokens in such an answer are echoes.
fn client_error(profile: &Profile, response: &Response, cut: Option<Cut>, now: Timestamp) -> Classified {
    let status = response.status.as_u16();
    let json = members(response.body.as_bytes()).filter(|members| members.whole && cut.is_none());
    let error = json.as_ref().and_then(|members| members.map.get("error")).and_then(Value::as_str);
    if let Some(decided) = error.and_then(|error| by_code(profile, response, error, now)) {
        return decided;
    }
    match cut {
        _ if status == 429 && profile.refusals.too_many_requests => {
            Classified::Refused { error: None, not_before: not_before(&response.headers, now) }
        }
        Some(cut) => unknown(UnknownCause::Torn(cut)),
        None if json.is_none() => unknown(UnknownCause::NotJson(status)),
        None => unknown(unlisted(status, error)),
    }
}

fn by_code(profile: &Profile, response: &Response, error: &str, now: Timestamp) -> Option<Classified> {
    let error = error.to_owned();
    if error == "invalid_grant" {
        Some(Classified::Rejected { error })
    } else if profile.refusals.errors.contains(&error) {
        Some(Classified::Refused { error: Some(error), not_before: not_before(&response.headers, now) })
    } else {
        None
    }
}

/// Keeps a code only if it looks like one: a server may put there what it was sent.
fn unlisted(status: u16, error: Option<&str>) -> UnknownCause {
    let code = |error: &&str| {
        (1..=40).contains(&error.len()) && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    UnknownCause::Unlisted { status, error: error.filter(code).map(str::to_owned) }
}

impl Classified {
    /// What the breaker learns.
    #[must_use]
    pub fn breaker(&self) -> Signal {
        match self {
            Self::Rotated(_) | Self::AccessOnly(_) => Signal::Proven,
            Self::NotSent { .. } | Self::Refused { error: None, .. } => Signal::None,
            Self::Refused { error: Some(error), .. } => trip(error).map_or(Signal::Answered, Signal::Trip),
            Self::Rejected { .. } => Signal::Answered,
            Self::Unknown { why: UnknownCause::Redirect(_) } => Signal::Trip(TripCause::Redirect),
            Self::Unknown { why: UnknownCause::NotJson(_) } => Signal::Trip(TripCause::NotJson),
            Self::Unknown { why: UnknownCause::Unlisted { error: Some(error), .. } } => {
                trip(error).map_or(Signal::Unknown, Signal::Trip)
            }
            Self::Unknown { .. } => Signal::Unknown,
        }
    }
}

fn trip(error: &str) -> Option<TripCause> {
    [TripCause::InvalidClient, TripCause::UnauthorizedClient]
        .into_iter()
        .find(|cause| cause.as_str() == error)
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
