//! The command line, without a broker, and with one that is a few lines long.

mod arguments;
mod calls;
mod failures;
mod local;
mod rendering;

use clap::Parser as _;

use super::{Cli, ClientArgs, Failure, Tool, execute};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["token-broker"].into_iter().chain(line.split_whitespace()))
}

fn tool(line: &str) -> (Tool, ClientArgs) {
    let cli = parse(line).unwrap();
    match cli.command {
        super::Command::Tool(tool) => (tool, cli.client),
        other => panic!("{other:?} is no tool"),
    }
}

/// Runs a tool and returns what it prints.
async fn run(line: &str) -> (String, Result<(), Failure>) {
    let (tool, client) = tool(line);
    let mut out = Vec::new();
    let result = execute(tool, &client, &mut out).await;
    (String::from_utf8(out).unwrap(), result)
}
