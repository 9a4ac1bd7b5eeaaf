//! `migrate`: the tables of a `PostgreSQL` database, and who may use them.

use std::{fs, path::PathBuf};

use clap::Args;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Failure, Printer, Show};
use crate::store::postgres::{Migration, Migrations, State};

/// What `migrate` is told. The owner's URL is not part of the broker's configuration: what serves must not have it.
#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    /// A file with the URL of the database, of the user that owns its tables:
    /// `postgres://owner:password@host:port/database`.
    #[arg(long, value_name = "FILE", env = "TOKEN_BROKER_OWNER_URL_FILE")]
    pub owner_url_file: PathBuf,
    /// Show what is applied and what is pending, change nothing. Pending migrations are a failure.
    #[arg(long)]
    pub check: bool,
    /// Make this database user, which must exist, fit to serve.
    #[arg(long, value_name = "NAME")]
    pub serving_user: Option<String>,
}

/// A migration before and after.
struct Row {
    migration: Migration,
    was: State,
}

pub(super) async fn run(args: &MigrateArgs, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let file = &args.owner_url_file;
    let url = fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
    let url = SecretString::from(zeroize::Zeroizing::new(url).trim());
    let mut migrations = Migrations::connect(&url).await.map_err(Failure::because)?;
    let before = migrations.list().await.map_err(Failure::because)?;
    if !args.check {
        migrations.run().await.map_err(Failure::because)?;
        if let Some(user) = &args.serving_user {
            migrations.fit_to_serve(user).await.map_err(Failure::because)?;
        }
    }
    let after = migrations.list().await.map_err(Failure::because)?;
    let unfinished = after.iter().any(|migration| migration.state != State::Applied);
    let was = |version| {
        before.iter().find(|row| row.version == version).map_or(State::Pending, |migration| migration.state)
    };
    let rows: Vec<_> =
        after.into_iter().map(|migration| Row { was: was(migration.version), migration }).collect();
    printer.many("migrations", &rows)?;
    if unfinished { Err(Failure::usage("the database is not up to date with this program")) } else { Ok(()) }
}

impl Row {
    const fn word(&self) -> &'static str {
        match (self.was, self.migration.state) {
            (State::Pending, State::Applied) => "applied now",
            (_, State::Applied) => "applied",
            (_, State::Pending) => "pending",
            (_, State::Altered) => "applied, but it reads differently here",
            (_, State::Unknown) => "applied by a newer version",
        }
    }
}

impl Show for Row {
    const COLUMNS: &'static [&'static str] = &["migration", "name", "state"];

    fn cells(&self) -> Vec<String> {
        vec![self.migration.version.to_string(), self.migration.description.clone(), self.word().to_owned()]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.cells()).collect()
    }

    fn json(&self) -> Value {
        json!({
            "migration": self.migration.version,
            "name": self.migration.description,
            "state": self.word(),
        })
    }
}
