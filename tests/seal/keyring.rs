//! Data keys: made once, found again, rotated, refused.

use std::sync::Arc;

use token_broker::{
    model::TenantUid,
    seal::{KeyEncryptionKeys, Keyring, SealError},
    store::{DataKeys, KeyScope},
};
use uuid::Uuid;

use crate::support::{KeyFile, PLACE, Table};

fn tenant() -> KeyScope {
    KeyScope::Tenant(TenantUid(Uuid::from_u128(1)))
}

#[tokio::test]
async fn the_first_key_is_made_once() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let first = file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    let again = file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    assert_eq!(table.rows.lock().unwrap().len(), 1);
    let sealed = first.seal(&PLACE, b"token", &mut rand::rng());
    assert_eq!(again.open(&PLACE, &sealed).unwrap().as_slice(), b"token");
}

#[tokio::test]
async fn a_faster_replica_wins() {
    let (file, theirs, ours) = (KeyFile::new(), Arc::new(Table::default()), Arc::new(Table::default()));
    let winner = file.keyring(&theirs, "test").keys(&tenant()).await.unwrap();
    *ours.faster.lock().unwrap() = theirs.rows.lock().unwrap().pop();
    let keys = file.keyring(&ours, "test").keys(&tenant()).await.unwrap();
    assert!(keys.ids().eq(winner.ids()));
}

#[tokio::test]
async fn keys_are_read_once() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let keyring = file.keyring(&table, "test");
    assert!(keyring.cached(&tenant()).is_none());
    keyring.keys(&tenant()).await.unwrap();
    table.rows.lock().unwrap().clear();
    keyring.keys(&tenant()).await.unwrap();
    assert!(table.rows.lock().unwrap().is_empty());

    keyring.forget(&tenant());
    assert!(keyring.cached(&tenant()).is_none());
}

#[tokio::test]
async fn the_newest_key_seals_and_all_open() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let old = file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    let sealed_before = old.seal(&PLACE, b"before", &mut rand::rng());

    let elsewhere = Arc::new(Table::default());
    let new = file.keyring(&elsewhere, "test").keys(&tenant()).await.unwrap();
    table.rows.lock().unwrap().append(&mut elsewhere.rows.lock().unwrap());

    let both = file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    assert_eq!(both.open(&PLACE, &sealed_before).unwrap().as_slice(), b"before");
    let sealed_after = both.seal(&PLACE, b"after", &mut rand::rng());
    assert_eq!(new.open(&PLACE, &sealed_after).unwrap().as_slice(), b"after");
}

#[tokio::test]
async fn a_rotated_key_file_opens_the_old_and_wraps_with_the_new() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let old = file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    let sealed = old.seal(&PLACE, b"token", &mut rand::rng());

    let newer = KeyFile::new();
    file.write(&(newer.text() + &file.text()));
    let keyring = file.keyring(&table, "test");
    assert_eq!(keyring.keys(&tenant()).await.unwrap().open(&PLACE, &sealed).unwrap().as_slice(), b"token");
    keyring.keys(&KeyScope::Platform).await.unwrap();
    let rows = table.rows.lock().unwrap();
    assert_eq!(rows.last().unwrap().wrapped_by, newer.keks().ids().next().unwrap());
}

#[tokio::test]
async fn a_missing_key_is_named_at_start() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    file.keyring(&table, "test").verify().await.unwrap();
    let missing = file.keks().ids().next().unwrap().to_owned();

    let error = KeyFile::new().keyring(&table, "test").verify().await.unwrap_err();
    assert!(matches!(&error, SealError::UnknownKeyEncryptionKey { id, .. } if *id == missing));
    assert!(error.to_string().contains(&missing));
}

#[tokio::test]
async fn another_key_under_the_same_id_is_named_at_start() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    file.keyring(&table, "test").verify().await.unwrap();

    let (ours, other) = (file.keks(), KeyFile::new());
    let id = ours.ids().next().unwrap();
    other.write(&other.text().replace(other.keks().ids().next().unwrap(), id));
    let error = other.keyring(&table, "test").verify().await.unwrap_err();
    assert!(matches!(&error, SealError::DifferentKeyEncryptionKey { id: named, .. } if named == id));
}

#[tokio::test]
async fn a_data_key_belongs_to_its_scope() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    table.rows.lock().unwrap()[0].scope = KeyScope::Platform;
    let error = file.keyring(&table, "test").keys(&KeyScope::Platform).await.unwrap_err();
    assert!(matches!(error, SealError::ForeignDataKey { .. }), "{error}");
}

#[tokio::test]
async fn a_torn_data_key_never_panics() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    file.keyring(&table, "test").keys(&tenant()).await.unwrap();
    let whole = table.rows.lock().unwrap()[0].wrapped.clone();
    for length in 0..whole.len() {
        table.rows.lock().unwrap()[0].wrapped = whole[..length].to_vec();
        file.keyring(&table, "test").keys(&tenant()).await.unwrap_err();
    }
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let keyring = file.keyring(&table, "test");
    let keys = keyring.keys(&tenant()).await.unwrap();
    let fingerprinter = keyring.fingerprinter().await.unwrap();
    let printed = format!("{:?} {keyring:?} {keys:?} {fingerprinter:?}", file.keks());
    let secret = file.text().lines().last().unwrap().split_once(' ').unwrap().1.to_owned();
    assert!(!printed.contains(&secret[..8]));
    assert!(printed.contains("Key(..)"));
    // No array of bytes either.
    assert!(!printed.contains(", 1"), "{printed}");
}

#[test]
fn a_keyring_is_made_from_a_whole_store() {
    fn from_store(store: Arc<dyn token_broker::store::Store>) -> Keyring {
        Keyring::new(KeyEncryptionKeys::generate(), store, "test".to_owned())
    }
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<Keyring>();
    let _ = (from_store as fn(_) -> _, |table: Arc<Table>| table as Arc<dyn DataKeys>);
}
