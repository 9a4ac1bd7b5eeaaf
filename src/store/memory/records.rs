//! Data keys and the audit table.

use async_trait::async_trait;

use super::Memory;
use crate::store::{Audit, AuditEntry, DataKeys, KeyScope, StoreError, WrappedKey, Written};

#[async_trait]
impl DataKeys for Memory {
    async fn data_keys(&self, scope: &KeyScope) -> Result<Vec<WrappedKey>, StoreError> {
        Ok(self.tables().keys.iter().filter(|key| key.scope == *scope).cloned().collect())
    }

    async fn add_first_key(&self, key: &WrappedKey) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        if let KeyScope::Tenant(uid) = key.scope
            && !tables.tenants.values().any(|tenant| tenant.uid == uid)
        {
            return Ok(Written::Absent);
        }
        if tables.keys.iter().any(|other| other.scope == key.scope || other.id == key.id) {
            return Ok(Written::Exists);
        }
        tables.keys.push(key.clone());
        Ok(Written::Done)
    }
}

#[async_trait]
impl Audit for Memory {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.tables().audit.push(entry.clone());
        Ok(())
    }

    async fn entries(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self.tables().audit.iter().rev().take(limit as usize).cloned().collect())
    }
}
