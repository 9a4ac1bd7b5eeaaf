//! The tokens of an answer.

use std::{fmt, time::Duration};

use secrecy::SecretString;

use crate::model::Timestamp;

/// The longest lifetime that is believed: ten years. More is an error or an attack, and would overflow somewhere.
pub const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

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
