//! Calls, against a tenant service of a few lines.

use async_trait::async_trait;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use token_broker_proto::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, ListTenantsResponse,
    Tenant, UpdateTenantRequest,
    tenant_service_server::{TenantService, TenantServiceServer},
};
use tonic::{Request, Response, Status};
use tower::Service as _;

use super::run;
use crate::cli::Failure;

const TOKEN: &str = "canary-bearer-0123456789";

/// Five tenants on pages of two, for whoever has the token.
struct Tenants;

fn tenant(name: String) -> Response<Tenant> {
    Response::new(Tenant { name, ..Tenant::default() })
}

fn authenticate<T>(request: Request<T>) -> Result<T, Status> {
    let sent = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    if sent == Some(&format!("Bearer {TOKEN}")) {
        Ok(request.into_inner())
    } else {
        Err(Status::unauthenticated("who are you"))
    }
}

#[async_trait]
impl TenantService for Tenants {
    async fn create_tenant(&self, request: Request<CreateTenantRequest>) -> Result<Response<Tenant>, Status> {
        Ok(tenant(format!("tenants/{}", authenticate(request)?.tenant_id)))
    }

    async fn get_tenant(&self, request: Request<GetTenantRequest>) -> Result<Response<Tenant>, Status> {
        Ok(tenant(authenticate(request)?.name))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let first = authenticate(request)?.page_token.parse().unwrap_or(0);
        let page = first..(first + 2).min(5);
        let next_page_token = if page.end < 5 { page.end.to_string() } else { String::new() };
        let tenants = page.map(|index| tenant(format!("tenants/t{index}")).into_inner()).collect();
        Ok(Response::new(ListTenantsResponse { tenants, next_page_token }))
    }

    async fn update_tenant(&self, request: Request<UpdateTenantRequest>) -> Result<Response<Tenant>, Status> {
        let UpdateTenantRequest { tenant, update_mask } = authenticate(request)?;
        assert_eq!(update_mask.unwrap().paths, ["display_name"]);
        Ok(Response::new(tenant.unwrap()))
    }

    async fn delete_tenant(&self, request: Request<DeleteTenantRequest>) -> Result<Response<()>, Status> {
        authenticate(request)?;
        Err(Status::failed_precondition("it has connections"))
    }
}

/// The arguments that lead to the service, with the right token.
async fn serve(dir: &tempfile::TempDir) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service_fn(|request| TenantServiceServer::new(Tenants).call(request));
            let connection =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
            tokio::spawn(connection);
        }
    });
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    format!("--server http://{address} --token-file {}", file.display())
}

#[tokio::test]
async fn a_list_is_every_page() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir).await;
    let (shown, result) = run(&format!("tenant list --output json {server}")).await;
    result.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["tenants"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn calls_say_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir).await;
    for (line, expected) in [
        ("tenant create acme", "tenants/acme"),
        ("tenant get acme", "tenants/acme"),
        ("tenant update acme --display-name Renamed", "Renamed"),
    ] {
        let (shown, result) = run(&format!("{line} {server}")).await;
        result.unwrap();
        assert!(shown.contains(expected), "{shown}");
    }
}

#[tokio::test]
async fn refusals_and_absence_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir).await;
    let (shown, result) = run(&format!("tenant delete acme {server}")).await;
    let failure = result.unwrap_err();
    assert!(matches!(failure, Failure::Refused(_)) && failure.exit_code() == 1 && shown.is_empty());

    std::fs::write(dir.path().join("token"), "canary-another-token").unwrap();
    let failure = run(&format!("tenant get acme {server}")).await.1.unwrap_err();
    assert!(!format!("{failure:?}").contains("canary"));

    let failure = run("tenant list --server http://127.0.0.1:1").await.1.unwrap_err();
    assert_eq!(failure.exit_code(), 3);
}
