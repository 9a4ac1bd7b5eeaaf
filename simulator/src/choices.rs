//! The alternatives that knobs choose between.

use serde::{Deserialize, Serialize};

/// When a presented refresh token dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshMode {
    /// Mode A: at once. Of concurrent presentations one succeeds (`oauth_auth_grant_flow`).
    SingleUse,
    /// Mode B, Doorkeeper's `previous_refresh_token`: when the new access token is first used.
    UntilNewAccessTokenUsed,
}

/// Why the token endpoint refused, by the `error` it answers (RFC 6749, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The grant is unknown, spent, revoked or another client's.
    InvalidGrant,
    /// The client is unknown, suspended, or its secret is wrong.
    InvalidClient,
    /// A parameter is missing or unreadable.
    InvalidRequest,
    /// A scope was sent.
    InvalidScope,
    /// The client may not use this grant type.
    UnauthorizedClient,
    /// There is no such grant type.
    UnsupportedGrantType,
    /// Too many token requests; answered 429.
    RateLimited,
}

/// What presenting a spent refresh token kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FamilyRevocation {
    /// Nothing else.
    Off,
    /// Every token of the same grant.
    Grant,
    /// Every token of the same client and user.
    User,
}

/// Status codes of OAuth errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthStatus {
    /// 401 for `invalid_client`, 400 for the rest (Doorkeeper from 5.1).
    Mixed,
    /// 401 for everything (Doorkeeper before 5.1).
    All401,
}

/// How `expires_in` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresIn {
    /// `5400`.
    Integer,
    /// `"5400"`.
    Text,
    /// Left out.
    Absent,
}

/// Case of `token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenTypeCase {
    /// `bearer`, as documented.
    Lower,
    /// `Bearer`, as current Doorkeeper writes it.
    Capital,
}

/// Look of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStyle {
    /// Three base64url parts of [`jwt_bytes`](crate::Knobs::jwt_bytes) in all; the signature is random.
    Jwt,
    /// 64 hexadecimal digits.
    Hex64,
    /// 43 URL-safe base64 characters.
    Base64Url43,
}

/// What a non-empty `scope` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeHandling {
    /// `invalid_scope`.
    Refuse,
    /// Nothing.
    Ignore,
}

/// Member names of `/oauth/token/info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InfoShape {
    /// `scopes`, `expires_in_seconds`; errors say `invalid_request` (Doorkeeper to 4.4, Procore's reference).
    Old,
    /// `scope`, `expires_in`; errors say `invalid_token` (Doorkeeper from 5.0).
    New,
}

/// What revoking an access token kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReach {
    /// Access and refresh token (`oauth_endpoints`).
    Pair,
    /// The refresh token, as Procore's withdrawn 2023 notice had it.
    RefreshOnly,
}

/// What revoking another client's token answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongClientRevoke {
    /// 403 `unauthorized_client`.
    Forbidden,
    /// 200 without effect.
    Ignored,
}

/// What shares one rate allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// Each access token.
    Token,
    /// Each client.
    App,
    /// Each client and company.
    AppAndCompany,
}

impl RefusalKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::InvalidGrant,
        Self::InvalidClient,
        Self::InvalidRequest,
        Self::InvalidScope,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::RateLimited,
    ];

    /// The `error` member's value.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidClient => "invalid_client",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::RateLimited => "rate_limited",
        }
    }
}
