//! A broker as a process: it starts, serves until it is told to stop, and drains.

use std::path::Path;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{app::App, config::Config, telemetry};

/// Runs a broker until SIGTERM or SIGINT. `address_file` gets where it listens, as JSON, once it serves.
pub async fn serve(config: Config, address_file: Option<&Path>) -> anyhow::Result<()> {
    telemetry::init(&config.log);
    forbid_core_dumps();
    let app = App::start(config).await?;
    if let Some(path) = address_file {
        write_addresses(path, &app).with_context(|| format!("cannot write {}", path.display()))?;
    }
    stop_requested().await?;
    app.stop().await
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_requested() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Whole or not at all: whoever waits for the file never reads half of it.
fn write_addresses(path: &Path, app: &App) -> std::io::Result<()> {
    let addresses = serde_json::json!({ "grpc": app.grpc, "probes": app.probes });
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, addresses.to_string())?;
    std::fs::rename(unfinished, path)
}

/// The attack it stops: tokens of this process in a core file that somebody else may read.
fn forbid_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let limited = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    let hidden = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if limited.is_err() || hidden.is_err() {
        tracing::warn!("core dumps could not be forbidden");
    }
}
