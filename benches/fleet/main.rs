//! What a fleet does on `PostgreSQL` and Redis: refreshes per second beside bare commits, a herd at one expired
//! connection beside a plain broadcast, and a million connections beside a thousand. Prints one table; fails when a
//! requirement is not held.
//!
//! Everything shares the same two processors: brokers, databases, callers and provider.

mod bare;
mod broadcast;
mod cost;
mod fill;
mod herd;
mod million;
mod provider;
mod refreshes;
mod world;

#[allow(dead_code, reason = "shared with the other bench, which uses more of it")]
#[path = "../broker/caller.rs"]
mod caller;
#[allow(dead_code, reason = "shared with the other bench, which uses more of it")]
#[path = "../broker/child.rs"]
mod child;
#[path = "../broker/codec.rs"]
mod codec;
#[path = "../broker/furnish.rs"]
mod furnish;
#[path = "../broker/report.rs"]
mod report;
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "made for tests")]
#[path = "../../tests/servers/mod.rs"]
mod servers;

use std::{env, path::PathBuf};

use anyhow::Context as _;
use token_broker::{config::Log, telemetry};

/// No server has a processor for itself.
const SERVERS_RUN_ON: &str = "0,1";

const USAGE: &str = "usage: [refreshes | fleet-herd | million]…";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo bench` says `--bench` to every benchmark.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", "broadcast", reply, address] => {
            telemetry::init(&Log::default());
            broadcast::serve(child::read(reply)?, address.as_ref()).await
        }
        [] => run(&["refreshes", "fleet-herd", "million"]).await,
        parts => run(parts).await,
    }
}

async fn run(parts: &[&str]) -> anyhow::Result<()> {
    let place = Place(env::temp_dir().join(format!("token-broker-fleet-{}", std::process::id())));
    std::fs::create_dir_all(&place.0).context("a folder for the benchmarks")?;
    world::insist_on_a_disk(&place.0)?;
    let mut findings = Vec::new();
    for part in parts {
        let place = place.0.join(part);
        std::fs::create_dir_all(&place)?;
        findings.extend(match *part {
            "refreshes" => refreshes::measure(&place).await?,
            "fleet-herd" => herd::measure(&place).await?,
            "million" => million::measure(&place).await?,
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
