//! AES-256-GCM under a key of its own for every record, committed to, bound to a context.
//!
//! A random 96-bit nonce allows 2^32 messages per key (SP 800-38D) and replicas cannot share a counter. Here
//! HKDF-SHA-256 derives key and nonce from the long-lived key and a 256-bit salt, so that limit is never near.

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use hmac::Mac as _;
use rand::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{context::encode, key::Key};

const SALT: usize = 32;
const COMMITMENT: usize = 32;
const TAG: usize = 16;

/// What a sealed record adds to its plaintext.
pub(super) const OVERHEAD: usize = SALT + COMMITMENT + TAG;

/// Why a record did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Too short to be one.
    Malformed,
    /// Sealed under another key.
    OtherKey,
    /// Sealed under this key, for another context; or altered since.
    Altered,
}

/// Seals `plaintext`: salt, commitment, ciphertext and tag.
pub(super) fn seal(
    key: &Key,
    context: &[u8],
    plaintext: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Vec<u8> {
    let salt = hedged_salt(key, context, plaintext, rng);
    let record = RecordKey::derive(key, &salt);
    let ciphertext = record
        .cipher()
        .encrypt(&record.nonce(), Payload { msg: plaintext, aad: context })
        .expect("what is sealed is shorter than 64 GiB");
    [&salt[..], record.commitment(), &ciphertext].concat()
}

/// Opens what [`seal`] made.
pub(super) fn open(key: &Key, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if sealed.len() < OVERHEAD {
        return Err(Failure::Malformed);
    }
    let (salt, rest) = sealed.split_first_chunk::<SALT>().ok_or(Failure::Malformed)?;
    let (commitment, ciphertext) = rest.split_first_chunk::<COMMITMENT>().ok_or(Failure::Malformed)?;
    let record = RecordKey::derive(key, salt);
    // GCM does not commit to its key: one ciphertext can be made that opens under two. This tag stops it.
    if !bool::from(record.commitment().ct_eq(commitment)) {
        return Err(Failure::OtherKey);
    }
    record
        .cipher()
        .decrypt(&record.nonce(), Payload { msg: ciphertext, aad: context })
        .map(Zeroizing::new)
        .map_err(|_| Failure::Altered)
}

/// Random, and hedged: a virtual machine cloned with its random state repeats the randomness, but not the salt,
/// unless it seals the same plaintext for the same place.
fn hedged_salt(
    key: &Key,
    context: &[u8],
    plaintext: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> [u8; SALT] {
    let mut random = [0; SALT];
    rng.fill_bytes(&mut random);
    let mut mac = key.mac();
    mac.update(&encode(&[b"token-broker/salt", &random, context]));
    mac.update(plaintext);
    mac.finalize().into_bytes().into()
}

/// Key, nonce and commitment of one record.
struct RecordKey(Zeroizing<[u8; 76]>);

impl RecordKey {
    fn derive(key: &Key, salt: &[u8; SALT]) -> Self {
        let mut okm = Zeroizing::new([0; 76]);
        Hkdf::<Sha256>::new(Some(salt), key.expose())
            .expand(b"token-broker/record", okm.as_mut_slice())
            .expect("76 bytes are far below HKDF's limit");
        Self(okm)
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(&self.0[..32]).expect("32 bytes")
    }

    fn nonce(&self) -> aes_gcm::aead::Nonce<Aes256Gcm> {
        Nonce::try_from(&self.0[32..44]).expect("12 bytes")
    }

    fn commitment(&self) -> &[u8] {
        &self.0[44..]
    }
}
