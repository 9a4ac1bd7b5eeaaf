//! Tenants.

use async_trait::async_trait;

use super::{Memory, Tables, is_at};
use crate::{
    model::{Tenant, TenantName},
    store::{KeyScope, Page, StoreError, Tenants, Written},
};

#[async_trait]
impl Tenants for Memory {
    async fn create_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        if tables.tenants.values().any(|other| other.name == tenant.name || other.uid == tenant.uid) {
            return Ok(Written::Exists);
        }
        tables.tenants.insert(tenant.name.clone(), tenant.clone());
        Ok(Written::Done)
    }

    async fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError> {
        Ok(self.tables().tenants.get(name).cloned())
    }

    async fn tenants(&self, after: Option<&str>, limit: u32) -> Result<Page<Tenant>, StoreError> {
        let tables = self.tables();
        let tenants = tables.tenants.values().map(|tenant| (tenant.name.tenant.to_string(), tenant));
        Ok(page(tenants, after, limit))
    }

    async fn update_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let Some(stored) = tables.tenants.get_mut(&tenant.name).filter(|stored| stored.uid == tenant.uid)
        else {
            return Ok(Written::Absent);
        };
        if stored.meta.revision + 1 != tenant.meta.revision {
            return Ok(Written::Stale);
        }
        stored.display_name.clone_from(&tenant.display_name);
        stored.meta.revision = tenant.meta.revision;
        stored.meta.updated_at = tenant.meta.updated_at;
        Ok(Written::Done)
    }

    async fn delete_tenant(&self, name: &TenantName, revision: Option<u64>) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let Some(stored) = tables.tenants.get(name) else { return Ok(Written::Absent) };
        if !is_at(stored.meta.revision, revision) {
            return Ok(Written::Stale);
        }
        let uid = stored.uid;
        if tables.tenant_in_use(name) {
            return Ok(Written::InUse);
        }
        tables.tenants.remove(name);
        tables.keys.retain(|key| key.scope != KeyScope::Tenant(uid));
        Ok(Written::Done)
    }
}

impl Tables {
    fn tenant_in_use(&self, name: &TenantName) -> bool {
        self.connections.keys().any(|connection| connection.tenant == *name)
            || self.clients.keys().any(|client| client.tenant.as_ref() == Some(name))
    }
}

/// One page of resources in the order of their ids.
pub(super) fn page<'a, T: Clone + 'a>(
    resources: impl Iterator<Item = (String, &'a T)>,
    after: Option<&str>,
    limit: u32,
) -> Page<T> {
    let mut rest = resources.filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
    let items = rest.by_ref().take(limit as usize).map(|(_, resource)| resource.clone()).collect();
    Page { items, more: rest.next().is_some() }
}
