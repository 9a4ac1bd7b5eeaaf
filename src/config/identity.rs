//! Callers known by a token in the configuration: for `dev`, and for `serve` on loopback only.

use std::{fmt, fs, path::PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Problem, withheld};
use crate::model::ResourceId;

/// A bearer token shorter than this can be guessed.
const SHORTEST_TOKEN: usize = 24;

/// `[identity]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Whether callers may be known by a static token, on loopback listeners.
    pub allow_static_on_loopback: bool,
    /// Those callers.
    pub r#static: Vec<StaticIdentity>,
}

/// `[[identity.static]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StaticIdentity {
    /// Its name in the audit log, as `static:{principal}`.
    pub principal: ResourceId,
    /// A file with its bearer token; this or `token_sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// SHA-256 of its bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "withheld")]
    pub token_sha256: Option<TokenDigest>,
    /// What it may do.
    pub roles: Vec<Role>,
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Role {
    /// Everything that platform teams call, on every tenant.
    Operator,
    /// `GetAccessToken`.
    Consumer {
        /// Of these tenants' connections.
        tenants: Vec<ResourceId>,
    },
}

/// SHA-256 of a bearer token, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

/// A caller known by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticPrincipal {
    /// Its name.
    pub principal: ResourceId,
    /// Of its bearer token.
    pub token: TokenDigest,
    /// What it may do.
    pub roles: Vec<Role>,
}

impl Identity {
    /// Reads the token files.
    pub fn principals(&self) -> Result<Vec<StaticPrincipal>, Vec<Problem>> {
        let (mut principals, mut problems) = (Vec::new(), Vec::new());
        for (index, identity) in self.r#static.iter().enumerate() {
            match identity.digest() {
                Ok(token) => principals.push(StaticPrincipal {
                    principal: identity.principal.clone(),
                    token,
                    roles: identity.roles.clone(),
                }),
                Err(what) => problems.push(Problem::new(format!("identity.static[{index}]"), what)),
            }
        }
        if problems.is_empty() { Ok(principals) } else { Err(problems) }
    }
}

impl StaticIdentity {
    fn digest(&self) -> Result<TokenDigest, String> {
        match (&self.token_file, self.token_sha256) {
            (None, Some(digest)) => Ok(digest),
            (Some(path), None) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    format!("the token file `{}` cannot be read: {error}", path.display())
                })?;
                let text = Zeroizing::new(text);
                TokenDigest::of(text.trim()).ok_or_else(|| {
                    format!("the token in `{}` is shorter than {SHORTEST_TOKEN} bytes", path.display())
                })
            }
            _ => Err("expected exactly one of `token_file` and `token_sha256`".to_owned()),
        }
    }
}

impl TokenDigest {
    /// Of a bearer token. `None`: it is so short that it can be guessed.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        (token.len() >= SHORTEST_TOKEN).then(|| Self(Sha256::digest(token).into()))
    }

    /// Whether `token` is the token: in constant time, so that no digest can be guessed byte by byte.
    #[must_use]
    pub fn matches(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token).into();
        digest.ct_eq(&self.0).into()
    }

    /// The digest itself: nothing that could be presented.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut digest = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl<'de> Deserialize<'de> for TokenDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}
