//! The tokens of an answer.

use std::{fmt, time::Duration};

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::Profile;
use crate::model::Timestamp;

/// The longest lifetime that is believed: ten years. More is an error or an attack, and would overflow somewhere.
pub const MAX_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// What a token endpoint issued: at least one token, none of them empty.
#[derive(Clone)]
pub struct Issued {
    /// Absent only where a refresh token came without one, or a torn answer lost it.
    pub access_token: Option<SecretString>,
    /// The successor of the refresh token that was presented.
    pub refresh_token: Option<SecretString>,
    /// `Bearer`, however the provider wrote it; else as it came.
    pub token_type: String,
    /// By our clock; never later than the provider means.
    pub expires_at: Timestamp,
    /// By our clock; never later than the provider did it.
    pub issued_at: Timestamp,
    /// Empty where the answer names none.
    pub scopes: Vec<String>,
}

impl Issued {
    /// Reads the members of an answer; `None` where there is no token among them.
    pub(super) fn read(
        mut members: Map<String, Value>,
        profile: &Profile,
        issued_at: Timestamp,
    ) -> Option<Self> {
        let access_token = token(&mut members, "access_token");
        let refresh_token = token(&mut members, "refresh_token");
        if access_token.is_none() && refresh_token.is_none() {
            return None;
        }
        let lifetime = members.get("expires_in").and_then(lifetime).unwrap_or(profile.default_expires_in());
        Some(Self {
            access_token,
            refresh_token,
            token_type: token_type(members.get("token_type")),
            expires_at: issued_at.plus(lifetime.min(MAX_LIFETIME)),
            issued_at,
            scopes: members.get("scope").map(scopes).unwrap_or_default(),
        })
    }
}

/// Takes a token out, without a copy. What is not text, or is blank, is absent: an empty token must never
/// replace a good one. However long, it is kept.
fn token(members: &mut Map<String, Value>, name: &str) -> Option<SecretString> {
    match members.remove(name) {
        Some(Value::String(token)) if !token.trim().is_empty() => Some(token.into()),
        _ => None,
    }
}

/// A number, or text that is one. Negative is over already; what is neither is absent.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let longest = MAX_LIFETIME.as_secs_f64();
    (!f64::is_nan(seconds)).then(|| Duration::from_secs_f64(seconds.clamp(0.0, longest).trunc()))
}

fn token_type(value: Option<&Value>) -> String {
    match value.and_then(Value::as_str) {
        Some(text) if !text.is_empty() && !text.eq_ignore_ascii_case("bearer") => text.to_owned(),
        _ => "Bearer".to_owned(),
    }
}

/// RFC 6749 section 3.3 separates by spaces; some providers send a list.
fn scopes(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

impl fmt::Debug for Issued {
    /// Only what cannot hold a token, whatever the provider put where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("access_token", &self.access_token.is_some())
            .field("refresh_token", &self.refresh_token.is_some())
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
