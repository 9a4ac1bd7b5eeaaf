//! The small second listener: probes for Kubernetes.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    refresh::{Fleet, Refresher},
    store::Store,
};

/// What the probes look at.
#[derive(Clone)]
pub struct Probes {
    /// Asked for its reasons, not for readiness.
    pub store: Arc<dyn Store>,
    /// Whether it drains.
    pub refresher: Arc<Refresher>,
    /// What it has beside its store.
    pub fleet: Fleet,
}

/// Serves `/livez` and `/readyz` until `shutdown`.
pub async fn serve(
    listener: TcpListener,
    probes: Probes,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let routes =
        Router::new().route("/livez", get(|| async { "ok" })).route("/readyz", get(ready)).with_state(probes);
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

/// Ready means: can authenticate callers and answer from memory. A lost dependency is a reason, not
/// unreadiness: it would take the tokens in memory out of service too (P4).
async fn ready(State(probes): State<Probes>) -> (StatusCode, Json<serde_json::Value>) {
    let draining = probes.refresher.is_draining();
    let mut reasons = Vec::new();
    if draining {
        reasons.push("draining");
    }
    if probes.store.entries(1).await.is_err() {
        reasons.push("store_unavailable");
    }
    reasons.extend(probes.fleet.reasons());
    let status = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(serde_json::json!({ "ready": !draining, "reasons": reasons })))
}
