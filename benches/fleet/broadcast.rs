//! The plainest way to tell many callers the same: they all wait for one signal, and get the same bytes.

use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use token_broker::rpc::transport::listen;
use token_broker_proto::v1::{
    GetAccessTokenRequest, GetAccessTokenResponse,
    token_service_server::{TokenService, TokenServiceServer},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tonic::{Request, Response, Status, transport::Server};

use crate::child;

struct Waiting {
    reply: GetAccessTokenResponse,
    told: watch::Receiver<()>,
}

#[tonic::async_trait]
impl TokenService for Waiting {
    async fn get_access_token(
        &self,
        _: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        let mut told = self.told.clone();
        told.mark_unchanged();
        told.changed().await.map_err(|_| Status::unavailable("stopping"))?;
        Ok(Response::new(self.reply.clone()))
    }
}

/// Serves until it is told to stop; SIGUSR1 is the signal.
pub(crate) async fn serve(reply: Bytes, address_file: &Path) -> anyhow::Result<()> {
    let (tell, told) = watch::channel(());
    let mut signals = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            tell.send_replace(());
        }
    });
    let waiting = Waiting { reply: GetAccessTokenResponse::decode(reply)?, told };
    let (address, incoming) = listen(([127, 0, 0, 1], 0).into())?;
    child::announce(address_file, address)?;
    Server::builder()
        .max_concurrent_streams(4096)
        .add_service(TokenServiceServer::new(waiting))
        .serve_with_incoming_shutdown(incoming, child::stopped())
        .await?;
    Ok(())
}
