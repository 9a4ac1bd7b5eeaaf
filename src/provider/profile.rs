//! A provider's behaviour as data. `procore` is built in; others come from the configuration, as the same type.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize, de};
use url::Url;

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the configuration calls it.
    pub name: String,
    /// By name, the worlds that share neither tokens nor (mostly) credentials.
    pub environments: BTreeMap<String, Environment>,
    /// How an OAuth client proves itself at the token endpoint.
    pub client_auth: ClientAuth,
    /// What becomes of a refresh token that was used.
    pub rotation: Rotation,
    /// Whether a token whose answer was lost may be presented again.
    #[serde(default)]
    pub replay: Replay,
    /// What the token endpoint answers before it processes anything.
    #[serde(default)]
    pub refusals: Refusals,
    /// Whether client credentials may be asked for as the harmless proof of a client secret.
    #[serde(default)]
    pub client_credentials: bool,
    /// What the provider's API wants beside the bearer token.
    #[serde(default)]
    pub request_headers: HeaderTemplates,
    /// The lifetime of an access token, in seconds, where the answer names none.
    pub default_expires_in_s: u32,
    /// What an account id may be.
    #[serde(default)]
    pub account_ids: AccountIds,
}

/// The hosts of one environment. A secret goes to these and to no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// RFC 6749 section 3.2.
    #[serde(deserialize_with = "endpoint")]
    pub token_endpoint: Url,
    /// Where consumers call the API.
    #[serde(deserialize_with = "endpoint")]
    pub api_base_uri: Url,
    /// Tells whether an access token is alive, and spends nothing.
    #[serde(default, deserialize_with = "optional_endpoint")]
    pub token_info: Option<Url>,
    /// RFC 7009.
    #[serde(default, deserialize_with = "optional_endpoint")]
    pub revoke: Option<Url>,
}

/// RFC 6749 section 2.3.1. Neither way puts the refresh token anywhere but into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_id` and `client_secret` as parameters.
    Body,
    /// HTTP Basic.
    Basic,
}

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It is dead, and its successor comes with the answer.
    Rotating,
    /// It stays good.
    Reusable,
}

/// Whether, and how long, a token whose answer was lost may be presented again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Replay {
    /// A lost answer is a lost grant.
    #[default]
    Never,
    /// Any number of times.
    Reusable,
    /// Until the successor, or its access token, is used.
    UntilSuccessorUsed,
    /// For a while after the first presentation.
    Timed {
        /// How long, in seconds.
        window_s: u32,
        /// The longest that the provider works at a request, in seconds.
        longest_processing_s: u32,
    },
}

/// What the token endpoint answers before it processes anything: after these the token is as good as before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Refusals {
    /// The `error` codes.
    pub errors: BTreeSet<String>,
    /// Whether a 429 is one, whatever its body.
    pub too_many_requests: bool,
}

/// Header templates: names, and values in which `{account_id}` is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct HeaderTemplates(BTreeMap<String, String>);

/// What an account id may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountIds {
    /// Decimal digits: 1 to 2^64 - 1, without leading zeros.
    Digits,
    /// 1 to 128 visible ASCII characters.
    #[default]
    Text,
}

/// An account id that the provider cannot have issued; not echoed, since it is not known what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an account id of this provider")]
pub struct InvalidAccountId;

impl Profile {
    /// The first provider.
    ///
    /// # Panics
    /// Never: the file is part of the program, and tested.
    #[must_use]
    pub fn procore() -> Self {
        toml::from_str(include_str!("profiles/procore.toml")).expect("the built-in profile is tested")
    }

    /// The lifetime of an access token where the answer names none.
    #[must_use]
    pub fn default_expires_in(&self) -> Duration {
        Duration::from_secs(self.default_expires_in_s.into())
    }

    /// What a consumer sends beside the bearer token for `account_id`. Fails for an id that could end the
    /// header and begin another.
    pub fn request_headers(&self, account_id: &str) -> Result<Vec<(String, String)>, InvalidAccountId> {
        self.account_ids.check(account_id)?;
        let fill =
            |(name, value): (&String, &String)| (name.clone(), value.replace("{account_id}", account_id));
        Ok(self.request_headers.0.iter().map(fill).collect())
    }
}

impl Environment {
    /// Whether `url` is on a host of this environment: same scheme, host and port as one that it names.
    #[must_use]
    pub fn allows(&self, url: &Url) -> bool {
        [Some(&self.token_endpoint), Some(&self.api_base_uri), self.token_info.as_ref(), self.revoke.as_ref()]
            .into_iter()
            .flatten()
            .any(|named| named.origin() == url.origin())
    }
}

impl AccountIds {
    /// Fails for an id that the provider cannot have issued.
    pub fn check(self, id: &str) -> Result<(), InvalidAccountId> {
        let valid = match self {
            Self::Digits => id.parse::<u64>().is_ok_and(|number| number > 0 && number.to_string() == id),
            Self::Text => (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()),
        };
        valid.then_some(()).ok_or(InvalidAccountId)
    }
}

impl Default for Refusals {
    fn default() -> Self {
        let errors = [
            "invalid_client",
            "unauthorized_client",
            "invalid_request",
            "invalid_scope",
            "unsupported_grant_type",
            "temporarily_unavailable",
            "slow_down",
        ];
        Self { errors: errors.map(str::to_owned).into(), too_many_requests: true }
    }
}

impl TryFrom<BTreeMap<String, String>> for HeaderTemplates {
    type Error = String;

    fn try_from(templates: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        for (name, value) in &templates {
            HeaderName::try_from(name).map_err(|_| format!("not a header name: {name:?}"))?;
            HeaderValue::try_from(value).map_err(|_| format!("not a header value, for {name}"))?;
        }
        Ok(Self(templates))
    }
}

impl From<HeaderTemplates> for BTreeMap<String, String> {
    fn from(templates: HeaderTemplates) -> Self {
        templates.0
    }
}

/// Refuses what a URL could smuggle: credentials, which would be printed; queries and fragments, which no
/// endpoint of RFC 6749 needs.
fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = Url::parse(&text).map_err(|_| de::Error::custom("not a URL"))?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain {
        Ok(url)
    } else {
        Err(de::Error::custom("not an http(s) URL without credentials, query and fragment"))
    }
}

fn optional_endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    endpoint(deserializer).map(Some)
}
