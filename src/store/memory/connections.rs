//! Connections and the tombstones that they leave.

use async_trait::async_trait;

use super::{Memory, is_at, tenants::page};
use crate::{
    model::{Connection, ConnectionName, Generation, Ledger, TenantName, Timestamp},
    store::{Connections, Page, StoreError, Written},
};

#[async_trait]
impl Connections for Memory {
    async fn create_connection(&self, connection: &Connection) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let taken = tables.connections.contains_key(&connection.name)
            || tables.living(connection.uid).is_some()
            || tables.tombstones.contains_key(&connection.uid);
        if taken {
            return Ok(Written::Exists);
        }
        let tenant = tables.tenants.get(&connection.name.tenant);
        if tenant.is_none_or(|tenant| tenant.uid != connection.tenant_uid)
            || !tables.clients.contains_key(&connection.oauth_client)
        {
            return Ok(Written::Absent);
        }
        tables.connections.insert(connection.name.clone(), connection.clone());
        Ok(Written::Done)
    }

    async fn generation_floor(&self, name: &ConnectionName) -> Result<Generation, StoreError> {
        let tables = self.tables();
        let ended =
            tables.tombstones.values().filter(|(of, _)| of == name).map(|(_, generation)| *generation);
        Ok(ended.max().unwrap_or_default())
    }

    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>, StoreError> {
        Ok(self.tables().connections.get(name).cloned())
    }

    async fn connections(
        &self,
        tenant: &TenantName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError> {
        let tables = self.tables();
        let connections = tables.connections.values().filter(|connection| connection.name.tenant == *tenant);
        let connections = connections.map(|connection| (connection.name.connection.to_string(), connection));
        Ok(page(connections, after, limit))
    }

    async fn update_connection(&self, connection: &Connection) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let stored = tables.connections.get_mut(&connection.name);
        let Some(stored) = stored.filter(|stored| stored.uid == connection.uid) else {
            return Ok(Written::Absent);
        };
        if stored.meta.revision + 1 != connection.meta.revision {
            return Ok(Written::Stale);
        }
        stored.display_name.clone_from(&connection.display_name);
        stored.max_min_ttl = connection.max_min_ttl;
        stored.meta.revision = connection.meta.revision;
        stored.meta.updated_at = connection.meta.updated_at;
        Ok(Written::Done)
    }

    async fn delete_connection(
        &self,
        name: &ConnectionName,
        revision: Option<u64>,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let Some(stored) = tables.connections.get(name) else { return Ok(Written::Absent) };
        if !is_at(stored.meta.revision, revision) {
            return Ok(Written::Stale);
        }
        let (uid, floor) = (stored.uid, stored.generation_floor);
        let reached = tables.grants.get(&uid).map(|ledger| ledger.grant.generation).unwrap_or_default();
        tables.step(uid, now, Ledger::revoke);
        tables.connections.remove(name);
        tables.tombstones.insert(uid, (name.clone(), generation.max(floor).max(reached)));
        Ok(Written::Done)
    }
}
