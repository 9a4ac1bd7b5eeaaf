//! Keyrings over a few keys in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use token_broker::{
    seal::{DataKeySet, KeyEncryptionKeys, Keyring, Place},
    store::{DataKeys, KeyScope, StoreError, WrappedKey, Written},
};
use uuid::Uuid;

pub(crate) const PLACE: Place =
    Place { uid: Uuid::from_u128(7), table: "grants", column: "refresh_token", generation: 3 };

/// The data keys table, and nothing else of a store.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: Mutex<Vec<WrappedKey>>,
    /// What a faster replica adds just before our own first key.
    pub(crate) faster: Mutex<Option<WrappedKey>>,
}

#[async_trait]
impl DataKeys for Table {
    async fn data_keys(&self, scope: &KeyScope) -> Result<Vec<WrappedKey>, StoreError> {
        Ok(self.rows.lock().unwrap().iter().filter(|row| row.scope == *scope).cloned().collect())
    }

    async fn add_first_key(&self, key: &WrappedKey) -> Result<Written, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        rows.extend(self.faster.lock().unwrap().take());
        if rows.iter().any(|row| row.scope == key.scope) {
            return Ok(Written::Exists);
        }
        rows.push(key.clone());
        Ok(Written::Done)
    }
}

/// The same keys as often as they are needed.
pub(crate) struct KeyFile(tempfile::TempDir);

impl KeyFile {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        KeyEncryptionKeys::generate().save_new(&dir.path().join("keys")).unwrap();
        Self(dir)
    }

    pub(crate) fn keks(&self) -> KeyEncryptionKeys {
        KeyEncryptionKeys::load(&self.path()).unwrap()
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.0.path().join("keys")
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    /// Replaces the text, keeping the mode.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    pub(crate) fn keyring(&self, table: &Arc<Table>, environment: &str) -> Keyring {
        Keyring::new(self.keks(), Arc::clone(table) as Arc<dyn DataKeys>, environment.to_owned())
    }
}

/// The platform's data keys in a fresh environment.
pub(crate) async fn keys() -> Arc<DataKeySet> {
    let table = Arc::new(Table::default());
    KeyFile::new().keyring(&table, "test").keys(&KeyScope::Platform).await.unwrap()
}
