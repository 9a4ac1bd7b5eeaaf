//! gRPC: the order of layers in one place, one thin file per service, and the only map from refusal to status.

use std::{io, net::SocketAddr, sync::Arc};

use token_broker_proto::v1::{
    GetAccessTokenRequest, GetAccessTokenResponse,
    connection_service_server::ConnectionServiceServer,
    o_auth_client_service_server::OAuthClientServiceServer,
    tenant_service_server::TenantServiceServer,
    token_service_server::{TokenService, TokenServiceServer},
};
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    cache::Cache,
    clock::Clock,
    error::{Reason, Refusal},
    identity::Authenticator,
    refresh::Refresher,
    store::Store,
};

mod admin;
mod connection_view;
mod connections;
mod dispatch;
mod oauth_clients;
mod request;
pub mod status;
mod tenants;
mod token;
pub mod transport;

/// Messages are small; a larger one is an attack on memory.
const MAX_MESSAGE: usize = 256 * 1024;
/// Concurrent calls of one HTTP/2 connection.
const MAX_STREAMS: u32 = 4096;

/// What the gRPC server is made of.
#[expect(missing_docs, reason = "named by their types")]
pub struct Parts {
    pub authenticator: Authenticator,
    pub store: Arc<dyn Store>,
    pub refresher: Arc<Refresher>,
    pub cache: Arc<Cache>,
    pub clock: Clock,
}

/// A bound gRPC listener that does not serve yet.
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    incoming: transport::Incoming,
}

/// Binds.
pub fn listen(address: SocketAddr) -> io::Result<Listener> {
    let (address, incoming) = transport::listen(address)?;
    Ok(Listener { address, incoming })
}

/// Serves until `shutdown`; calls in flight are finished first.
pub async fn serve(
    parts: Parts,
    listener: Listener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let Parts { authenticator, store, refresher, cache, clock } = parts;
    let admin = admin::Admin::new(store, refresher.clone(), cache.clone(), clock);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<TokenServiceServer<Unrouted>>().await;
    // The order of layers, outermost first: HTTP/2, grpc-timeout, dispatch (identity, policy, cached tokens), router.
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(30)))
        .layer(dispatch::DispatchLayer::new(authenticator, token::Tokens::new(cache, refresher)))
        .add_service(TenantServiceServer::new(admin.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(OAuthClientServiceServer::new(admin.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(ConnectionServiceServer::new(admin).max_decoding_message_size(MAX_MESSAGE))
        .add_service(health_service)
        .add_service(reflection_v1())
        .add_service(reflection_v1alpha())
        .serve_with_incoming_shutdown(listener.incoming, shutdown)
        .await
}

fn reflection_v1()
-> tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(token_broker_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors were compiled with this crate")
}

fn reflection_v1alpha() -> tonic_reflection::server::v1alpha::ServerReflectionServer<
    impl tonic_reflection::server::v1alpha::ServerReflection,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(token_broker_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()
        .expect("the descriptors were compiled with this crate")
}

/// The dispatcher answers `TokenService` before the router; this names the service for health.
struct Unrouted;

#[tonic::async_trait]
impl TokenService for Unrouted {
    async fn get_access_token(
        &self,
        _: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        Err(Refusal::new(Reason::Internal).into())
    }
}
