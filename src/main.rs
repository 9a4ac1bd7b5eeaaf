//! The binary: parse, dispatch, exit code.

use std::process::ExitCode;

use token_broker::{cli, lifecycle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::parse();
    let result = match cli.command {
        cli::Command::Tool(tool) => return cli::run(tool, &cli.client).await,
        cli::Command::Serve(args) => serve(args).await,
        #[cfg(feature = "dev")]
        cli::Command::Dev(args) => token_broker::dev::run(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => cli::complain(&error),
    }
}

async fn serve(args: cli::ServeArgs) -> anyhow::Result<()> {
    lifecycle::serve(args.load()?, args.address_file.as_deref()).await
}
