//! Token strings: opaque to the simulator too, which looks every one of them up.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::Rng as _;
use rand::rngs::StdRng;
use sha2::{Digest as _, Sha256};

use crate::choices::TokenStyle;

/// Computes the lower-case hexadecimal SHA-256 of a token, which is how logs name it.
#[must_use]
pub fn fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

pub(crate) fn token(rng: &mut StdRng, style: TokenStyle, jwt_bytes: usize) -> String {
    match style {
        TokenStyle::Hex64 => hex(&random::<32>(rng)),
        TokenStyle::Base64Url43 => BASE64_URL_SAFE_NO_PAD.encode(random::<32>(rng)),
        TokenStyle::Jwt => jwt(rng, jwt_bytes),
    }
}

fn jwt(rng: &mut StdRng, length: usize) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES512"}"#);
    let signature = BASE64_URL_SAFE_NO_PAD.encode(random::<132>(rng));
    // The smallest payload still carries 32 random bytes.
    let payload_bytes = (length.saturating_sub(header.len() + signature.len() + 2) * 3 / 4).max(32);
    let mut payload = vec![0; payload_bytes];
    rng.fill_bytes(&mut payload);
    format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(payload))
}

fn random<const N: usize>(rng: &mut StdRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
