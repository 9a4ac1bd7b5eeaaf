//! Tables for people, JSON for programs.

use std::{fmt, io::Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::{Failure, Show};

/// How answers look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: fields are named as in the .proto files.
    Json,
}

/// Writes answers.
pub struct Printer<'a> {
    format: Format,
    out: &'a mut (dyn Write + Send),
}

impl<'a> Printer<'a> {
    /// A printer that writes to `out`.
    pub fn new(format: Format, out: &'a mut (dyn Write + Send)) -> Self {
        Self { format, out }
    }

    /// One thing with all its fields.
    pub fn one<T: Show>(&mut self, item: &T) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.facts(item.facts()),
            Format::Json => self.json(&item.json()),
        }
    }

    /// A list; `name` is the list's field in the proto.
    pub fn many<T: Show>(&mut self, name: &str, items: &[T]) -> Result<(), Failure> {
        match self.format {
            Format::Table if items.is_empty() => self.line("none"),
            Format::Table => self.line(&table(Some(T::COLUMNS), items.iter().map(Show::cells))),
            Format::Json => self.json(&json!({ name: items.iter().map(Show::json).collect::<Vec<_>>() })),
        }
    }

    /// That something was done which has no answer of its own.
    pub fn done(&mut self, what: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.line(what),
            Format::Json => self.json(&json!({})),
        }
    }

    /// A text alone, in either format.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}")
            .map_err(|error| Failure::usage(format!("the output cannot be written: {error}")))
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn facts(&mut self, facts: Vec<(&'static str, String)>) -> Result<(), Failure> {
        self.line(&table(None, facts.into_iter().map(|(name, value)| vec![name.to_owned(), value])))
    }

    pub(super) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&format!("{value:#}"))
    }
}

impl fmt::Debug for Printer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Without borders: what is copied from it is what was meant.
pub(super) fn table(header: Option<&[&str]>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    if let Some(header) = header {
        table.set_header(header.iter().map(|name| name.to_uppercase()));
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// The attack this stops: a display name with escape sequences that rewrite an operator's terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
