//! Canned services.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::StreamBody;
use token_broker_proto::v1::{GetAccessTokenRequest, GetAccessTokenResponse, token_service_server};
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status, body::Body};

/// The name that is answered only when the test says so.
pub(crate) const HELD: &str = "held";

/// The name that is answered with a token of this size.
pub(crate) fn name(size: usize, seed: usize) -> String {
    format!("{size}/{seed}")
}

/// The token of a name: differs from its neighbours' in every byte.
pub(crate) fn token(name: &str) -> Option<String> {
    let (size, seed) = name.split_once('/')?;
    let (size, seed): (usize, usize) = (size.parse().ok()?, seed.parse().ok()?);
    Some((0..size).map(|at| char::from(b'a' + u8::try_from((at + seed) % 26).expect("small"))).collect())
}

/// Answers with tokens made of their names, and holds the calls that ask for it.
#[derive(Clone)]
pub(crate) struct Canned(Arc<Gate>);

struct Gate {
    held: watch::Sender<usize>,
    release: Semaphore,
}

impl Default for Canned {
    fn default() -> Self {
        Self(Arc::new(Gate { held: watch::Sender::new(0), release: Semaphore::new(0) }))
    }
}

impl Canned {
    /// Waits until so many calls are held.
    pub(crate) async fn held(&self, calls: usize) {
        self.0.held.subscribe().wait_for(|held| *held == calls).await.expect("the gate lives");
    }

    /// Lets all held calls go.
    pub(crate) fn release(&self) {
        self.0.release.add_permits(1000);
    }
}

/// Counts a held call until it is answered or dropped.
struct Hold(Arc<Gate>);

impl Hold {
    fn new(gate: &Arc<Gate>) -> Self {
        gate.held.send_modify(|held| *held += 1);
        Self(gate.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}

#[tonic::async_trait]
impl token_service_server::TokenService for Canned {
    async fn get_access_token(
        &self,
        request: Request<GetAccessTokenRequest>,
    ) -> Result<Response<GetAccessTokenResponse>, Status> {
        let name = request.into_inner().name;
        if name == HELD {
            let _hold = Hold::new(&self.0);
            let _ = self.0.release.acquire().await;
            return Ok(Response::new(GetAccessTokenResponse::default()));
        }
        let access_token = token(&name).ok_or_else(|| Status::invalid_argument("size/seed"))?;
        Ok(Response::new(GetAccessTokenResponse { access_token, ..Default::default() }))
    }
}

/// One message of the flood.
pub(crate) const DROP: [u8; 16 * 1024] = [42; 16 * 1024];

/// Streams without end as fast as it is let, and counts what it was asked for.
#[derive(Clone, Default)]
pub(crate) struct Flood(Arc<AtomicUsize>);

impl Flood {
    pub(crate) fn poured(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl tower::Service<http::Request<Body>> for Flood {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        let poured = self.0.clone();
        let drops = futures_util::stream::repeat_with(move || {
            poured.fetch_add(DROP.len(), Ordering::Relaxed);
            Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(&DROP)))
        });
        std::future::ready(Ok(http::Response::new(Body::new(StreamBody::new(drops)))))
    }
}
