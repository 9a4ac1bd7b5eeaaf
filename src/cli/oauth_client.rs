//! `oauth-client`.

use std::path::PathBuf;

use clap::Subcommand;
use prost_types::FieldMask;
use secrecy::ExposeSecret as _;
use token_broker_proto::v1::{
    AddClientSecretRequest, CreateOAuthClientRequest, DeleteOAuthClientRequest, GetOAuthClientRequest,
    ListOAuthClientsRequest, OAuthClient, PromoteClientSecretRequest, UpdateOAuthClientRequest,
    o_auth_client_service_client::OAuthClientServiceClient,
};

use super::{Broker, Failure, Printer, names, secret};
use crate::model::{OauthClientName, TenantName};

/// OAuth clients.
#[derive(Debug, Subcommand)]
pub enum OauthClientCommand {
    /// Create an OAuth client; its secret is added afterwards.
    Create {
        /// Its name: `procore` for a shared one, `acme/procore` for a tenant's own.
        #[arg(value_parser = names::oauth_client)]
        name: OauthClientName,
        /// The provider profile, e.g. `procore`.
        #[arg(long)]
        provider: String,
        /// The provider's environment, e.g. `production`.
        #[arg(long)]
        environment: String,
        /// The public client id at the provider.
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// For people.
        #[arg(long, default_value = "")]
        display_name: String,
        /// A tenant that may share its client-credentials token; may be repeated. That token reaches every
        /// company that installed the app.
        #[arg(long = "client-credentials-tenant", value_name = "TENANT", value_parser = names::tenant)]
        client_credentials_tenants: Vec<TenantName>,
    },
    /// Show an OAuth client.
    Get {
        /// Its name.
        #[arg(value_parser = names::oauth_client)]
        name: OauthClientName,
    },
    /// List the shared OAuth clients, or those of a tenant.
    List {
        /// The tenant.
        #[arg(value_parser = names::tenant)]
        tenant: Option<TenantName>,
    },
    /// Change an OAuth client.
    #[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
    Update {
        /// Its name.
        #[arg(value_parser = names::oauth_client)]
        name: OauthClientName,
        /// For people.
        #[arg(long, group = "change")]
        display_name: Option<String>,
        /// The tenants that may share its client-credentials token, instead of those before; may be repeated.
        #[arg(
            long = "client-credentials-tenant",
            value_name = "TENANT",
            value_parser = names::tenant,
            group = "change"
        )]
        client_credentials_tenants: Vec<TenantName>,
        /// No tenant may share its client-credentials token.
        #[arg(long, group = "change", conflicts_with = "client_credentials_tenants")]
        no_client_credentials_tenants: bool,
        /// Only if it has not changed since: its etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// Delete an OAuth client that no connection uses.
    Delete {
        /// Its name.
        #[arg(value_parser = names::oauth_client)]
        name: OauthClientName,
        /// Only if it has not changed since: its etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// Add a secret version. The first is current at once, a later one once it is promoted.
    AddSecret {
        /// The OAuth client.
        #[arg(value_parser = names::oauth_client)]
        name: OauthClientName,
        /// A file with the secret; the standard input unless it is named.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Make a secret version the current one; it proves itself before it may spend a refresh token.
    PromoteSecret {
        /// The OAuth client.
        #[arg(value_parser = names::oauth_client)]
        name: OauthClientName,
        /// The version.
        version: u32,
    },
}

pub(super) async fn run(
    command: OauthClientCommand,
    broker: Broker,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = OAuthClientServiceClient::new(broker);
    match command {
        OauthClientCommand::Create {
            name,
            provider,
            environment,
            client_id,
            display_name,
            client_credentials_tenants,
        } => {
            let request = CreateOAuthClientRequest {
                parent: parent(name.tenant.as_ref()),
                oauth_client_id: name.client.to_string(),
                oauth_client: Some(OAuthClient {
                    provider,
                    environment,
                    client_id,
                    display_name,
                    client_credentials_tenants: texts(&client_credentials_tenants),
                    ..OAuthClient::default()
                }),
            };
            printer.one(client.create_o_auth_client(request).await?.get_ref())
        }
        OauthClientCommand::Get { name } => {
            let request = GetOAuthClientRequest { name: name.to_string() };
            printer.one(client.get_o_auth_client(request).await?.get_ref())
        }
        OauthClientCommand::List { tenant } => list(&mut client, tenant.as_ref(), printer).await,
        OauthClientCommand::Update {
            name,
            display_name,
            client_credentials_tenants: tenants,
            no_client_credentials_tenants: none,
            etag,
        } => {
            let request = update(&name, display_name, (none || !tenants.is_empty()).then_some(tenants), etag);
            printer.one(client.update_o_auth_client(request).await?.get_ref())
        }
        OauthClientCommand::Delete { name, etag } => {
            client.delete_o_auth_client(DeleteOAuthClientRequest { name: name.to_string(), etag }).await?;
            printer.done(&format!("deleted {name}"))
        }
        OauthClientCommand::AddSecret { name, secret_file } => {
            let secret = secret::read(secret_file.as_deref(), "client secret")?;
            let client_secret = secret.expose_secret().to_owned();
            let request = AddClientSecretRequest { name: name.to_string(), client_secret };
            printer.one(client.add_client_secret(request).await?.get_ref())
        }
        OauthClientCommand::PromoteSecret { name, version } => {
            let request = PromoteClientSecretRequest { name: name.to_string(), version };
            printer.one(client.promote_client_secret(request).await?.get_ref())
        }
    }
}

async fn list(
    client: &mut OAuthClientServiceClient<Broker>,
    tenant: Option<&TenantName>,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut clients = Vec::new();
    let mut request = ListOAuthClientsRequest { parent: parent(tenant), ..Default::default() };
    loop {
        let page = client.list_o_auth_clients(request.clone()).await?.into_inner();
        clients.extend(page.oauth_clients);
        if page.next_page_token.is_empty() {
            return printer.many("oauth_clients", &clients);
        }
        request.page_token = page.next_page_token;
    }
}

/// Only what was named changes.
fn update(
    name: &OauthClientName,
    display_name: Option<String>,
    tenants: Option<Vec<TenantName>>,
    etag: String,
) -> UpdateOAuthClientRequest {
    let paths = [("display_name", display_name.is_some()), ("client_credentials_tenants", tenants.is_some())];
    let paths = paths.into_iter().filter(|(_, named)| *named).map(|(path, _)| path.to_owned()).collect();
    UpdateOAuthClientRequest {
        oauth_client: Some(OAuthClient {
            name: name.to_string(),
            display_name: display_name.unwrap_or_default(),
            client_credentials_tenants: texts(&tenants.unwrap_or_default()),
            etag,
            ..OAuthClient::default()
        }),
        update_mask: Some(FieldMask { paths }),
    }
}

/// Empty for a shared client.
fn parent(tenant: Option<&TenantName>) -> String {
    tenant.map(ToString::to_string).unwrap_or_default()
}

fn texts(tenants: &[TenantName]) -> Vec<String> {
    tenants.iter().map(ToString::to_string).collect()
}
