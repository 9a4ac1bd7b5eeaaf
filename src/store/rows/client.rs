//! The rows of OAuth clients.

use super::{MetaRow, Place};
use crate::{
    model::{OauthClient, OauthClientUid},
    store::StoreError,
};

#[derive(sqlx::FromRow)]
pub(in crate::store) struct ClientRow {
    uid: Vec<u8>,
    name: String,
    display_name: String,
    provider: String,
    environment: String,
    client_id: String,
    client_credentials_tenants: String,
    current_secret: Option<i64>,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl ClientRow {
    pub(in crate::store) fn name(&self) -> &str {
        &self.name
    }
}

impl TryFrom<ClientRow> for OauthClient {
    type Error = StoreError;

    fn try_from(row: ClientRow) -> Result<Self, StoreError> {
        let place = Place::new("oauth_clients", &row.name);
        Ok(Self {
            name: place.text("name", &row.name)?,
            uid: OauthClientUid(place.uid("uid", &row.uid)?),
            client_credentials_tenants: serde_json::from_str(&row.client_credentials_tenants)
                .map_err(|_| place.corrupt("client_credentials_tenants"))?,
            current_secret: row.current_secret.map(|v| place.count("current_secret", v)).transpose()?,
            meta: row.meta.read(place)?,
            display_name: row.display_name,
            provider: row.provider,
            environment: row.environment,
            client_id: row.client_id,
        })
    }
}
