//! Envelope encryption: a key-encryption key (a file) wraps the data keys (per tenant, in the store), a data key
//! seals values, each bound to its place.
//!
//! ```text
//! value blob    version 1 | data key id 16 | salt 32 | commitment 32 | ciphertext and tag
//! wrapped key   version 1 |                  salt 32 | commitment 32 | ciphertext and tag
//! ```

mod context;
mod data_keys;
mod envelope;
mod fingerprint;
mod key;
mod key_file;
mod keyring;
mod wrap;

pub use context::Place;
pub use data_keys::{DataKeySet, OpenError, data_key_id};
pub use fingerprint::{Fingerprinter, endpoint_binding};
pub use key_file::{KeyEncryptionKeys, KeyFileError};
pub use keyring::{Keyring, SealError};
