//! What a cached `GetAccessToken` costs, beside two servers that return the same bytes, and how a herd at an
//! expired connection fares. Prints one table; fails when a requirement is not held.
//!
//! Servers are pinned to the first processor, and `scripts/bench` pins this process, the load generator and
//! the simulated provider to the second.

mod bare;
mod caller;
mod child;
mod codec;
mod furnish;
mod herd;
mod house;
mod instructions;
mod report;
mod rivals;
mod tonic_as_it_comes;

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;
use token_broker::{config::Log, telemetry};

/// The processor that servers have for themselves.
const SERVERS_RUN_ON: &str = "0";

const USAGE: &str = "usage: [throughput | instructions | herd]…";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo bench` says `--bench` to every benchmark.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", kind, reply, address] => serve(kind, &child::read(reply)?, address.as_ref()).await,
        [] => run(&["throughput", "instructions", "herd"]).await,
        parts => run(parts).await,
    }
}

/// One of the broker's rivals. They log as the broker does: where nobody listens, `tracing` formats every span
/// of h2 for `log`, thousands of instructions per call, and a rival without telemetry would lose for that alone.
async fn serve(kind: &str, reply: &Bytes, address_file: &Path) -> anyhow::Result<()> {
    telemetry::init(&Log::default());
    match kind {
        "bare" => bare::serve(reply, address_file).await,
        _ => tonic_as_it_comes::serve(reply, address_file).await,
    }
}

async fn run(parts: &[&str]) -> anyhow::Result<()> {
    let place = Place(env::temp_dir().join(format!("token-broker-bench-{}", std::process::id())));
    std::fs::create_dir_all(&place.0).context("a folder for the benchmarks")?;
    let mut findings = Vec::new();
    for part in parts {
        findings.extend(match *part {
            "throughput" => rivals::throughput(&place.0).await?,
            "instructions" => instructions::measure(&place.0).await?,
            "herd" => herd::measure(&place.0).await?,
            other => anyhow::bail!("{other}? {USAGE}"),
        });
    }
    report::print(&findings)
}

/// A folder that goes away.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
