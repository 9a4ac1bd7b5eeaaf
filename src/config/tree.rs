//! The file and the variables as one tree, in which every value knows where it was set.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::problem::{Origin, Problem};

/// Variables are named `TOKEN_BROKER__SECTION__KEY`.
pub(super) const PREFIX: &str = "TOKEN_BROKER__";

/// A value, and where it was set.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// By key.
    Table(BTreeMap<String, Node>),
    /// By index, so that taking one out leaves the others their places.
    Array(BTreeMap<usize, Node>),
    /// As TOML types it.
    Scalar(toml::Value),
    /// Text that means what the setting makes of it.
    Variable(String),
}

impl Node {
    pub(super) fn root() -> Self {
        Self { value: Value::Table(BTreeMap::new()), origin: Origin::Default }
    }

    /// A TOML file as a tree.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, Problem> {
        let origin = Origin::File(path.into());
        match text.parse::<toml::Table>() {
            Ok(table) => Ok(Self::from_toml(table.into(), &origin)),
            Err(error) => Err(Problem { key: String::new(), what: syntax(text, &error), origin }),
        }
    }

    pub(super) fn from_toml(value: toml::Value, origin: &Origin) -> Self {
        let value = match value {
            toml::Value::Table(table) => Value::Table(
                table.into_iter().map(|(key, value)| (key, Self::from_toml(value, origin))).collect(),
            ),
            toml::Value::Array(array) => Value::Array(
                array.into_iter().map(|value| Self::from_toml(value, origin)).enumerate().collect(),
            ),
            scalar => Value::Scalar(scalar),
        };
        Self { value, origin: origin.clone() }
    }

    /// Lays a variable over the tree. Others than ours are none of our business.
    pub(super) fn overlay(&mut self, name: &str, text: String) -> Result<(), Problem> {
        let Some(key) = name.strip_prefix(PREFIX) else {
            return Ok(());
        };
        let origin = Origin::Variable(Arc::from(name));
        let key = key.to_ascii_lowercase();
        let mut node = self;
        for segment in key.split("__") {
            if !matches!(node.value, Value::Table(_)) || segment.is_empty() {
                let what = "this variable does not name a setting".to_owned();
                return Err(Problem { key: String::new(), origin, what });
            }
            let Value::Table(table) = &mut node.value else { unreachable!("looked at above") };
            node = table
                .entry(segment.to_owned())
                .or_insert_with(|| Self { origin: origin.clone(), ..Self::root() });
        }
        *node = Self { value: Value::Variable(text), origin };
        Ok(())
    }

    /// Where the setting at `path` was set, or the nearest thing around it.
    pub(super) fn origin(&self, path: &[String]) -> &Origin {
        match path.split_first().and_then(|(first, rest)| Some((self.child(first)?, rest))) {
            Some((child, rest)) => child.origin(rest),
            None => &self.origin,
        }
    }

    /// Takes out the setting at `path`, or the nearest thing around it. `false`: there is nothing to take out.
    pub(super) fn remove(&mut self, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        if self.child(first).is_none() {
            return false;
        }
        self.child_mut(first).is_some_and(|child| child.remove(rest)) || self.take(first)
    }

    fn child(&self, segment: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(segment),
            Value::Array(array) => array.get(&index(segment)?),
            Value::Scalar(_) | Value::Variable(_) => None,
        }
    }

    fn child_mut(&mut self, segment: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Table(table) => table.get_mut(segment),
            Value::Array(array) => array.get_mut(&index(segment)?),
            Value::Scalar(_) | Value::Variable(_) => None,
        }
    }

    fn take(&mut self, segment: &str) -> bool {
        match &mut self.value {
            Value::Table(table) => table.remove(segment).is_some(),
            Value::Array(array) => index(segment).is_some_and(|index| array.remove(&index).is_some()),
            Value::Scalar(_) | Value::Variable(_) => false,
        }
    }
}

/// `["identity", "static", "[0]"]` as people write it.
pub(super) fn join(path: &[String]) -> String {
    path.iter().fold(String::new(), |mut key, segment| {
        if !key.is_empty() && !segment.starts_with('[') {
            key.push('.');
        }
        key + segment
    })
}

/// The inverse of [`join`].
pub(super) fn split(key: &str) -> Vec<String> {
    key.replace('[', ".[").split('.').filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

fn index(segment: &str) -> Option<usize> {
    segment.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The line, without quoting it as the error's own rendering does: a secret may stand there.
fn syntax(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    format!("line {line} is not TOML")
}
