//! Envelope encryption.
#![expect(clippy::unwrap_used, reason = "a test")]

mod binding;
mod fingerprints;
mod format;
mod key_file;
mod keyring;
mod support;
