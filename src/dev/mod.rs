//! `token-broker dev`: broker, simulated provider and demo tenant in one process, without any setup.

use std::fmt::Write as _;

use procore_simulator::Environment;

use crate::{app::App, cli::DevArgs, lifecycle, telemetry};

mod demo;
mod folder;
mod provider;
mod seed;

use folder::Folder;

/// Seconds that the simulated provider's access tokens live: short, so that refreshes are seen.
const TOKEN_LIFE: u64 = 30;

/// Runs until it is interrupted, or through the demo.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    if args.exit_after_demo {
        return demo::run().await;
    }
    let folder = Folder::open(&args.dir)?;
    let provider = provider::start(args.provider_port, TOKEN_LIFE).await?;
    let config = folder.config(&provider, args.grpc_port, args.probes_port)?;
    telemetry::init(&config.log);
    let app = App::start(config).await?;
    let seeded = seed::seed(app.grpc, &folder, &provider).await?;
    print(&welcome(&app, &folder, &provider, &seeded));
    lifecycle::stop_requested().await?;
    app.stop().await?;
    provider.simulator.stop().await;
    Ok(())
}

fn welcome(app: &App, folder: &Folder, provider: &provider::Provider, seeded: &seed::Seeded) -> String {
    let (grpc, probes) = (app.grpc, app.probes);
    let consumer = folder.consumer_token_file();
    let consumer = consumer.display();
    let control = provider.simulator.control_base();
    let mut text = String::new();
    let _ = writeln!(text, "\ntoken-broker dev: broker, provider and demo tenant in this process\n");
    let _ = writeln!(text, "  gRPC      {grpc}");
    let _ = writeln!(text, "  probes    http://{probes}/readyz");
    let _ = writeln!(
        text,
        "  provider  {} (a strict, simulated Procore)",
        provider.simulator.oauth_base(Environment::Sandbox)
    );
    let _ = writeln!(text, "  folder    {}\n", folder.path().display());
    for token in &seeded.tokens {
        let _ = writeln!(text, "  {token}");
    }
    let _ = writeln!(text, "\nWhat to type next, in another terminal:\n");
    let _ = writeln!(
        text,
        "  grpcurl -plaintext -H \"authorization: Bearer $(cat {consumer})\" \\\n    -d '{{\"name\":\"{}\"}}' {grpc} tokenbroker.v1.TokenService/GetAccessToken\n",
        seed::IMPORTED,
    );
    let _ = writeln!(
        text,
        "  cargo run -q -- token get demo/main --server http://{grpc} --token-file {consumer}\n",
    );
    let _ = writeln!(text, "  curl '{control}/log?format=table'\n");
    let _ = writeln!(text, "Ctrl-C stops it.");
    text
}

#[expect(clippy::print_stdout, reason = "what a person reads")]
pub(crate) fn print(text: &str) {
    println!("{text}");
}
