//! The configuration.
#![expect(clippy::unwrap_used, reason = "a test")]

mod reading;
mod redis;
mod rules;
mod sample;

use token_broker::config::{Config, Invalid};

/// Loads `toml` with the variables given, as from a file.
fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, Invalid> {
    let file = tempfile::Builder::new().prefix("config").suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Config::load(Some(file.path()), variables)
}

/// The problems of a configuration that must not load, as shown.
fn problems(toml: &str, variables: &[(&str, &str)]) -> Vec<String> {
    load(toml, variables).unwrap_err().0.iter().map(ToString::to_string).collect()
}

/// The settings that have problems.
fn keys(toml: &str) -> Vec<String> {
    load(toml, &[]).unwrap_err().0.into_iter().map(|problem| problem.key).collect()
}
