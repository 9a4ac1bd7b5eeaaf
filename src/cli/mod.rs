//! The command line: one binary for the broker and for the people who run it.
//!
//! ```text
//! exit code   0 done · 1 refused by the broker · 2 usage or configuration · 3 unavailable: try again
//! ```

mod check_config;
mod client;
mod connection;
mod failure;
mod keys;
mod migrate;
mod names;
mod oauth_client;
mod output;
mod secret;
mod show;
mod tenant;
#[cfg(test)]
mod tests;
mod token;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Invalid};

pub use client::{Broker, ClientArgs};
pub use connection::ConnectionCommand;
pub use failure::Failure;
pub use keys::KeysCommand;
pub use migrate::MigrateArgs;
pub use oauth_client::OauthClientCommand;
pub use output::{Format, Printer};
pub use show::Show;
pub use tenant::TenantCommand;
pub use token::TokenCommand;

/// A multi-tenant OAuth token broker.
#[derive(Debug, Parser)]
#[command(name = "token-broker", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to reach a running broker.
    #[command(flatten)]
    pub client: ClientArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a broker.
    Serve(ServeArgs),
    /// Run a broker with a simulated provider and a demo tenant, all in one process.
    #[cfg(feature = "dev")]
    Dev(DevArgs),
    /// Everything else: short-lived, with an exit code.
    #[command(flatten)]
    Tool(Tool),
}

/// What is done at once.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Check the configuration and show what is in force.
    CheckConfig(ServeArgs),
    /// Bring a PostgreSQL database up to date.
    Migrate(MigrateArgs),
    /// Key-encryption keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Tenants: the platform's customers.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// OAuth clients: apps registered at a provider.
    #[command(subcommand)]
    OauthClient(OauthClientCommand),
    /// Connections: authorised accounts of tenants.
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Access tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What a broker is started with.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The configuration file; without one, defaults and variables.
    #[arg(long, value_name = "FILE", env = "TOKEN_BROKER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Gets where the broker listens, as JSON, once it serves: for ports that were left to the system.
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
}

/// What `dev` is started with.
#[cfg(feature = "dev")]
#[derive(Clone, Debug, Args)]
pub struct DevArgs {
    /// Stop once the demo tenant has got its first token.
    #[arg(long)]
    pub exit_after_demo: bool,
    /// Where database and keys are kept between runs.
    #[arg(long, value_name = "DIR", default_value = ".token-broker")]
    pub dir: PathBuf,
    /// The port of gRPC; 0 for any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 7171)]
    pub grpc_port: u16,
    /// The port of the probes.
    #[arg(long, value_name = "PORT", default_value_t = 7172)]
    pub probes_port: u16,
    /// The port of the simulated provider.
    #[arg(long, value_name = "PORT", default_value_t = 7173)]
    pub provider_port: u16,
}

impl ServeArgs {
    /// Reads the configuration from the file and this process's variables.
    pub fn load(&self) -> Result<Config, Invalid> {
        // A variable that is not Unicode cannot be one of ours.
        let variables = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        Config::load(self.config.as_deref(), variables)
    }
}

/// Parses the arguments of the process; exits with 2, and says why, where they are wrong.
#[must_use]
pub fn parse() -> Cli {
    Cli::parse()
}

/// Runs a tool: its answer to the standard output, what went wrong to the standard error.
pub async fn run(tool: Tool, client: &ClientArgs) -> ExitCode {
    let mut answer = zeroize::Zeroizing::new(Vec::new());
    let result = execute(tool, client, &mut *answer).await;
    // Nobody is left to tell where the outputs themselves are closed.
    let _ = io::stdout().write_all(&answer);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "{}", failure.render(client.output));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Says what went wrong with a broker that did not start, or did not stop well.
#[must_use]
pub fn complain(error: &anyhow::Error) -> ExitCode {
    // Some errors from below end in line breaks of their own.
    let _ = writeln!(io::stderr(), "token-broker: {}", format!("{error:#}").trim_end());
    ExitCode::from(2)
}

async fn execute(tool: Tool, client: &ClientArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let mut printer = Printer::new(client.output, out);
    match tool {
        Tool::CheckConfig(args) => check_config::run(&args, &mut printer),
        Tool::Migrate(args) => migrate::run(&args, &mut printer).await,
        Tool::Keys(command) => keys::run(command, &mut printer),
        Tool::Tenant(command) => tenant::run(command, client.connect().await?, &mut printer).await,
        Tool::OauthClient(command) => oauth_client::run(command, client.connect().await?, &mut printer).await,
        Tool::Connection(command) => connection::run(command, client.connect().await?, &mut printer).await,
        Tool::Token(command) => token::run(command, client.connect().await?, &mut printer).await,
    }
}
