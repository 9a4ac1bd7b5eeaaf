//! `connection`.

use std::{path::PathBuf, time::Duration};

use clap::{Subcommand, ValueEnum};
use prost_types::{FieldMask, Timestamp};
use secrecy::ExposeSecret as _;
use token_broker_proto::v1::{
    Connection, CreateConnectionRequest, DeleteConnectionRequest, GetConnectionRequest,
    ImportConnectionRequest, InspectConnectionRequest, ListConnectionsRequest, RefreshConnectionRequest,
    ResolveConnectionRequest, UpdateConnectionRequest, connection,
    connection_service_client::ConnectionServiceClient,
};

use super::{Broker, Failure, Printer, names, secret};
use crate::{
    config::duration,
    model::{ConnectionName, OauthClientName, TenantName},
};

/// Connections.
#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    /// Create a connection; it has no token until one is imported or authorised.
    Create {
        /// Its name, e.g. `acme/main`.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
        /// The OAuth client: `procore` for a shared one, `acme/procore` for a tenant's own.
        #[arg(long, value_name = "NAME", value_parser = names::oauth_client)]
        oauth_client: OauthClientName,
        /// How it gets its tokens.
        #[arg(long, value_enum, default_value_t)]
        grant_type: Grant,
        /// The provider's account id, e.g. Procore's company id.
        #[arg(long, value_name = "ID")]
        account_id: String,
        /// For people.
        #[arg(long, default_value = "")]
        display_name: String,
        /// The largest `min_ttl` that consumers may ask for; a third of the token's life unless it is set.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        max_min_ttl: Option<Duration>,
    },
    /// Show a connection.
    Get {
        /// Its name.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
    },
    /// List the connections of a tenant.
    List {
        /// The tenant.
        #[arg(value_parser = names::tenant)]
        tenant: TenantName,
    },
    /// Change a connection.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Update {
        /// Its name.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
        /// For people.
        #[arg(long, group = "change")]
        display_name: Option<String>,
        /// The largest `min_ttl` that consumers may ask for.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse, group = "change")]
        max_min_ttl: Option<Duration>,
        /// Only if it has not changed since: its etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// Revoke a connection here and destroy its tokens.
    Delete {
        /// Its name.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
        /// Only if it has not changed since: its etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// Take over a refresh token; nobody else may present it afterwards.
    Import {
        /// The connection.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
        /// A file with the refresh token; the standard input unless it is named.
        #[arg(long, value_name = "FILE")]
        refresh_token_file: Option<PathBuf>,
        /// A file with the access token that came with it.
        #[arg(long, value_name = "FILE", requires = "access_token_expire_time")]
        access_token_file: Option<PathBuf>,
        /// When that access token ends, e.g. `2026-01-31T12:00:00Z`.
        #[arg(long, value_name = "TIME", requires = "access_token_file")]
        access_token_expire_time: Option<Timestamp>,
    },
    /// Refresh now, whatever is left of the current token.
    Refresh {
        /// The connection.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
    },
    /// End a doubt or a quarantine: an answer that is kept settles, else the connection must be authorised anew.
    Resolve {
        /// The connection.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
    },
    /// Show the attempts and events of a connection, and what is remembered of it beside the database.
    Inspect {
        /// The connection.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
    },
}

/// How a connection gets its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Grant {
    /// A person authorises; a refresh token keeps it alive.
    #[default]
    AuthorizationCode,
    /// The OAuth client itself.
    ClientCredentials,
}

pub(super) async fn run(
    command: ConnectionCommand,
    broker: Broker,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = ConnectionServiceClient::new(broker);
    match command {
        ConnectionCommand::Create {
            name,
            oauth_client,
            grant_type,
            account_id,
            display_name,
            max_min_ttl,
        } => {
            let request = CreateConnectionRequest {
                parent: name.tenant.to_string(),
                connection_id: name.connection.to_string(),
                connection: Some(Connection {
                    oauth_client: oauth_client.to_string(),
                    grant_type: connection::GrantType::from(grant_type).into(),
                    account_id,
                    display_name,
                    max_min_ttl: max_min_ttl.map(to_proto),
                    ..Connection::default()
                }),
            };
            printer.one(client.create_connection(request).await?.get_ref())
        }
        ConnectionCommand::Get { name } => {
            let request = GetConnectionRequest { name: name.to_string() };
            printer.one(client.get_connection(request).await?.get_ref())
        }
        ConnectionCommand::List { tenant } => list(&mut client, &tenant, printer).await,
        ConnectionCommand::Update { name, display_name, max_min_ttl, etag } => {
            let request = update(&name, display_name, max_min_ttl, etag);
            printer.one(client.update_connection(request).await?.get_ref())
        }
        ConnectionCommand::Delete { name, etag } => {
            client.delete_connection(DeleteConnectionRequest { name: name.to_string(), etag }).await?;
            printer.done(&format!("deleted {name}"))
        }
        ConnectionCommand::Import {
            name,
            refresh_token_file,
            access_token_file,
            access_token_expire_time,
        } => {
            let refresh = secret::read(refresh_token_file.as_deref(), "refresh token")?;
            let access =
                access_token_file.map(|path| secret::read(Some(&path), "access token")).transpose()?;
            let request = ImportConnectionRequest {
                name: name.to_string(),
                refresh_token: refresh.expose_secret().to_owned(),
                access_token: access.map(|token| token.expose_secret().to_owned()).unwrap_or_default(),
                access_token_expire_time,
            };
            printer.one(client.import_connection(request).await?.get_ref())
        }
        ConnectionCommand::Refresh { name } => {
            let request = RefreshConnectionRequest { name: name.to_string() };
            printer.one(client.refresh_connection(request).await?.get_ref())
        }
        ConnectionCommand::Resolve { name } => {
            let request = ResolveConnectionRequest { name: name.to_string() };
            printer.one(client.resolve_connection(request).await?.get_ref())
        }
        ConnectionCommand::Inspect { name } => {
            let request = InspectConnectionRequest { name: name.to_string() };
            printer.inspection(client.inspect_connection(request).await?.get_ref())
        }
    }
}

async fn list(
    client: &mut ConnectionServiceClient<Broker>,
    tenant: &TenantName,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut connections = Vec::new();
    let mut request = ListConnectionsRequest { parent: tenant.to_string(), ..Default::default() };
    loop {
        let page = client.list_connections(request.clone()).await?.into_inner();
        connections.extend(page.connections);
        if page.next_page_token.is_empty() {
            return printer.many("connections", &connections);
        }
        request.page_token = page.next_page_token;
    }
}

/// Only what was named changes.
fn update(
    name: &ConnectionName,
    display_name: Option<String>,
    max_min_ttl: Option<Duration>,
    etag: String,
) -> UpdateConnectionRequest {
    let paths = [("display_name", display_name.is_some()), ("max_min_ttl", max_min_ttl.is_some())];
    let paths = paths.into_iter().filter(|(_, named)| *named).map(|(path, _)| path.to_owned()).collect();
    UpdateConnectionRequest {
        connection: Some(Connection {
            name: name.to_string(),
            display_name: display_name.unwrap_or_default(),
            max_min_ttl: max_min_ttl.map(to_proto),
            etag,
            ..Connection::default()
        }),
        update_mask: Some(FieldMask { paths }),
    }
}

impl From<Grant> for connection::GrantType {
    fn from(grant: Grant) -> Self {
        match grant {
            Grant::AuthorizationCode => Self::AuthorizationCode,
            Grant::ClientCredentials => Self::ClientCredentials,
        }
    }
}

/// What [`duration::parse`] reads fits, but for absurd ones.
pub(super) fn to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration)
        .unwrap_or(prost_types::Duration { seconds: 315_576_000_000, nanos: 0 })
}
