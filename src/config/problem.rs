//! What is wrong with a setting: which one, where it was set, what was expected. Never the value.

use std::{fmt, path::Path, sync::Arc};

use serde::de::{self, Expected, Unexpected};

/// Where a setting was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In the configuration file.
    File(Arc<Path>),
    /// In a variable of the environment.
    Variable(Arc<str>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, e.g. `refresh.margin`; empty where there is no one setting.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong with it.
    pub what: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct Invalid(pub Vec<Problem>);

impl Problem {
    pub(crate) fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), origin: Origin::Default, what: what.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.origin) {
            ("", Origin::Default) => f.write_str(&self.what),
            ("", origin) => write!(f, "{origin}: {}", self.what),
            (key, Origin::Default) => write!(f, "`{key}`: {}", self.what),
            (key, origin) => write!(f, "`{key}` ({origin}): {}", self.what),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is invalid")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// A setting that could not be read. Its path grows outwards as the error travels up the tree.
#[derive(Debug)]
pub(super) struct ReadError {
    pub(super) path: Vec<String>,
    pub(super) what: String,
}

impl ReadError {
    pub(super) fn below(mut self, segment: impl Into<String>) -> Self {
        self.path.insert(0, segment.into());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for ReadError {}

/// serde's own messages quote the value; these do not.
impl de::Error for ReadError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self { path: Vec::new(), what: what.to_string() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {}", kind(&found)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("expected one of {}", list(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("there is no such setting; there are {}", list(expected))).below(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom("is required").below(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom("is set twice").below(field)
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}
