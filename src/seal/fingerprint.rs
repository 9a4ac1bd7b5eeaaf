//! Keyed hashes: equality of tokens, and of the endpoint a token was received from, without the token.

use hkdf::Hkdf;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::{context::encode, data_keys::DataKeySet, key::Key};
use crate::model::Fingerprint;

/// Makes [`Fingerprint`]s under the environment's fingerprint key.
#[derive(Debug)]
pub struct Fingerprinter(Key);

impl Fingerprinter {
    /// From the keys of [`crate::store::KeyScope::Fingerprint`]. Always the oldest one: under another, a token
    /// imported twice would not be noticed.
    pub(super) fn new(keys: &DataKeySet) -> Self {
        let mut okm = zeroize::Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, keys.oldest().expose())
            .expand(b"token-broker/fingerprint", okm.as_mut_slice())
            .expect("32 bytes are far below HKDF's limit");
        Self(Key::from_slice(okm.as_slice()).expect("32 bytes"))
    }

    /// HMAC-SHA-256 of a token.
    pub fn fingerprint(&self, token: impl AsRef<[u8]>) -> Fingerprint {
        let mut mac = self.0.mac();
        mac.update(token.as_ref());
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

/// What a refresh token is bound to: it may be sent to this token endpoint, for this client id, and nowhere
/// else. The attack this stops: an administrator who points a profile at a host of theirs.
#[must_use]
pub fn endpoint_binding(token_endpoint: &str, client_id: &str) -> [u8; 32] {
    Sha256::digest(encode(&[b"token-broker/endpoint", token_endpoint.as_bytes(), client_id.as_bytes()]))
        .into()
}
