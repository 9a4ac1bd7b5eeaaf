//! OAuth clients with their secrets and leases.

use async_trait::async_trait;

use super::{Memory, is_at, tenants::page};
use crate::{
    model::{OauthClient, OauthClientName, OauthClientUid, Sealed, SecretVersion, TenantName},
    store::{Lease, OauthClients, Page, StoreError, Written},
};

#[async_trait]
impl OauthClients for Memory {
    async fn create_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        if tables.clients.values().any(|other| other.name == client.name || other.uid == client.uid) {
            return Ok(Written::Exists);
        }
        if client.name.tenant.as_ref().is_some_and(|tenant| !tables.tenants.contains_key(tenant)) {
            return Ok(Written::Absent);
        }
        tables.clients.insert(client.name.clone(), client.clone());
        Ok(Written::Done)
    }

    async fn oauth_client(&self, name: &OauthClientName) -> Result<Option<OauthClient>, StoreError> {
        Ok(self.tables().clients.get(name).cloned())
    }

    async fn oauth_clients(
        &self,
        tenant: Option<&TenantName>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OauthClient>, StoreError> {
        let tables = self.tables();
        let clients = tables.clients.values().filter(|client| client.name.tenant.as_ref() == tenant);
        Ok(page(clients.map(|client| (client.name.client.to_string(), client)), after, limit))
    }

    async fn update_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let Some(stored) = tables.clients.get_mut(&client.name).filter(|stored| stored.uid == client.uid)
        else {
            return Ok(Written::Absent);
        };
        if stored.meta.revision + 1 != client.meta.revision {
            return Ok(Written::Stale);
        }
        stored.display_name.clone_from(&client.display_name);
        stored.client_credentials_tenants.clone_from(&client.client_credentials_tenants);
        stored.current_secret = client.current_secret;
        stored.meta.revision = client.meta.revision;
        stored.meta.updated_at = client.meta.updated_at;
        Ok(Written::Done)
    }

    async fn delete_oauth_client(
        &self,
        name: &OauthClientName,
        revision: Option<u64>,
    ) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        let Some(stored) = tables.clients.get(name) else { return Ok(Written::Absent) };
        if !is_at(stored.meta.revision, revision) {
            return Ok(Written::Stale);
        }
        let uid = stored.uid;
        if tables.connections.values().any(|connection| connection.oauth_client == *name) {
            return Ok(Written::InUse);
        }
        tables.clients.remove(name);
        tables.secrets.retain(|(client, _), _| *client != uid);
        tables.leases.remove(&uid);
        Ok(Written::Done)
    }

    async fn add_secret(
        &self,
        client: OauthClientUid,
        version: &SecretVersion,
        sealed: &Sealed,
    ) -> Result<Written, StoreError> {
        let mut tables = self.tables();
        if !tables.clients.values().any(|stored| stored.uid == client) {
            return Ok(Written::Absent);
        }
        let key = (client, version.version);
        if tables.secrets.contains_key(&key) {
            return Ok(Written::Exists);
        }
        tables.secrets.insert(key, (version.clone(), sealed.clone()));
        Ok(Written::Done)
    }

    async fn secrets(&self, client: OauthClientUid) -> Result<Vec<SecretVersion>, StoreError> {
        let tables = self.tables();
        let versions = tables.secrets.range((client, 0)..=(client, u32::MAX));
        Ok(versions.map(|(_, (version, _))| version.clone()).collect())
    }

    async fn secret(&self, client: OauthClientUid, version: u32) -> Result<Option<Sealed>, StoreError> {
        Ok(self.tables().secrets.get(&(client, version)).map(|(_, sealed)| sealed.clone()))
    }

    async fn lease(&self, client: OauthClientUid) -> Result<Option<Lease>, StoreError> {
        Ok(self.tables().leases.get(&client).cloned())
    }

    async fn put_lease(&self, client: OauthClientUid, lease: &Lease) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let last = tables.leases.get(&client).map(|lease| lease.generation).unwrap_or_default();
        let applies =
            tables.clients.values().any(|stored| stored.uid == client) && lease.generation == last.next();
        if applies {
            tables.leases.insert(client, lease.clone());
        }
        Ok(applies)
    }
}
