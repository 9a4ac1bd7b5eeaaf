//! `tenant`.

use clap::Subcommand;
use prost_types::FieldMask;
use token_broker_proto::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, Tenant,
    UpdateTenantRequest, tenant_service_client::TenantServiceClient,
};

use super::{Broker, Failure, Printer, names};
use crate::model::TenantName;

/// Tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Create a tenant.
    Create {
        /// Its name, e.g. `acme`.
        #[arg(value_parser = names::tenant)]
        name: TenantName,
        /// For people.
        #[arg(long, default_value = "")]
        display_name: String,
    },
    /// Show a tenant.
    Get {
        /// Its name.
        #[arg(value_parser = names::tenant)]
        name: TenantName,
    },
    /// List the tenants.
    List,
    /// Change a tenant.
    Update {
        /// Its name.
        #[arg(value_parser = names::tenant)]
        name: TenantName,
        /// For people.
        #[arg(long)]
        display_name: String,
        /// Only if it has not changed since: its etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
    /// Delete a tenant that has neither connections nor OAuth clients.
    Delete {
        /// Its name.
        #[arg(value_parser = names::tenant)]
        name: TenantName,
        /// Only if it has not changed since: its etag.
        #[arg(long, default_value = "")]
        etag: String,
    },
}

pub(super) async fn run(
    command: TenantCommand,
    broker: Broker,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = TenantServiceClient::new(broker);
    match command {
        TenantCommand::Create { name, display_name } => {
            let request = CreateTenantRequest {
                tenant_id: name.tenant.to_string(),
                tenant: Some(Tenant { display_name, ..Tenant::default() }),
            };
            printer.one(client.create_tenant(request).await?.get_ref())
        }
        TenantCommand::Get { name } => {
            let request = GetTenantRequest { name: name.to_string() };
            printer.one(client.get_tenant(request).await?.get_ref())
        }
        TenantCommand::List => {
            let (mut tenants, mut request) = (Vec::new(), ListTenantsRequest::default());
            loop {
                let page = client.list_tenants(request.clone()).await?.into_inner();
                tenants.extend(page.tenants);
                if page.next_page_token.is_empty() {
                    break printer.many("tenants", &tenants);
                }
                request.page_token = page.next_page_token;
            }
        }
        TenantCommand::Update { name, display_name, etag } => {
            let request = UpdateTenantRequest {
                tenant: Some(Tenant { name: name.to_string(), display_name, etag, ..Tenant::default() }),
                update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
            };
            printer.one(client.update_tenant(request).await?.get_ref())
        }
        TenantCommand::Delete { name, etag } => {
            client.delete_tenant(DeleteTenantRequest { name: name.to_string(), etag }).await?;
            printer.done(&format!("deleted {name}"))
        }
    }
}
