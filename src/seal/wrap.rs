//! Data keys under key-encryption keys.

use rand::CryptoRng;
use uuid::Uuid;

use super::{
    context,
    data_keys::{DataKey, VERSION},
    envelope::{self, Failure},
    key::Key,
    key_file::KeyEncryptionKeys,
    keyring::SealError,
};
use crate::{
    model::Timestamp,
    store::{KeyScope, WrappedKey},
};

/// Makes a data key under the primary key-encryption key.
pub(super) fn create(
    keks: &KeyEncryptionKeys,
    environment: &str,
    scope: &KeyScope,
    now: Timestamp,
    rng: &mut (impl CryptoRng + ?Sized),
) -> WrappedKey {
    let id = Uuid::new_v4();
    let (wrapped_by, kek) = keks.primary();
    let context = context::data_key(environment, scope, id, wrapped_by);
    let mut wrapped = vec![VERSION];
    wrapped.extend(envelope::seal(kek, &context, Key::generate(rng).expose(), rng));
    WrappedKey { id, scope: scope.clone(), wrapped_by: wrapped_by.to_owned(), wrapped, created_at: now }
}

/// Unwraps a data key with the key-encryption key that it names, never by trial.
pub(super) fn unwrap(
    keks: &KeyEncryptionKeys,
    environment: &str,
    key: &WrappedKey,
) -> Result<DataKey, SealError> {
    let kek_id = || key.wrapped_by.clone();
    let malformed = || SealError::Malformed { data_key: key.id };
    let kek = keks
        .get(&key.wrapped_by)
        .ok_or_else(|| SealError::UnknownKeyEncryptionKey { id: kek_id(), data_key: key.id })?;
    let context = context::data_key(environment, &key.scope, key.id, &key.wrapped_by);
    let [VERSION, record @ ..] = key.wrapped.as_slice() else {
        return Err(malformed());
    };
    let plain = envelope::open(kek, &context, record).map_err(|failure| match failure {
        Failure::Malformed => malformed(),
        Failure::OtherKey => SealError::DifferentKeyEncryptionKey { id: kek_id(), data_key: key.id },
        Failure::Altered => {
            SealError::ForeignDataKey { data_key: key.id, id: kek_id(), environment: environment.to_owned() }
        }
    })?;
    Ok(DataKey { id: key.id, key: Key::from_slice(&plain).ok_or_else(malformed)? })
}
