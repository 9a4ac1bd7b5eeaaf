//! `check-config`: the settings, and the files they name.

use std::fs::File;

use super::{Failure, Format, Printer, ServeArgs, failure::with_sources};
use crate::{
    config::{Config, Invalid, Problem},
    seal::KeyEncryptionKeys,
};

pub(super) fn run(args: &ServeArgs, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let config = args.load().map_err(Failure::because)?;
    let problems = files(&config);
    printer.configuration(&config)?;
    if problems.is_empty() { Ok(()) } else { Err(Failure::because(Invalid(problems))) }
}

impl Printer<'_> {
    /// What is in force.
    fn configuration(&mut self, config: &Config) -> Result<(), Failure> {
        match self.format() {
            Format::Table => self.line(config.summary().map_err(Failure::because)?.trim_end()),
            Format::Json => self.json(&serde_json::to_value(config).map_err(Failure::because)?),
        }
    }
}

/// What is wrong with the files that the settings name.
pub(super) fn files(config: &Config) -> Vec<Problem> {
    let mut problems = config.identity.principals().err().unwrap_or_default();
    if let Err(error) = KeyEncryptionKeys::load(&config.keys.file) {
        problems.push(Problem::new("keys.file", with_sources(&error)));
    }
    problems.extend(config.database.postgres_url().err());
    problems.extend(config.database.postgres_direct_url().err());
    let embedded = !config.database.is_postgres();
    let directory = config.database.path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if embedded && directory.is_some_and(|directory| !directory.is_dir()) {
        problems.push(Problem::new("database.path", "its directory does not exist"));
    }
    let proxy_ca = config.egress.proxy.as_ref().and_then(|proxy| proxy.ca_file.as_ref());
    for (key, path) in
        [("egress.ca_file", config.egress.ca_file.as_ref()), ("egress.proxy.ca_file", proxy_ca)]
    {
        if let Some(Err(error)) = path.map(File::open) {
            problems.push(Problem::new(key, format!("cannot be read: {error}")));
        }
    }
    problems
}
