//! `/oauth/authorize`: consent, codes and redirects.

use std::collections::BTreeMap;

use http::StatusCode;

use super::consent;
use crate::call::Call;
use crate::choices::ScopeHandling;
use crate::directory::OUT_OF_BAND;
use crate::reply::Reply;
use crate::state::State;

/// A request whose client and redirect URI are in order, so that errors may be redirected.
pub(super) struct Request {
    pub(super) client_id: String,
    pub(super) client_name: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
}

/// `GET`: the consent page, or at once the code where consent is automatic.
pub(super) fn ask(state: &mut State, call: &Call) -> Reply {
    let request = match check(state, call, &call.query) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    let who = (state.knobs.auto_user, state.knobs.auto_company);
    if state.knobs.auto_approve { approve(state, call, &request, who) } else { consent::page(&request, who) }
}

/// `POST`: the consent page's decision.
pub(super) fn decide(state: &mut State, call: &Call) -> Reply {
    let form = match &call.params {
        Ok(form) => form,
        Err(reason) => return consent::error(StatusCode::BAD_REQUEST, reason),
    };
    let request = match check(state, call, form) {
        Ok(request) => request,
        Err(reply) => return reply,
    };
    if call.param("decision") != Some("allow") {
        let text = "The resource owner or authorization server denied the request.";
        return refuse(&request, "access_denied", text);
    }
    let number = |name: &str| call.param(name).and_then(|value| value.parse().ok());
    let user = number("user").unwrap_or(state.knobs.auto_user);
    let company = number("company").unwrap_or(state.knobs.auto_company);
    approve(state, call, &request, (user, company))
}

/// Client first, then redirect URI, neither of which may be answered by a redirect; then the rest.
fn check(state: &State, call: &Call, form: &BTreeMap<String, String>) -> Result<Request, Reply> {
    let given = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let client_id = given("client_id").unwrap_or_default();
    let known = state.directory.client(call.environment, client_id).filter(|client| !client.suspended);
    let Some(client) = known else {
        let text = "Client authentication failed due to unknown client, no client authentication included, \
                    or unsupported authentication method.";
        return Err(consent::error(StatusCode::UNAUTHORIZED, text));
    };
    let redirect_uri = given("redirect_uri").unwrap_or_default();
    if !client.redirect_uris.iter().any(|registered| matches(registered, redirect_uri)) {
        let text = "The requested redirect uri is malformed or doesn't match client redirect URI.";
        return Err(consent::error(StatusCode::BAD_REQUEST, text));
    }
    let request = Request {
        client_id: client_id.to_owned(),
        client_name: client.name.clone(),
        redirect_uri: redirect_uri.to_owned(),
        state: given("state").map(str::to_owned),
    };
    match given("response_type") {
        Some("code") => {}
        None => {
            return Err(refuse(&request, "invalid_request", "Missing required parameter: response_type."));
        }
        Some(_) => {
            let text = "The authorization server does not support this response type.";
            return Err(refuse(&request, "unsupported_response_type", text));
        }
    }
    if state.knobs.scope == ScopeHandling::Refuse && given("scope").is_some() {
        let text = "The requested scope is invalid, unknown, or malformed.";
        return Err(refuse(&request, "invalid_scope", text));
    }
    Ok(request)
}

/// Exact comparison, except that a loopback address (not the name `localhost`) may use any port.
fn matches(registered: &str, requested: &str) -> bool {
    registered == requested
        || match (loopback_path(registered), loopback_path(requested)) {
            (Some(registered), Some(requested)) => registered == requested,
            _ => false,
        }
}

/// Host and path of a loopback URI, without its port.
fn loopback_path(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = ["127.0.0.1", "[::1]"].into_iter().find(|host| authority.starts_with(host))?;
    let port = &authority[host.len()..];
    let is_port = port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok());
    (port.is_empty() || is_port).then_some((host, path))
}

fn approve(state: &mut State, call: &Call, request: &Request, who: (u64, u64)) -> Reply {
    let code = state.issue_code(call.environment, &request.client_id, &request.redirect_uri, who);
    if request.redirect_uri == OUT_OF_BAND {
        return Reply::redirect(&format!("/oauth/authorize/native?code={code}"));
    }
    redirect(request, &[("code", code.as_str())])
}

fn refuse(request: &Request, error: &str, description: &str) -> Reply {
    if request.redirect_uri == OUT_OF_BAND {
        return consent::error(StatusCode::BAD_REQUEST, description);
    }
    redirect(request, &[("error", error), ("error_description", description)])
}

fn redirect(request: &Request, members: &[(&str, &str)]) -> Reply {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(members);
    if let Some(state) = &request.state {
        query.append_pair("state", state);
    }
    let separator = if request.redirect_uri.contains('?') { '&' } else { '?' };
    Reply::redirect(&format!("{}{separator}{}", request.redirect_uri, query.finish()))
}
