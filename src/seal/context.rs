//! What a sealed value is bound to (the AAD), encoded so that no two contexts are alike.

use uuid::Uuid;

use crate::store::KeyScope;

/// Where a sealed value belongs. It opens nowhere else: the attack this stops is a ciphertext moved to another
/// row, column or generation by someone who can write to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The immutable uid of the row's resource.
    pub uid: Uuid,
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The generation or version; 0 where there is only one.
    pub generation: u64,
}

/// The context of a value under a data key.
pub(super) fn value(environment: &str, key: Uuid, place: &Place) -> Vec<u8> {
    encode(&[
        b"token-broker/value",
        environment.as_bytes(),
        key.as_bytes(),
        place.uid.as_bytes(),
        place.table.as_bytes(),
        place.column.as_bytes(),
        &place.generation.to_be_bytes(),
    ])
}

/// The context of a data key under a key-encryption key.
pub(super) fn data_key(environment: &str, scope: &KeyScope, key: Uuid, wrapped_by: &str) -> Vec<u8> {
    let (kind, uid): (&[u8], &[u8]) = match scope {
        KeyScope::Tenant(tenant) => (b"tenant", tenant.0.as_bytes()),
        KeyScope::Platform => (b"platform", &[]),
        KeyScope::Fingerprint => (b"fingerprint", &[]),
    };
    encode(&[
        b"token-broker/data-key",
        environment.as_bytes(),
        kind,
        uid,
        key.as_bytes(),
        wrapped_by.as_bytes(),
    ])
}

/// Each field with its length before it: ("ab", "c") is not ("a", "bc").
pub(super) fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(fields.iter().map(|field| 8 + field.len()).sum());
    for field in fields {
        encoded.extend_from_slice(&(field.len() as u64).to_be_bytes());
        encoded.extend_from_slice(field);
    }
    encoded
}
