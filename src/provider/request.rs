//! Token requests: RFC 6749 sections 4.4.2 and 6.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::{ClientAuth, Profile};

/// What an OAuth client proves itself with.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: SecretString,
}

/// A request to a token endpoint. A refresh token is in the body and nowhere else: a URL or header would be
/// logged, and would leave before the body can refuse.
pub struct TokenRequest {
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) authorization: Option<HeaderValue>,
}

impl TokenRequest {
    /// Presents `refresh_token`.
    #[must_use]
    pub fn refresh(profile: &Profile, client: &ClientCredentials, refresh_token: &SecretString) -> Self {
        let refresh_token = refresh_token.expose_secret();
        Self::new(profile, client, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
    }

    /// Asks for a token of the OAuth client's own; spends nothing.
    #[must_use]
    pub fn client_credentials(profile: &Profile, client: &ClientCredentials) -> Self {
        Self::new(profile, client, &[("grant_type", "client_credentials")])
    }

    fn new(profile: &Profile, client: &ClientCredentials, parameters: &[(&str, &str)]) -> Self {
        let secret = client.secret.expose_secret();
        let own = [("client_id", client.id.as_str()), ("client_secret", secret)];
        // Never both ways: RFC 6749 section 2.3 forbids it, and Doorkeeper 6 refuses it.
        match profile.client_auth {
            ClientAuth::Body => Self { body: form(&[parameters, &own].concat()), authorization: None },
            ClientAuth::Basic => {
                Self { body: form(parameters), authorization: Some(basic(&client.id, secret)) }
            }
        }
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRequest({} bytes)", self.body.len())
    }
}

/// Encodes into a buffer that is large enough from the start: one that grew would leave copies behind.
fn form(parameters: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let size = parameters.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(size));
    for (name, value) in parameters {
        if !body.is_empty() {
            body.push(b'&');
        }
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        byte_serialize(value.as_bytes()).for_each(|part| body.extend_from_slice(part.as_bytes()));
    }
    body
}

/// RFC 6749 section 2.3.1: both halves are form-encoded first.
fn basic(id: &str, secret: &str) -> HeaderValue {
    let mut pair = Zeroizing::new(String::with_capacity(3 * (id.len() + secret.len()) + 1));
    pair.extend(byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.as_bytes()));
    let header = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut header = HeaderValue::from_str(&header).expect("base64 is visible ASCII");
    header.set_sensitive(true);
    header
}
