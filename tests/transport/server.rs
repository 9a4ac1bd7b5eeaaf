//! A tonic server on the tuned transport.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use token_broker::rpc::transport::listen;
use token_broker_proto::v1::{
    GetAccessTokenRequest, token_service_client::TokenServiceClient, token_service_server::TokenServiceServer,
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::Service as _;

use crate::{
    service::{Canned, Flood, name, token},
    soon,
};

/// A running server, and what its test holds of it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) canned: Canned,
    pub(crate) flood: Flood,
    pub(crate) health: tonic_health::server::HealthReporter,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::built(tonic::transport::Server::builder())
    }

    /// A server that asks silent clients whether they are there.
    pub(crate) fn pinging() -> Self {
        let builder = tonic::transport::Server::builder();
        Self::built(builder.http2_keepalive_interval(Some(Duration::from_millis(10))))
    }

    fn built(builder: tonic::transport::Server) -> Self {
        let (address, incoming) = listen(([127, 0, 0, 1], 0).into()).expect("listens");
        let (canned, flood) = (Canned::default(), Flood::default());
        let (health, health_service) = tonic_health::server::health_reporter();
        let tokens = TokenServiceServer::new(canned.clone());
        let service = {
            let (flood, tokens, health) = (flood.clone(), tokens, health_service);
            tower::service_fn(move |request: http::Request<Body>| {
                let (mut flood, mut tokens, mut health) = (flood.clone(), tokens.clone(), health.clone());
                async move {
                    match request.uri().path().split('/').nth(1) {
                        Some("test.Flood") => flood.call(request).await,
                        Some("grpc.health.v1.Health") => health.call(request).await,
                        _ => tokens.call(request).await,
                    }
                    .map_err(|never: Infallible| never)
                }
            })
        };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let stopped = async move { drop(stopped.await) };
            builder.serve_with_incoming_shutdown(service, incoming, stopped).await.expect("serves");
        });
        Self { address, canned, flood, health, stop: Some(stop), ended }
    }

    /// Begins a graceful shutdown.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().expect("stopped once").send(());
    }

    /// Waits until every connection is closed.
    pub(crate) async fn ended(self) {
        soon(self.ended).await.expect("no panic");
    }

    /// A client with one connection.
    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("a URI");
        soon(endpoint.connect()).await.expect("connects")
    }

    /// Makes one call on a new connection, and looks at the reply.
    pub(crate) async fn answers(&self) {
        call(self.channel().await, 200, 1).await;
    }
}

/// Makes one call and looks at every byte of its reply.
pub(crate) async fn call(channel: Channel, size: usize, seed: usize) {
    let request = GetAccessTokenRequest { name: name(size, seed), ..Default::default() };
    let mut client = TokenServiceClient::new(channel);
    let reply = soon(client.get_access_token(request)).await.expect("a reply").into_inner();
    assert!(Some(reply.access_token) == token(&name(size, seed)), "{size} bytes, seed {seed}");
}
