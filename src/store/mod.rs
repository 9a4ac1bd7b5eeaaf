//! Where things are kept. Each method is one atomic, durable step; the guard of a write is in its `WHERE`, and
//! a write that does not apply is a normal answer, never an error. Three implementations, one contract suite
//! (`tests/store`): [`memory`], which is the model itself, [`sqlite`] and [`postgres`].

use async_trait::async_trait;
use uuid::Uuid;

use crate::model::{
    AccessToken, Attempt, AttemptId, Burn, BurnFate, Closing, Connection, ConnectionName, ConnectionUid,
    Epoch, EventKind, Fingerprint, Generation, GrantFacts, Nonce, OauthClient, OauthClientName,
    OauthClientUid, Reauthorise, Sealed, SecretVersion, Settlement, SweepPolicy, Tenant, TenantName,
    TenantUid, Timestamp, Tokens,
};

mod bind;
mod error;
pub mod memory;
pub mod postgres;
mod rows;
pub mod sqlite;

pub use error::StoreError;

/// What became of a write to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done.
    Done,
    /// The name is taken.
    Exists,
    /// The resource, or what it refers to, does not exist.
    Absent,
    /// The revision has moved on.
    Stale,
    /// Others still refer to it.
    InUse,
}

impl Written {
    /// Why a delete did not apply: `None` where there is no such resource, else whether the revision was right.
    fn refused(at_that_revision: Option<bool>) -> Self {
        match at_that_revision {
            None => Self::Absent,
            Some(false) => Self::Stale,
            Some(true) => Self::InUse,
        }
    }
}

/// What became of a re-authorisation or an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reauthorised {
    /// The new pair is the grant's, at this generation.
    Done(Generation),
    /// The epoch or generation has moved on, or a refresh in flight must be awaited.
    Refused,
    /// The refresh token is, or was, held by some connection.
    TokenKnown,
    /// There is no such connection any more.
    Gone,
}

/// The protocol's steps (`model::grant`), one committed transaction each.
#[async_trait]
pub trait Grants: Send + Sync {
    /// The grant without its refresh token. `None`: pending authorisation.
    async fn grant(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
    ) -> Result<Option<GrantFacts>, StoreError>;

    /// See [`crate::model::Ledger::burn`].
    async fn burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// See [`crate::model::Ledger::take`].
    async fn take(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        nonce: Nonce,
    ) -> Result<Option<Sealed>, StoreError>;

    /// See [`crate::model::Ledger::resolve_burn`].
    async fn resolve_burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<BurnFate, StoreError>;

    /// See [`crate::model::Ledger::settle`]. `Kept` also where the new refresh token is another connection's.
    async fn settle(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError>;

    /// See [`crate::model::Ledger::conclude`].
    async fn conclude(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        closing: Closing,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// See [`crate::model::Ledger::permit_replay`].
    async fn permit_replay(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        spend_before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// See [`crate::model::Ledger::reauthorise`] and [`crate::model::Ledger::plant`] (for a connection without a
    /// grant, whose epoch is 0 and whose generation must be above the connection's floor).
    async fn reauthorise(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        new: Reauthorise,
        now: Timestamp,
    ) -> Result<Reauthorised, StoreError>;

    /// See [`crate::model::Ledger::revoke`]. `None`: there is no grant.
    async fn revoke(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<Option<Epoch>, StoreError>;

    /// See [`crate::model::Ledger::quarantine`].
    async fn quarantine(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// See [`crate::model::Ledger::resolve`].
    async fn resolve(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// See [`crate::model::Ledger::adopt`].
    async fn adopt(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        parent: Fingerprint,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError>;

    /// Applies [`crate::model::Ledger::sweep`] to every grant, and names those it moved.
    async fn sweep(&self, policy: SweepPolicy, now: Timestamp) -> Result<Vec<ConnectionUid>, StoreError>;

    /// The newest attempts, newest first.
    async fn attempts(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Attempt>, StoreError>;

    /// The newest events, newest first. At most one per generation and kind.
    async fn events(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError>;
}

/// Something that a person should hear of: a row of the outbox, written with the transition that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub connection: ConnectionUid,
    /// The generation after the transition.
    pub generation: Generation,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
}

/// One page of a listing, ordered by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Whether more follow after the last of them.
    pub more: bool,
}

impl<T> Page<T> {
    /// The same page of other items.
    fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), more: self.more }
    }
}

/// Tenants.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// `Exists`.
    async fn create_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError>;
    /// By name.
    async fn tenant(&self, name: &TenantName) -> Result<Option<Tenant>, StoreError>;
    /// After the id named, exclusive.
    async fn tenants(&self, after: Option<&str>, limit: u32) -> Result<Page<Tenant>, StoreError>;
    /// Writes what may change, where the stored revision is `tenant.meta.revision - 1`: `Stale`, `Absent`.
    async fn update_tenant(&self, tenant: &Tenant) -> Result<Written, StoreError>;
    /// Its data keys go with it. `InUse` while connections or OAuth clients exist; `Stale` unless the revision is the one named, where one is.
    async fn delete_tenant(&self, name: &TenantName, revision: Option<u64>) -> Result<Written, StoreError>;
}

/// OAuth clients and their secret versions.
#[async_trait]
pub trait OauthClients: Send + Sync {
    /// `Exists`; `Absent` where its tenant does not exist.
    async fn create_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError>;
    /// By name.
    async fn oauth_client(&self, name: &OauthClientName) -> Result<Option<OauthClient>, StoreError>;
    /// Those of a tenant, or the shared ones.
    async fn oauth_clients(
        &self,
        tenant: Option<&TenantName>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OauthClient>, StoreError>;
    /// Display name, allow-list and current secret, where the stored revision is one less: `Stale`, `Absent`.
    async fn update_oauth_client(&self, client: &OauthClient) -> Result<Written, StoreError>;
    /// `InUse` while connections use it; its secrets and lease go with it.
    async fn delete_oauth_client(
        &self,
        name: &OauthClientName,
        revision: Option<u64>,
    ) -> Result<Written, StoreError>;

    /// `Exists` where the version is taken; `Absent` where the client is gone.
    async fn add_secret(
        &self,
        client: OauthClientUid,
        version: &SecretVersion,
        sealed: &Sealed,
    ) -> Result<Written, StoreError>;
    /// The versions, oldest first.
    async fn secrets(&self, client: OauthClientUid) -> Result<Vec<SecretVersion>, StoreError>;
    /// One sealed secret.
    async fn secret(&self, client: OauthClientUid, version: u32) -> Result<Option<Sealed>, StoreError>;

    /// The client-credentials token of a client.
    async fn lease(&self, client: OauthClientUid) -> Result<Option<Lease>, StoreError>;
    /// Applies where `lease.generation` is one above the stored one (1 for the first).
    async fn put_lease(&self, client: OauthClientUid, lease: &Lease) -> Result<bool, StoreError>;
}

/// A client-credentials token: no burn, nothing to lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Counts the tokens of this OAuth client.
    pub generation: Generation,
    /// The token.
    pub access: AccessToken,
}

/// Connections. They go through OAuth clients.
#[async_trait]
pub trait Connections: OauthClients {
    /// `Exists`; `Absent` where tenant or OAuth client do not exist. Sets and returns nothing else: the
    /// generation floor is read with [`Connections::generation_floor`] before.
    async fn create_connection(&self, connection: &Connection) -> Result<Written, StoreError>;
    /// Where the generations of the tombstones of this name ended; 0 where there are none.
    async fn generation_floor(&self, name: &ConnectionName) -> Result<Generation, StoreError>;
    /// By name; a tombstone is absent.
    async fn connection(&self, name: &ConnectionName) -> Result<Option<Connection>, StoreError>;
    /// With the OAuth client that it goes through.
    async fn connection_and_client(
        &self,
        name: &ConnectionName,
    ) -> Result<Option<(Connection, OauthClient)>, StoreError> {
        let Some(connection) = self.connection(name).await? else { return Ok(None) };
        let client = self.oauth_client(&connection.oauth_client).await?;
        Ok(client.map(|client| (connection, client)))
    }
    /// Those of a tenant.
    async fn connections(
        &self,
        tenant: &TenantName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Connection>, StoreError>;
    /// Display name and `max_min_ttl`, where the stored revision is one less: `Stale`, `Absent`.
    async fn update_connection(&self, connection: &Connection) -> Result<Written, StoreError>;
    /// Revokes the grant (its ciphertexts go) and leaves a tombstone, in one transaction. The tombstone's
    /// generation is the greater of the grant's and `generation` (for leases, whose grant is elsewhere).
    async fn delete_connection(
        &self,
        name: &ConnectionName,
        revision: Option<u64>,
        generation: Generation,
        now: Timestamp,
    ) -> Result<Written, StoreError>;
}

/// What a data key is for; also its row's key in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyScope {
    /// A tenant's tokens and secrets.
    Tenant(TenantUid),
    /// What is shared by tenants: the secrets and leases of shared OAuth clients.
    Platform,
    /// The fingerprints of refresh tokens.
    Fingerprint,
}

impl KeyScope {
    /// Its two columns.
    const fn columns(&self) -> (&'static str, Option<TenantUid>) {
        match self {
            Self::Tenant(uid) => ("tenant", Some(*uid)),
            Self::Platform => ("platform", None),
            Self::Fingerprint => ("fingerprint", None),
        }
    }
}

/// A data key under the key-encryption key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// In every blob that it seals.
    pub id: Uuid,
    /// What it is for.
    pub scope: KeyScope,
    /// The id of the key-encryption key that wraps it.
    pub wrapped_by: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Data keys.
#[async_trait]
pub trait DataKeys: Send + Sync {
    /// All of a scope, oldest first: the newest seals, all open.
    async fn data_keys(&self, scope: &KeyScope) -> Result<Vec<WrappedKey>, StoreError>;
    /// Adds the first key of a scope; `Exists` where there is one already (then read it).
    async fn add_first_key(&self, key: &WrappedKey) -> Result<Written, StoreError>;
}

/// One entry of the audit table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who, e.g. `static:admin`.
    pub principal: String,
    /// What, e.g. `ConnectionService.ImportConnection`.
    pub action: String,
    /// The resource's name.
    pub resource: String,
    /// `intent`, `done`, or the reason of the refusal.
    pub outcome: String,
}

/// Who did what. Append-only, also against this program: triggers refuse anything else.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Appends one entry.
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError>;
    /// The newest entries, newest first.
    async fn entries(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;
}

/// Everything a broker keeps.
pub trait Store: Grants + Tenants + OauthClients + Connections + DataKeys + Audit {}

impl<T: Grants + Tenants + OauthClients + Connections + DataKeys + Audit> Store for T {}
