//! The rows of tenants.

use super::{MetaRow, Place};
use crate::{
    model::{Tenant, TenantUid},
    store::StoreError,
};

#[derive(sqlx::FromRow)]
pub(in crate::store) struct TenantRow {
    uid: Vec<u8>,
    name: String,
    display_name: String,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl TryFrom<TenantRow> for Tenant {
    type Error = StoreError;

    fn try_from(row: TenantRow) -> Result<Self, StoreError> {
        let place = Place::new("tenants", &row.name);
        Ok(Self {
            name: place.text("name", &row.name)?,
            uid: TenantUid(place.uid("uid", &row.uid)?),
            meta: row.meta.read(place)?,
            display_name: row.display_name,
        })
    }
}
