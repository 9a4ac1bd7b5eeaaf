//! The rows of leases, data keys and audit entries.

use super::{AccessRow, Place};
use crate::{
    model::{OauthClientUid, Timestamp},
    store::{AuditEntry, KeyScope, Lease, StoreError, WrappedKey},
};

#[derive(sqlx::FromRow)]
pub(in crate::store) struct LeaseRow {
    generation: i64,
    #[sqlx(flatten)]
    access: AccessRow,
}

impl LeaseRow {
    pub(in crate::store) fn read(self, client: OauthClientUid) -> Result<Lease, StoreError> {
        let owner = client.to_string();
        let place = Place::new("leases", &owner);
        let generation = place.generation("generation", self.generation)?;
        let access = self.access.read(place)?.ok_or_else(|| place.corrupt("access"))?;
        Ok(Lease { generation, access })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct KeyRow {
    id: Vec<u8>,
    wrapped_by: String,
    wrapped: Vec<u8>,
    created_at: i64,
}

impl KeyRow {
    pub(in crate::store) fn read(self, scope: &KeyScope) -> Result<WrappedKey, StoreError> {
        Ok(WrappedKey {
            id: Place::new("data_keys", scope.columns().0).uid("id", &self.id)?,
            scope: scope.clone(),
            wrapped_by: self.wrapped_by,
            wrapped: self.wrapped,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

#[derive(sqlx::FromRow)]
pub(in crate::store) struct AuditRow {
    at: i64,
    principal: String,
    action: String,
    resource: String,
    outcome: String,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            at: Timestamp::from_micros(row.at),
            principal: row.principal,
            action: row.action,
            resource: row.resource,
            outcome: row.outcome,
        }
    }
}
