//! OAuth errors, in Doorkeeper's words, which are Procore's where these are known.

use http::{HeaderName, StatusCode, header};
use serde::Serialize;

use crate::choices::{OauthStatus, RefusalKind};
use crate::knobs::Knobs;
use crate::reply::Reply;

/// Why a token request was refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) kind: RefusalKind,
    pub(super) description: String,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl From<RefusalKind> for Refusal {
    fn from(kind: RefusalKind) -> Self {
        let description = match kind {
            RefusalKind::InvalidGrant => {
                "The provided authorization grant is invalid, expired, revoked, does not match the redirection \
                 URI used in the authorization request, or was issued to another client."
            }
            RefusalKind::InvalidClient => {
                "Client authentication failed due to unknown client, no client authentication included, or \
                 unsupported authentication method."
            }
            RefusalKind::InvalidRequest => {
                "The request is missing a required parameter, includes an unsupported parameter value, or is \
                 otherwise malformed."
            }
            RefusalKind::InvalidScope => "The requested scope is invalid, unknown, or malformed.",
            RefusalKind::UnauthorizedClient => {
                "The client is not authorized to perform this request using this method."
            }
            RefusalKind::UnsupportedGrantType => {
                "The authorization grant type is not supported by the authorization server."
            }
            RefusalKind::RateLimited => {
                "You have surpassed the max number of requests for an hour. Please wait until your limit resets."
            }
        };
        Self { kind, description: description.to_owned() }
    }
}

impl Refusal {
    pub(super) fn missing(parameter: &str) -> Self {
        Self {
            kind: RefusalKind::InvalidRequest,
            description: format!("Missing required parameter: {parameter}."),
        }
    }

    pub(super) fn reply(&self, knobs: &Knobs) -> Reply {
        let status = match (knobs.oauth_status, self.kind) {
            (_, RefusalKind::RateLimited) => return too_many(knobs, &self.description),
            (OauthStatus::All401, _) | (_, RefusalKind::InvalidClient) => StatusCode::UNAUTHORIZED,
            (OauthStatus::Mixed, _) => StatusCode::BAD_REQUEST,
        };
        error(status, self.kind.code(), &self.description)
    }
}

/// An error body with the challenge that accompanies it.
pub(super) fn error(status: StatusCode, code: &str, description: &str) -> Reply {
    let challenge = format!(r#"Bearer realm="Procore", error="{code}", error_description="{description}""#);
    no_store(Reply::json(status, &ErrorBody { error: code, error_description: description }))
        .with(header::WWW_AUTHENTICATE, &challenge)
}

/// The headers of every answer that may carry a token.
pub(super) fn no_store(reply: Reply) -> Reply {
    reply.with(header::CACHE_CONTROL, "no-store").with(header::PRAGMA, "no-cache")
}

fn too_many(knobs: &Knobs, text: &str) -> Reply {
    let reply = Reply::json(StatusCode::TOO_MANY_REQUESTS, &serde_json::json!({"errors": text}))
        .with(HeaderName::from_static("x-rate-limit-remaining"), "0");
    if knobs.retry_after_on_429 { reply.with(header::RETRY_AFTER, "10") } else { reply }
}
