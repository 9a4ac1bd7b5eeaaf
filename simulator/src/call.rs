//! A request, read completely and sorted by what it is for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyDataStream, BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use crate::config::Environment;

const BODY_LIMIT: usize = 1 << 20;

/// Which of an environment's two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Host {
    Login,
    Api,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/oauth/authorize` and its pages.
    Authorize,
    /// `POST /oauth/token`.
    Token,
    /// `GET /oauth/token/info`.
    TokenInfo,
    /// `POST /oauth/revoke`.
    Revoke,
    /// Anything on an API host.
    Api,
    /// Nothing that the login host has.
    Unknown,
}

/// Form-like parameters, or why they could not be read.
pub(crate) type Params = Result<BTreeMap<String, String>, String>;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) environment: Environment,
    pub(crate) endpoint: Endpoint,
    pub(crate) remote: SocketAddr,
    pub(crate) method: Method,
    /// Without trailing slash.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) params: Params,
}

impl Endpoint {
    /// Sorts a path; `oauth` says whether the host has the OAuth endpoints.
    pub(crate) fn of(host: Host, oauth: bool, path: &str) -> Self {
        match (oauth, path.trim_end_matches('/')) {
            (true, "/oauth/token") => Self::Token,
            (true, "/oauth/token/info") => Self::TokenInfo,
            (true, "/oauth/revoke") => Self::Revoke,
            (true, "/oauth/authorize" | "/oauth/authorize/native") => Self::Authorize,
            _ if host == Host::Api => Self::Api,
            _ => Self::Unknown,
        }
    }
}

impl Call {
    pub(crate) async fn read(
        (environment, endpoint): (Environment, Endpoint),
        remote: SocketAddr,
        parts: Parts,
        body: Incoming,
    ) -> Self {
        let collected = Limited::new(body, BODY_LIMIT).collect().await;
        let (body, params) = match collected {
            Ok(body) => {
                let body = body.to_bytes();
                let params = params(&parts.headers, body.clone()).await;
                (body, params)
            }
            Err(error) => (Bytes::new(), Err(format!("the request body could not be read: {error}"))),
        };
        let query = pairs(parts.uri.query().unwrap_or_default().as_bytes());
        let path = parts.uri.path().trim_end_matches('/').to_owned();
        let (method, headers) = (parts.method, parts.headers);
        Self { environment, endpoint, remote, method, path, query, headers, body, params }
    }

    /// A non-empty body parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.as_ref().ok()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Client id and secret from the body, or else from HTTP Basic where that is accepted.
    pub(crate) fn credentials(&self, basic_accepted: bool) -> Option<(String, String)> {
        if let (Some(id), Some(secret)) = (self.param("client_id"), self.param("client_secret")) {
            return Some((id.to_owned(), secret.to_owned()));
        }
        let (scheme, encoded) = self.header(header::AUTHORIZATION.as_str())?.split_once(' ')?;
        let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| basic_accepted)?;
        let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| (id.to_owned(), secret.to_owned()))
    }
}

/// The three encodings seen in Procore's own material; a body of no type counts as a form.
async fn params(headers: &HeaderMap, body: Bytes) -> Params {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => json(&body),
        "multipart/form-data" => multipart(content_type, body).await.map_err(|error| error.to_string()),
        _ => Ok(pairs(&body)),
    }
}

fn json(body: &[u8]) -> Params {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(members.into_iter().map(|(name, value)| (name, text(value))).collect())
}

async fn multipart(content_type: &str, body: Bytes) -> multer::Result<BTreeMap<String, String>> {
    let boundary = multer::parse_boundary(content_type)?;
    let mut form = multer::Multipart::new(BodyDataStream::new(Full::new(body)), boundary);
    let mut params = BTreeMap::new();
    while let Some(field) = form.next_field().await? {
        if let Some(name) = field.name().map(str::to_owned) {
            params.insert(name, field.text().await?);
        }
    }
    Ok(params)
}

fn pairs(encoded: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(encoded).into_owned().collect()
}
