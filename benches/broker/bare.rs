//! The broker's transport and dispatch, and nothing behind them: a path is compared, and bytes are returned.

use std::{
    convert::Infallible,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use token_broker::rpc::transport::listen;
use token_broker_proto::v1::GetAccessTokenRequest;
use tonic::{
    Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder},
    server::{Grpc, UnaryService},
    transport::Server,
};
use tower::{Layer, Service};

use crate::{caller::GET_ACCESS_TOKEN, child, codec::Encoded};

/// Serves until it is told to stop.
pub(crate) async fn serve(reply: &Bytes, address_file: &Path) -> anyhow::Result<()> {
    let (address, incoming) = listen(([127, 0, 0, 1], 0).into())?;
    child::announce(address_file, address)?;
    let (_health, health) = tonic_health::server::health_reporter();
    Server::builder()
        .max_concurrent_streams(4096)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .layer(Always(reply.clone()))
        .add_service(health)
        .serve_with_incoming_shutdown(incoming, child::stopped())
        .await?;
    Ok(())
}

/// The layer, the service and the method: always the same reply.
#[derive(Clone)]
struct Always(Bytes);

#[derive(Clone)]
struct Dispatch<S>(Bytes, S);

impl<S> Layer<S> for Always {
    type Service = Dispatch<S>;

    fn layer(&self, inner: S) -> Dispatch<S> {
        Dispatch(self.0.clone(), inner)
    }
}

impl<S> Service<Request<Body>> for Dispatch<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.1.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() != GET_ACCESS_TOKEN {
            return Box::pin(self.1.call(request));
        }
        let call = Always(self.0.clone());
        Box::pin(async move { Ok(Grpc::new(Reply).unary(call, request).await) })
    }
}

impl UnaryService<GetAccessTokenRequest> for Always {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, _: tonic::Request<GetAccessTokenRequest>) -> Self::Future {
        std::future::ready(Ok(tonic::Response::new(self.0.clone())))
    }
}

/// Protobuf in, as the broker must, and bytes out.
#[derive(Clone, Copy)]
struct Reply;

impl Codec for Reply {
    type Encode = Bytes;
    type Decode = GetAccessTokenRequest;
    type Encoder = Encoded;
    type Decoder = Self;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for Reply {
    type Item = GetAccessTokenRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let request = prost::Message::decode(buffer);
        request.map(Some).map_err(|_| Status::invalid_argument("not a request"))
    }
}
