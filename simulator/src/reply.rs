//! An HTTP answer, whole, before anything decides how it reaches the client.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers: vec![content_type], body: body.into() }
    }

    pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("answers have only string keys");
        Self::new(status, "application/json; charset=utf-8", body)
    }

    pub(crate) fn html(status: StatusCode, body: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::html(StatusCode::FOUND, "<p>You are being redirected.</p>".to_owned())
            .with(header::LOCATION, location)
    }

    pub(crate) fn not_found() -> Self {
        Self::json(StatusCode::NOT_FOUND, &serde_json::json!({"errors": ["Not Found"]}))
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::json(StatusCode::METHOD_NOT_ALLOWED, &serde_json::json!({"errors": ["Method Not Allowed"]}))
    }

    /// Adds a header; a value that HTTP forbids is replaced by an empty one.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""));
        self.headers.push((name, value));
        self
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }

    /// Status line and headers as bytes, closed by a blank line; `framing` says how the body is delimited.
    pub(crate) fn head(&self, framing: &str) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("Unknown");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16()).into_bytes();
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(framing.as_bytes());
        head.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
        head
    }

    pub(crate) fn to_wire(&self) -> Vec<u8> {
        let mut wire = self.head(&format!("content-length: {}", self.body.len()));
        wire.extend_from_slice(&self.body);
        wire
    }
}
