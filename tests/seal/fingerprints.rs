//! Keyed hashes.

use std::sync::Arc;

use token_broker::seal::endpoint_binding;

use crate::support::{KeyFile, Table};

#[tokio::test]
async fn equal_tokens_have_equal_fingerprints_in_one_environment() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let ours = file.keyring(&table, "test").fingerprinter().await.unwrap();
    let again = file.keyring(&table, "test").fingerprinter().await.unwrap();
    assert_eq!(ours.fingerprint("token"), again.fingerprint(b"token"));
    assert_ne!(ours.fingerprint("token"), ours.fingerprint("tokem"));

    let theirs = file.keyring(&Arc::new(Table::default()), "other").fingerprinter().await.unwrap();
    assert_ne!(ours.fingerprint("token"), theirs.fingerprint("token"));
}

#[tokio::test]
async fn a_newer_key_changes_no_fingerprint() {
    let (file, table, other) = (KeyFile::new(), Arc::new(Table::default()), Arc::new(Table::default()));
    let before = file.keyring(&table, "test").fingerprinter().await.unwrap();
    file.keyring(&other, "test").fingerprinter().await.unwrap();
    table.rows.lock().unwrap().append(&mut other.rows.lock().unwrap());
    let after = file.keyring(&table, "test").fingerprinter().await.unwrap();
    assert_eq!(before.fingerprint("token"), after.fingerprint("token"));
}

#[test]
fn an_endpoint_binding_tells_apart_what_differs() {
    let binding = endpoint_binding("https://login.example/token", "client");
    assert_eq!(binding, endpoint_binding("https://login.example/token", "client"));
    assert_ne!(binding, endpoint_binding("https://login.example/tokenc", "lient"));
    assert_ne!(binding, endpoint_binding("https://login.example/token", "other"));
}
