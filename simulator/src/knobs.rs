//! Every behaviour that Procore's material leaves open, or that a test wants to vary.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::choices::{
    ExpiresIn, FamilyRevocation, InfoShape, OauthStatus, RateKey, RefreshMode, RefusalKind, RevokeReach,
    ScopeHandling, TokenStyle, TokenTypeCase, WrongClientRevoke,
};

/// The simulator's behaviour; the defaults follow Procore's documentation.
///
/// As JSON every member is optional, and `PATCH /knobs` replaces just the members it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent behaviour of the provider")]
pub struct Knobs {
    /// Life of new access tokens in seconds (`oauth_endpoints`: 5400); issued tokens keep theirs.
    pub access_ttl: u64,
    /// How `expires_in` is written in token answers.
    pub expires_in: ExpiresIn,
    /// Case of `token_type`.
    pub token_type: TokenTypeCase,
    /// Look of new access tokens.
    pub access_token_style: TokenStyle,
    /// Look of new refresh tokens.
    pub refresh_token_style: TokenStyle,
    /// Approximate length in bytes of JWT-like tokens.
    pub jwt_bytes: usize,

    /// When the presented refresh token dies.
    pub refresh_mode: RefreshMode,
    /// Refusals that nonetheless kill the presented refresh token (`faq`: all; Doorkeeper: none).
    pub consume_on_failed_refresh: BTreeSet<RefusalKind>,
    /// What presenting a spent refresh token kills besides.
    pub family_revocation: FamilyRevocation,
    /// Whether the previous access token dies with the refresh; otherwise it lives to its expiry.
    pub old_access_dies: bool,

    /// Status codes of OAuth errors.
    pub oauth_status: OauthStatus,
    /// Whether HTTP Basic client authentication is accepted beside the body's.
    pub basic_auth: bool,
    /// Whether `/oauth/*` also answers on the API host.
    pub oauth_on_api_host: bool,
    /// What a non-empty `scope` leads to.
    pub scope: ScopeHandling,
    /// Life of authorization codes in seconds.
    pub code_ttl: u64,
    /// Whether replaying a code revokes the tokens issued for it.
    pub code_replay_revokes: bool,
    /// Whether a new client-credentials token revokes the client's earlier ones.
    pub client_credentials_revokes_previous: bool,
    /// Token requests a client may make in ten seconds; none means no limit, as documented.
    pub token_requests_per_10s: Option<u32>,

    /// Whether `/oauth/authorize` approves at once, as [`auto_user`](Self::auto_user).
    pub auto_approve: bool,
    /// The user who approves when nobody says otherwise.
    pub auto_user: u64,
    /// The company of that user.
    pub auto_company: u64,

    /// Member names of `/oauth/token/info`.
    pub info_shape: InfoShape,
    /// What revoking an access token kills.
    pub revoke_reach: RevokeReach,
    /// Whether revoking an expired access token does nothing (and still answers 200).
    pub revoke_expired_is_noop: bool,
    /// Whether `/oauth/revoke` accepts a refresh token as `token`.
    pub revoke_accepts_refresh_token: bool,
    /// What revoking another client's token answers.
    pub revoke_wrong_client: WrongClientRevoke,
    /// Whether a secret reset kills refresh tokens as it kills access tokens.
    pub secret_reset_kills_refresh_tokens: bool,

    /// Status for a missing `Procore-Company-Id`; none leaves the rule unenforced.
    pub company_header_status: Option<u16>,
    /// Status for a company the app is not installed in.
    pub not_connected_status: u16,
    /// Whether installing again empties the list of permitted projects.
    pub reinstall_empties_projects: bool,

    /// Whether the API host limits rates.
    pub rate_limiter: bool,
    /// Requests per 60 minutes and key.
    pub hourly_limit: u32,
    /// Requests per 10 seconds and key.
    pub spike_limit: u32,
    /// What shares one allowance.
    pub rate_key: RateKey,
    /// Whether a 429 carries `Retry-After` in seconds.
    pub retry_after_on_429: bool,

    /// Pause before each OAuth and API answer, in milliseconds.
    pub latency_ms: u64,
    /// Added to the simulator's clock, in seconds; moving it forward is how tests let tokens expire.
    pub clock_skew: i64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            access_ttl: 5400,
            expires_in: ExpiresIn::Integer,
            token_type: TokenTypeCase::Lower,
            access_token_style: TokenStyle::Jwt,
            refresh_token_style: TokenStyle::Hex64,
            jwt_bytes: 640,
            refresh_mode: RefreshMode::SingleUse,
            consume_on_failed_refresh: RefusalKind::ALL.into(),
            family_revocation: FamilyRevocation::Off,
            old_access_dies: false,
            oauth_status: OauthStatus::Mixed,
            basic_auth: false,
            oauth_on_api_host: false,
            scope: ScopeHandling::Refuse,
            code_ttl: 600,
            code_replay_revokes: false,
            client_credentials_revokes_previous: false,
            token_requests_per_10s: None,
            auto_approve: false,
            auto_user: 1,
            auto_company: 1,
            info_shape: InfoShape::Old,
            revoke_reach: RevokeReach::Pair,
            revoke_expired_is_noop: true,
            revoke_accepts_refresh_token: true,
            revoke_wrong_client: WrongClientRevoke::Forbidden,
            secret_reset_kills_refresh_tokens: true,
            company_header_status: Some(400),
            not_connected_status: 403,
            reinstall_empties_projects: true,
            rate_limiter: true,
            hourly_limit: 600,
            spike_limit: 25,
            rate_key: RateKey::Token,
            retry_after_on_429: true,
            latency_ms: 0,
            clock_skew: 0,
        }
    }
}
