//! The in-memory store: the model itself behind a mutex. Grants are [`Ledger`]s and every step is the ledger's own;
//! what is decided here is only what spans connections.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{AuditEntry, Event, Lease, WrappedKey};
use crate::model::{
    Connection, ConnectionName, ConnectionUid, EventKind, Generation, Ledger, OauthClient, OauthClientName,
    OauthClientUid, Sealed, SecretVersion, Step, Tenant, TenantName, TenantUid, Timestamp,
};

mod clients;
mod connections;
mod grants;
mod records;
mod tenants;

/// The store in this process' memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    tenants: BTreeMap<TenantName, Tenant>,
    clients: BTreeMap<OauthClientName, OauthClient>,
    secrets: BTreeMap<(OauthClientUid, u32), (SecretVersion, Sealed)>,
    leases: BTreeMap<OauthClientUid, Lease>,
    connections: BTreeMap<ConnectionName, Connection>,
    tombstones: BTreeMap<ConnectionUid, (ConnectionName, Generation)>,
    grants: BTreeMap<ConnectionUid, Ledger>,
    tenant_of: BTreeMap<ConnectionUid, TenantUid>,
    events: Vec<Event>,
    keys: Vec<WrappedKey>,
    audit: Vec<AuditEntry>,
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A step replaces a ledger whole, so a panic leaves none half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Takes one transition of a grant, with its event.
    fn step<T>(
        &mut self,
        connection: ConnectionUid,
        now: Timestamp,
        transition: impl FnOnce(Ledger) -> Step<T>,
    ) -> Option<T> {
        let Step { ledger, answer, event } = transition(self.grants.get(&connection)?.clone());
        if let Some(kind) = event {
            self.event(connection, ledger.grant.generation, kind, now);
        }
        self.grants.insert(connection, ledger);
        Some(answer)
    }

    fn event(&mut self, connection: ConnectionUid, generation: Generation, kind: EventKind, at: Timestamp) {
        let event = Event { connection, generation, kind, at };
        let same = |e: &Event| (e.connection, e.generation, e.kind) == (connection, generation, kind);
        if !self.events.iter().any(same) {
            self.events.push(event);
        }
    }

    fn living(&self, uid: ConnectionUid) -> Option<&Connection> {
        self.connections.values().find(|connection| connection.uid == uid)
    }
}

/// Whether a resource at this revision may be deleted by one who names that one.
fn is_at(stored: u64, named: Option<u64>) -> bool {
    named.is_none_or(|revision| revision == stored)
}
