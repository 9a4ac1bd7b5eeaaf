//! What a grant holds: ciphertexts and keyed fingerprints, never a token.

use std::fmt;

use super::Timestamp;

/// A sealed value; the id of its key is in the blob.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A keyed hash of a refresh token (HMAC-SHA-256 under the environment's fingerprint key): it tells whether
/// two tokens are the same, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// A sealed access token with what must be known without unsealing it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessToken {
    /// The token with its type and scopes.
    pub sealed: Sealed,
    /// When the provider issued it, by our clock.
    pub issued_at: Timestamp,
    /// When it ends, by our clock.
    pub expires_at: Timestamp,
}

/// A sealed refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefreshToken {
    /// The token.
    pub sealed: Sealed,
    /// Unique among the live ones of an environment.
    pub fingerprint: Fingerprint,
}

/// What came back from a presentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tokens {
    /// Absent where a person imported a refresh token alone.
    pub access: Option<AccessToken>,
    /// The successor of the presented refresh token.
    pub refresh: Successor,
}

/// What an answer says of the refresh token that was presented.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Successor {
    /// It is replaced: RFC 6749 section 6.
    Rotated(RefreshToken),
    /// None came, and the provider does not rotate: the presented one stays good.
    Unchanged,
    /// None came although the provider rotates: the grant ends with this access token.
    Missing,
}

impl Successor {
    /// As stores call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Rotated(_) => "rotated",
            Self::Unchanged => "unchanged",
            Self::Missing => "missing",
        }
    }
}
