//! Connections by their names.

use std::collections::HashMap;

use super::{Kind, Statement, column};
use crate::{
    model::{Connection, ConnectionName, OauthClient},
    store::{StoreError, rows::ConnectionAndClientRow},
};

/// Connections, each with the OAuth client that it goes through.
#[derive(Debug)]
pub(in super::super) struct Connections;

impl Kind for Connections {
    type Request = ConnectionName;
    type Row = ConnectionAndClientRow;
    type Answer = Result<Option<(Connection, OauthClient)>, StoreError>;
    const READS: bool = true;

    fn statement(requests: &[ConnectionName]) -> Statement {
        Statement::new(
            "-- connection_and_client()
            SELECT uuid_send(c.uid) AS uid, c.name, uuid_send(c.tenant_uid) AS tenant_uid, o.name AS oauth_client,
                c.display_name, c.grant_type, c.account_id, c.max_min_ttl, c.generation_floor, c.revision,
                c.created_at, c.updated_at,
                uuid_send(o.uid) AS oauth_client_uid, o.display_name AS oauth_client_display_name, o.provider,
                o.environment, o.client_id, o.client_credentials_tenants, o.current_secret,
                o.revision AS oauth_client_revision, o.created_at AS oauth_client_created_at,
                o.updated_at AS oauth_client_updated_at
            FROM token_broker.connections c JOIN token_broker.oauth_clients o ON o.uid = c.oauth_client_uid
            WHERE c.name = ANY ($1) AND c.deleted_at IS NULL",
        )
        .bind(column(requests, Clone::clone))
    }

    /// Those who ask for the same get the same.
    fn answers(requests: &[ConnectionName], rows: Vec<ConnectionAndClientRow>) -> Option<Vec<Self::Answer>> {
        let mut found: HashMap<String, Result<(Connection, OauthClient), StoreError>> = HashMap::new();
        for row in rows {
            found.entry(row.name().to_owned()).or_insert_with(|| row.try_into());
        }
        let answer = |request: &ConnectionName| match found.get(&request.to_string()) {
            None => Ok(None),
            Some(Ok(both)) => Ok(Some(both.clone())),
            Some(Err(error)) => Err(error.again()),
        };
        Some(requests.iter().map(answer).collect())
    }
}
