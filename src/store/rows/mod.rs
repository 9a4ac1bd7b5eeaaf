//! How rows are read, from either database. What cannot be names its table, column and row.

use std::str::FromStr;

use uuid::Uuid;

mod client;
mod connection;
mod grant;
mod kept;
mod tenant;

pub(super) use client::ClientRow;
pub(super) use connection::{ConnectionAndClientRow, ConnectionRow, grant_type};
pub(super) use grant::{AttemptRow, EventRow, GrantRow};
pub(super) use kept::{AuditRow, KeyRow, LeaseRow};
pub(super) use tenant::TenantRow;

use crate::{
    model::{AccessToken, ConnectionUid, Fingerprint, Generation, Meta, Sealed, Timestamp},
    store::{Page, StoreError},
};

/// Where a value was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'r> {
    table: &'static str,
    row: &'r str,
}

impl<'r> Place<'r> {
    pub(super) const fn new(table: &'static str, row: &'r str) -> Self {
        Self { table, row }
    }

    pub(super) fn corrupt(self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, row: self.row.to_owned() }
    }

    pub(super) fn uid(self, column: &'static str, bytes: &[u8]) -> Result<Uuid, StoreError> {
        Uuid::from_slice(bytes).map_err(|_| self.corrupt(column))
    }

    pub(super) fn hash(self, column: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
        bytes.try_into().map_err(|_| self.corrupt(column))
    }

    pub(super) fn fingerprint(
        self,
        column: &'static str,
        bytes: Option<&[u8]>,
    ) -> Result<Option<Fingerprint>, StoreError> {
        bytes.map(|bytes| self.hash(column, bytes).map(Fingerprint)).transpose()
    }

    pub(super) fn count<N: TryFrom<i64>>(self, column: &'static str, value: i64) -> Result<N, StoreError> {
        N::try_from(value).map_err(|_| self.corrupt(column))
    }

    pub(super) fn generation(self, column: &'static str, value: i64) -> Result<Generation, StoreError> {
        self.count(column, value).map(Generation)
    }

    pub(super) fn text<T: FromStr>(self, column: &'static str, text: &str) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.corrupt(column))
    }
}

/// Whose row it is, where that is all that is read of it.
pub(super) fn connection(table: &'static str, bytes: &[u8]) -> Result<ConnectionUid, StoreError> {
    let corrupt = |_| StoreError::Corrupt { table, column: "connection_uid", row: format!("{bytes:02x?}") };
    Uuid::from_slice(bytes).map(ConnectionUid).map_err(corrupt)
}

/// The three columns of an access token; all or none.
#[derive(sqlx::FromRow)]
pub(super) struct AccessRow {
    access: Option<Vec<u8>>,
    access_issued_at: Option<i64>,
    access_expires_at: Option<i64>,
}

impl AccessRow {
    pub(super) fn read(self, place: Place<'_>) -> Result<Option<AccessToken>, StoreError> {
        match (self.access, self.access_issued_at, self.access_expires_at) {
            (None, None, None) => Ok(None),
            (Some(sealed), Some(issued_at), Some(expires_at)) => Ok(Some(AccessToken {
                sealed: Sealed(sealed),
                issued_at: Timestamp::from_micros(issued_at),
                expires_at: Timestamp::from_micros(expires_at),
            })),
            _ => Err(place.corrupt("access")),
        }
    }
}

/// Revision and times, as every resource has them.
#[derive(sqlx::FromRow)]
pub(super) struct MetaRow {
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl MetaRow {
    pub(super) fn read(self, place: Place<'_>) -> Result<Meta, StoreError> {
        Ok(Meta {
            revision: place.count("revision", self.revision)?,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

/// Reads a listing that was asked for one row more than its limit.
pub(super) fn page<R, T: TryFrom<R, Error = StoreError>>(
    mut rows: Vec<R>,
    limit: u32,
) -> Result<Page<T>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let items = rows.into_iter().map(T::try_from).collect::<Result<_, _>>()?;
    Ok(Page { items, more })
}
