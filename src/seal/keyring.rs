//! The data keys of every scope, unwrapped once and kept in memory.

use std::{fmt, sync::Arc};

use papaya::HashMap;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use uuid::Uuid;

use super::{data_keys::DataKeySet, fingerprint::Fingerprinter, key_file::KeyEncryptionKeys, wrap};
use crate::{
    clock::Clock,
    store::{DataKeys, KeyScope, StoreError, Written},
};

/// Hands out the data keys of a scope; makes the first one where there is none.
pub struct Keyring {
    keks: KeyEncryptionKeys,
    store: Arc<dyn DataKeys>,
    environment: String,
    unwrapped: HashMap<KeyScope, Arc<DataKeySet>>,
}

/// Why there are no data keys.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The store could not be asked.
    #[error("the data keys could not be read or written")]
    Store(#[from] StoreError),
    /// The key file lacks a key.
    #[error(
        "the data key {data_key} is wrapped by the key-encryption key `{id}`, which is not in the key file"
    )]
    UnknownKeyEncryptionKey {
        /// Which key is missing.
        id: String,
        /// What it wraps.
        data_key: Uuid,
    },
    /// The key file has another key under a known id.
    #[error(
        "the key-encryption key `{id}` in the key file is not the one that wrapped the data key {data_key}"
    )]
    DifferentKeyEncryptionKey {
        /// The id they share.
        id: String,
        /// What the right one wraps.
        data_key: Uuid,
    },
    /// The key-encryption key is right, what it is bound to is not.
    #[error(
        "the data key {data_key}, wrapped by `{id}`, was not made for the environment `{environment}`, or was altered"
    )]
    ForeignDataKey {
        /// Which data key.
        data_key: Uuid,
        /// What wraps it.
        id: String,
        /// This broker's environment.
        environment: String,
    },
    /// Not a wrapped key.
    #[error("the data key {data_key} in the store is malformed")]
    Malformed {
        /// Which data key.
        data_key: Uuid,
    },
    /// The tenant is gone, and its keys with it.
    #[error("the owner of the data keys does not exist")]
    OwnerAbsent,
}

impl Keyring {
    /// A keyring that has read nothing yet. `environment` is part of everything sealed: what production sealed,
    /// a staging clone cannot open.
    #[must_use]
    pub fn new(keks: KeyEncryptionKeys, store: Arc<dyn DataKeys>, environment: String) -> Self {
        Self { keks, store, environment, unwrapped: HashMap::new() }
    }

    /// The data keys of a scope; from memory after the first time.
    pub async fn keys(&self, scope: &KeyScope) -> Result<Arc<DataKeySet>, SealError> {
        if let Some(keys) = self.cached(scope) {
            return Ok(keys);
        }
        if let Some(keys) = self.load(scope).await? {
            return Ok(keys);
        }
        let first =
            wrap::create(&self.keks, &self.environment, scope, Clock::System.now(), &mut UnwrapErr(SysRng));
        match self.store.add_first_key(&first).await? {
            // `Exists`: another replica was faster; its key is the key.
            Written::Done | Written::Exists => self.load(scope).await?.ok_or(SealError::OwnerAbsent),
            Written::Absent | Written::Stale | Written::InUse => Err(SealError::OwnerAbsent),
        }
    }

    /// The data keys of a scope, if they are in memory: what may be asked where nothing may wait.
    #[must_use]
    pub fn cached(&self, scope: &KeyScope) -> Option<Arc<DataKeySet>> {
        self.unwrapped.pin().get(scope).cloned()
    }

    /// Drops the keys of a scope from memory: its owner was deleted, or its keys changed in the store.
    pub fn forget(&self, scope: &KeyScope) {
        self.unwrapped.pin().remove(scope);
    }

    /// What makes the fingerprints of this environment.
    pub async fn fingerprinter(&self) -> Result<Fingerprinter, SealError> {
        Ok(Fingerprinter::new(&*self.keys(&KeyScope::Fingerprint).await?))
    }

    /// Proves at start that the key file is the right one. The fingerprint key is made at the first start, so
    /// that there is always something to prove it with.
    pub async fn verify(&self) -> Result<(), SealError> {
        self.keys(&KeyScope::Fingerprint).await?;
        self.load(&KeyScope::Platform).await?;
        Ok(())
    }

    /// `None`: the scope has no keys yet.
    async fn load(&self, scope: &KeyScope) -> Result<Option<Arc<DataKeySet>>, SealError> {
        let wrapped = self.store.data_keys(scope).await?;
        let keys = wrapped
            .iter()
            .map(|key| wrap::unwrap(&self.keks, &self.environment, key))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(keys) = DataKeySet::new(self.environment.clone(), keys).map(Arc::new) else {
            return Ok(None);
        };
        self.unwrapped.pin().insert(scope.clone(), Arc::clone(&keys));
        Ok(Some(keys))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("environment", &self.environment).finish_non_exhaustive()
    }
}
