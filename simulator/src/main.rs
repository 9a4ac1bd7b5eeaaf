//! A simulator on its own, for hand work and for tests in other languages.

use std::path::PathBuf;

use clap::Parser;
use procore_simulator::{Config, Environment, Simulator};

/// A strict, hostile Procore: an OAuth provider for tests
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// JSON file with any of the members of `Config`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of all random choices
    #[arg(long)]
    seed: Option<u64>,
    /// First of nine consecutive ports; 0 takes free ones
    #[arg(long, value_name = "PORT")]
    port_base: Option<u16>,
    /// Append every presentation to this file as a JSON line
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

impl Arguments {
    fn config(self) -> std::io::Result<Config> {
        let mut config = match &self.config {
            Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
            None => Config::default(),
        };
        config.seed = self.seed.unwrap_or(config.seed);
        config.port_base = self.port_base.unwrap_or(config.port_base);
        config.log_file = self.log_file.or(config.log_file);
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let simulator = Simulator::start(Arguments::parse().config()?).await?;
    announce(&simulator);
    tokio::signal::ctrl_c().await?;
    simulator.stop().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "telling where it listens is what the command is for")]
fn announce(simulator: &Simulator) {
    let control = simulator.control_base();
    println!("procore-simulator is listening\n");
    println!("{:<12}  {:<24}  {:<24}", "environment", "OAuth", "API");
    for environment in Environment::ALL {
        let (oauth, api) = (simulator.oauth_base(environment), simulator.api_base(environment));
        println!("{environment:<12}  {oauth:<24}  {api:<24}");
    }
    println!("\ncontrol       {control}\n");
    println!("Register a client, then authorize it as user 7 of company 42:");
    println!("  curl -d '{{\"environment\":\"production\",\"client\":{{}}}}' {control}/clients");
    println!(
        "  curl -d '{{\"environment\":\"production\",\"client_id\":\"…\",\"user\":7,\"company\":42}}' {control}/grants"
    );
    println!("See what was presented:\n  curl '{control}/log?format=table'");
    println!("Lose the next answer after the token was spent:");
    println!("  curl -d '{{\"kind\":\"reset\"}}' {control}/faults");
}
