//! Migrating as an operator does: some build of the broker, told by its command line.

use std::{path::Path, process::Stdio};

use secrecy::ExposeSecret as _;
use tokio::process::Command;

use super::guarded;
use crate::servers::postgres::Database;

/// This build of the broker.
pub fn ours() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_token-broker"))
}

/// Brings a database to a program's schema, with `serving` fit to serve.
pub async fn migrate(program: &Path, database: &Database) {
    let url = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(url.path(), database.owner_url().expose_secret()).unwrap();
    let mut migrate = Command::new(program);
    migrate.args(["migrate", "--serving-user", "serving", "--owner-url-file"]).arg(url.path());
    migrate.stdin(Stdio::null()).kill_on_drop(true);
    let output = guarded("it is migrated", migrate.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
