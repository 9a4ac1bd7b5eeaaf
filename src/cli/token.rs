//! `token`.

use std::time::Duration;

use clap::Subcommand;
use token_broker_proto::v1::{GetAccessTokenRequest, token_service_client::TokenServiceClient};

use super::{Broker, Failure, Printer, connection::to_proto, names};
use crate::{config::duration, model::ConnectionName};

/// Access tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Get an access token of a connection: its facts, or the token itself with `--reveal`.
    Get {
        /// The connection, e.g. `acme/main`.
        #[arg(value_parser = names::connection)]
        name: ConnectionName,
        /// The least remaining life that you can use.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        min_ttl: Option<Duration>,
        /// The provider's API answered 401 to the token of this generation.
        #[arg(long, value_name = "GENERATION")]
        rejected_generation: Option<u64>,
        /// Print the token, and nothing else.
        #[arg(long)]
        reveal: bool,
    },
}

pub(super) async fn run(
    command: TokenCommand,
    broker: Broker,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let TokenCommand::Get { name, min_ttl, rejected_generation, reveal } = command;
    let request =
        GetAccessTokenRequest { name: name.to_string(), min_ttl: min_ttl.map(to_proto), rejected_generation };
    let response = TokenServiceClient::new(broker).get_access_token(request).await?.into_inner();
    if reveal { printer.line(&response.access_token) } else { printer.one(&response) }
}
