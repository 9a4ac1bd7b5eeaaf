//! The transport under a real gRPC server, met by well-behaved and by odd clients. No test measures time: a
//! time limit only guards against hanging.

mod accepting;
mod half_close;
mod pings;
mod replies;
mod resets;
mod server;
mod service;
mod shutdown;
mod slow_reader;
mod streaming;
mod wire;

use std::time::Duration;

/// Fails instead of hanging.
async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_mins(1), what).await.expect("hangs")
}
