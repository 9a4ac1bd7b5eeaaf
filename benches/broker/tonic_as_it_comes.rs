//! tonic as its own examples have it, returning the same message.

use std::{net::TcpListener, path::Path};

use bytes::Bytes;
use prost::Message as _;
use token_broker_proto::v1::{
    GetAccessTokenRequest, GetAccessTokenResponse,
    token_service_server::{TokenService, TokenServiceServer},
};
use tonic::{Request, Response, Status, transport::Server};

use crate::child;

struct Always(GetAccessTokenResponse);

#[tonic::async_trait]
impl TokenService for Always {
    async fn get_access_token(
        &self,
        _: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

/// Serves until it is told to stop.
pub(crate) async fn serve(reply: &Bytes, address_file: &Path) -> anyhow::Result<()> {
    let reply = GetAccessTokenResponse::decode(reply.clone())?;
    // `serve` takes a port and does not say which one it got.
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let serving = Server::builder().add_service(TokenServiceServer::new(Always(reply))).serve(address);
    child::announce(address_file, address)?;
    tokio::select! {
        served = serving => served?,
        () = child::stopped() => {}
    }
    Ok(())
}
