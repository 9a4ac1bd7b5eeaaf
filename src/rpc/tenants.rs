//! `tokenbroker.v1.TenantService`.

use token_broker_proto::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, ListTenantsResponse,
    Tenant as Wire, UpdateTenantRequest, tenant_service_server::TenantService,
};
use tonic::{Request, Response, Status};

use super::{
    admin::{Admin, wire_meta},
    request::{applied, expect_revision, masked, next_page, page, parse, revision, text},
};
use crate::{
    error::Refusal,
    model::{Tenant, TenantName, TenantUid},
};

/// Bytes of a display name.
pub(super) const MAX_DISPLAY_NAME: usize = 200;

#[tonic::async_trait]
impl TenantService for Admin {
    async fn create_tenant(&self, request: Request<CreateTenantRequest>) -> Result<Response<Wire>, Status> {
        let resource = |request: &CreateTenantRequest| format!("tenants/{}", request.tenant_id);
        self.audited(request, "TenantService.CreateTenant", resource, |this, request| async move {
            let tenant = Tenant {
                name: TenantName { tenant: parse("tenant_id", &request.tenant_id)? },
                uid: TenantUid(uuid::Uuid::now_v7()),
                display_name: display_name(&request.tenant.unwrap_or_default().display_name)?,
                meta: this.born(),
            };
            applied(this.store.create_tenant(&tenant).await?)?;
            Ok(wire(&tenant))
        })
        .await
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Result<Response<Wire>, Status> {
        let name = parse("name", &request.into_inner().name)?;
        Ok(Response::new(wire(&self.tenant_named(&name).await?)))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let request = request.into_inner();
        let asked = page(request.page_size, &request.page_token)?;
        let found = self.store.tenants(asked.after.as_deref(), asked.limit).await.map_err(Refusal::from)?;
        let last = found.items.last().map(|tenant| tenant.name.tenant.to_string());
        Ok(Response::new(ListTenantsResponse {
            tenants: found.items.iter().map(wire).collect(),
            next_page_token: next_page(found.more, last),
        }))
    }

    async fn update_tenant(&self, request: Request<UpdateTenantRequest>) -> Result<Response<Wire>, Status> {
        let resource = |request: &UpdateTenantRequest| request.tenant.clone().unwrap_or_default().name;
        self.audited(request, "TenantService.UpdateTenant", resource, |this, request| async move {
            let wanted = request.tenant.unwrap_or_default();
            let mut tenant = this.tenant_named(&parse("tenant.name", &wanted.name)?).await?;
            expect_revision(&wanted.etag, tenant.meta.revision)?;
            masked(request.update_mask.as_ref(), &["display_name"])?;
            tenant.display_name = display_name(&wanted.display_name)?;
            tenant.meta = this.touched(&tenant.meta);
            applied(this.store.update_tenant(&tenant).await?)?;
            Ok(wire(&tenant))
        })
        .await
    }

    async fn delete_tenant(&self, request: Request<DeleteTenantRequest>) -> Result<Response<()>, Status> {
        let resource = |request: &DeleteTenantRequest| request.name.clone();
        self.audited(request, "TenantService.DeleteTenant", resource, |this, request| async move {
            let name = parse("name", &request.name)?;
            applied(this.store.delete_tenant(&name, revision(&request.etag)?).await?)
        })
        .await
    }
}

pub(super) fn display_name(wanted: &str) -> Result<String, Refusal> {
    text("display_name", wanted, MAX_DISPLAY_NAME)
}

fn wire(tenant: &Tenant) -> Wire {
    let (etag, create_time, update_time) = wire_meta(&tenant.meta);
    Wire {
        name: tenant.name.to_string(),
        uid: tenant.uid.to_string(),
        display_name: tenant.display_name.clone(),
        etag,
        create_time,
        update_time,
    }
}
