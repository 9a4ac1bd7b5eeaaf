//! Resources by their names.

use std::collections::HashMap;

use super::{Kind, Statement, column};
use crate::{
    model::{Connection, ConnectionName, OauthClient, OauthClientName},
    store::{
        StoreError,
        rows::{ClientRow, ConnectionRow},
    },
};

/// Connections.
#[derive(Debug)]
pub(in super::super) struct Connections;

impl Kind for Connections {
    type Request = ConnectionName;
    type Row = ConnectionRow;
    type Answer = Result<Option<Connection>, StoreError>;
    const READS: bool = true;

    fn statement(requests: &[ConnectionName]) -> Statement {
        Statement::new(
            "-- connection()
            SELECT uuid_send(c.uid) AS uid, c.name, uuid_send(c.tenant_uid) AS tenant_uid, o.name AS oauth_client,
                c.display_name, c.grant_type, c.account_id, c.max_min_ttl, c.generation_floor, c.revision,
                c.created_at, c.updated_at
            FROM token_broker.connections c JOIN token_broker.oauth_clients o ON o.uid = c.oauth_client_uid
            WHERE c.name = ANY ($1) AND c.deleted_at IS NULL",
        )
        .bind(column(requests, Clone::clone))
    }

    fn answers(requests: &[ConnectionName], rows: Vec<ConnectionRow>) -> Option<Vec<Self::Answer>> {
        Some(by_name(requests, rows, ConnectionRow::name))
    }
}

/// OAuth clients.
#[derive(Debug)]
pub(in super::super) struct Clients;

impl Kind for Clients {
    type Request = OauthClientName;
    type Row = ClientRow;
    type Answer = Result<Option<OauthClient>, StoreError>;
    const READS: bool = true;

    fn statement(requests: &[OauthClientName]) -> Statement {
        Statement::new(
            "-- oauth_client()
            SELECT uuid_send(uid) AS uid, name, display_name, provider, environment, client_id,
                client_credentials_tenants, current_secret, revision, created_at, updated_at
            FROM token_broker.oauth_clients WHERE name = ANY ($1)",
        )
        .bind(column(requests, Clone::clone))
    }

    fn answers(requests: &[OauthClientName], rows: Vec<ClientRow>) -> Option<Vec<Self::Answer>> {
        Some(by_name(requests, rows, ClientRow::name))
    }
}

/// Those who ask for the same get the same.
fn by_name<N: ToString, R, T: TryFrom<R, Error = StoreError> + Clone>(
    requests: &[N],
    rows: Vec<R>,
    name: impl Fn(&R) -> &str,
) -> Vec<Result<Option<T>, StoreError>> {
    let mut found: HashMap<String, Result<T, StoreError>> = HashMap::new();
    for row in rows {
        found.entry(name(&row).to_owned()).or_insert_with(|| T::try_from(row));
    }
    let answer = |request: &N| match found.get(&request.to_string()) {
        None => Ok(None),
        Some(Ok(resource)) => Ok(Some(resource.clone())),
        Some(Err(error)) => Err(error.again()),
    };
    requests.iter().map(answer).collect()
}
