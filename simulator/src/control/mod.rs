//! The control API: the library's calls as JSON over HTTP.

mod requests;
mod table;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::reply::Reply;
use crate::shared::Shared;

const BODY_LIMIT: usize = 1 << 20;

/// What the caller did wrong, as the text of a 4xx.
#[derive(Debug)]
struct Mistake(StatusCode, String);

/// Answers one control request.
pub(crate) async fn answer(shared: &Shared, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let query: Vec<(String, String)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let answer = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => route(shared, &parts.method, parts.uri.path(), &query, &body.to_bytes()),
        Err(error) => Err(Mistake::bad(format!("the request body could not be read: {error}"))),
    };
    answer.unwrap_or_else(|Mistake(status, text)| Reply::json(status, &json!({"error": text})))
}

fn route(
    shared: &Shared,
    method: &Method,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Result<Reply, Mistake> {
    let segments: Vec<_> = path.trim_matches('/').split('/').collect();
    match (method, segments.as_slice()) {
        (&Method::GET, ["log"]) => requests::log(shared, query),
        (&Method::GET, ["knobs"]) => Ok(ok(&shared.state().knobs)),
        (&Method::PATCH, ["knobs"]) => requests::patch_knobs(shared, read(body)?),
        (&Method::GET, ["state"]) => Ok(requests::state(shared)),
        (&Method::POST, ["clients"]) => Ok(requests::register(shared, read(body)?)),
        (&Method::POST, ["clients", "suspend"]) => requests::suspend(shared, &read(body)?),
        (&Method::POST, ["secrets", "reset"]) => requests::reset_secret(shared, &read(body)?),
        (&Method::POST, ["grants"]) => requests::grant(shared, &read(body)?),
        (&Method::GET, ["grants", id]) => requests::grant_state(shared, id),
        (&Method::POST, ["users", "revoke"]) => Ok(requests::revoke_user(shared, &read(body)?)),
        (&Method::POST, ["companies", company, action]) => {
            requests::company(shared, company, action, read(body)?)
        }
        (&Method::POST, ["environments", "wipe"]) => Ok(requests::wipe(shared, &read(body)?)),
        (&Method::GET, ["faults"]) => Ok(ok(&requests::faults(shared))),
        (&Method::POST, ["faults"]) => Ok(requests::inject(shared, read(body)?)),
        (&Method::DELETE, ["faults"]) => {
            shared.state().faults.clear();
            Ok(ok(&json!({})))
        }
        (&Method::POST, ["hold"]) => Ok(requests::hold(shared, &read(body)?)),
        _ => Err(Mistake(StatusCode::NOT_FOUND, format!("there is no {method} {path}; see the README"))),
    }
}

fn ok(body: &impl serde::Serialize) -> Reply {
    Reply::json(StatusCode::OK, body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Mistake> {
    serde_json::from_slice(body)
        .map_err(|error| Mistake::bad(format!("the body is not as expected: {error}")))
}

impl Mistake {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn unknown(what: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
}
