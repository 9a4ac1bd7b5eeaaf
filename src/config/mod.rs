//! The configuration: one typed tree. `docs/config.toml` documents every setting with its default.
//!
//! A setting comes from a variable `TOKEN_BROKER__SECTION__KEY`, else from the file, else it is the default.
//! Secrets are never in the tree: a setting `*_file` says where one is.

mod database;
pub mod duration;
mod identity;
mod network;
mod problem;
mod reader;
mod redis;
mod refresh;
mod sections;
mod tree;
mod validate;

use std::{fs, path::Path};

use serde::{Deserialize as _, Serialize};

pub use identity::{Identity, Role, StaticIdentity, StaticPrincipal, TokenDigest};
pub use network::{InvalidNetwork, Network};
pub use problem::{Invalid, Origin, Problem};
pub use redis::{Redis, Sentinel};
pub use refresh::{Breaker, Refresh};
pub use sections::{
    Config, Database, Durability, Egress, Journal, Keys, Level, Listen, Log, LogFormat, Proxy, Retention,
    Shutdown,
};

use self::tree::{Node, PREFIX, join};

impl Config {
    /// Reads and validates the configuration. Every problem is reported, not only the first.
    ///
    /// `variables` is the environment of the process, or what a test says it is.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Invalid> {
        let mut tree =
            file.map_or_else(|| Ok(Node::root()), read).map_err(|problem| Invalid(vec![problem]))?;
        let mut ours: Vec<_> = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort_unstable();
        let mut problems: Vec<Problem> =
            ours.into_iter().filter_map(|(name, text)| tree.overlay(&name, text).err()).collect();
        let config = read_leniently(&tree, &mut problems);
        for mut problem in config.as_ref().map(Self::validate).unwrap_or_default() {
            let path: Vec<_> = tree::split(&problem.key);
            problem.origin = tree.origin(&path).clone();
            problems.push(problem);
        }
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Invalid(problems)),
        }
    }

    /// The configuration in force, as a file that would give it again. There is no secret in it.
    pub fn summary(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

fn read(path: &Path) -> Result<Node, Problem> {
    let text = fs::read_to_string(path).map_err(|error| Problem {
        key: String::new(),
        origin: Origin::File(path.into()),
        what: format!("cannot be read: {error}"),
    })?;
    Node::parse(&text, path)
}

/// Takes out what cannot be read and goes on, so that the next problem is found too.
fn read_leniently(tree: &Node, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut rest = tree.clone();
    loop {
        match Config::deserialize(&rest) {
            Ok(config) => return Some(config),
            Err(error) => {
                let origin = rest.origin(&error.path).clone();
                problems.push(Problem { key: join(&error.path), origin, what: error.what });
                if !rest.remove(&error.path) {
                    return None;
                }
            }
        }
    }
}

/// Serializes what must not be shown.
fn withheld<T, S: serde::Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
    "(withheld)".serialize(serializer)
}
