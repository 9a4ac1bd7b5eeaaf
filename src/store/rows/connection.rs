//! The rows of connections.

use std::time::Duration;

use super::{ClientRow, MetaRow, Place, client::ClientColumns};
use crate::{
    model::{Connection, ConnectionUid, GrantType, OauthClient, TenantUid},
    store::StoreError,
};

#[derive(sqlx::FromRow)]
pub(in crate::store) struct ConnectionRow {
    uid: Vec<u8>,
    name: String,
    tenant_uid: Vec<u8>,
    oauth_client: String,
    display_name: String,
    grant_type: String,
    account_id: String,
    max_min_ttl: Option<i64>,
    generation_floor: i64,
    #[sqlx(flatten)]
    meta: MetaRow,
}

/// A connection, and the OAuth client that it goes through.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct ConnectionAndClientRow {
    #[sqlx(flatten)]
    connection: ConnectionRow,
    #[sqlx(flatten)]
    client: ClientColumns,
}

impl ConnectionAndClientRow {
    pub(in crate::store) fn name(&self) -> &str {
        &self.connection.name
    }
}

impl TryFrom<ConnectionAndClientRow> for (Connection, OauthClient) {
    type Error = StoreError;

    fn try_from(row: ConnectionAndClientRow) -> Result<Self, StoreError> {
        let client: ClientRow = row.client.named(row.connection.oauth_client.clone());
        Ok((row.connection.try_into()?, client.try_into()?))
    }
}

impl TryFrom<ConnectionRow> for Connection {
    type Error = StoreError;

    fn try_from(row: ConnectionRow) -> Result<Self, StoreError> {
        let place = Place::new("connections", &row.name);
        let max_min_ttl = row.max_min_ttl.map(|micros| place.count("max_min_ttl", micros)).transpose()?;
        Ok(Self {
            name: place.text("name", &row.name)?,
            uid: ConnectionUid(place.uid("uid", &row.uid)?),
            tenant_uid: TenantUid(place.uid("tenant_uid", &row.tenant_uid)?),
            oauth_client: place.text("oauth_client_uid", &row.oauth_client)?,
            grant_type: match row.grant_type.as_str() {
                "authorization_code" => GrantType::AuthorizationCode,
                "client_credentials" => GrantType::ClientCredentials,
                _ => return Err(place.corrupt("grant_type")),
            },
            max_min_ttl: max_min_ttl.map(Duration::from_micros),
            generation_floor: place.generation("generation_floor", row.generation_floor)?,
            meta: row.meta.read(place)?,
            display_name: row.display_name,
            account_id: row.account_id,
        })
    }
}

/// As it is written.
pub(in crate::store) const fn grant_type(grant_type: GrantType) -> &'static str {
    match grant_type {
        GrantType::AuthorizationCode => "authorization_code",
        GrantType::ClientCredentials => "client_credentials",
    }
}
