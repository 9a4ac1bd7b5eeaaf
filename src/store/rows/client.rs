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

/// The same beside a connection, whose row has its name.
#[derive(sqlx::FromRow)]
pub(super) struct ClientColumns {
    oauth_client_uid: Vec<u8>,
    oauth_client_display_name: String,
    provider: String,
    environment: String,
    client_id: String,
    client_credentials_tenants: String,
    current_secret: Option<i64>,
    oauth_client_revision: i64,
    oauth_client_created_at: i64,
    oauth_client_updated_at: i64,
}

impl ClientColumns {
    pub(super) fn named(self, name: String) -> ClientRow {
        ClientRow {
            uid: self.oauth_client_uid,
            name,
            display_name: self.oauth_client_display_name,
            provider: self.provider,
            environment: self.environment,
            client_id: self.client_id,
            client_credentials_tenants: self.client_credentials_tenants,
            current_secret: self.current_secret,
            meta: MetaRow {
                revision: self.oauth_client_revision,
                created_at: self.oauth_client_created_at,
                updated_at: self.oauth_client_updated_at,
            },
        }
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
