//! What of the broker's messages is shown, and how. Pure.

mod connection;
mod oauth_client;
mod tenant;
mod token;

use prost_types::{Duration, Timestamp};
use serde_json::Value;

use crate::config::duration;

/// Something that can be shown in a table and as JSON.
pub trait Show {
    /// The columns of a list.
    const COLUMNS: &'static [&'static str];

    /// Its row in a list, by column.
    fn cells(&self) -> Vec<String>;

    /// Everything that there is to say to a person.
    fn facts(&self) -> Vec<(&'static str, String)>;

    /// Everything, by the field names of the proto; secrets are left out.
    fn json(&self) -> Value;
}

/// RFC 3339, or a dash.
fn time(time: Option<&Timestamp>) -> String {
    time.map_or_else(dash, ToString::to_string)
}

fn time_json(time: Option<&Timestamp>) -> Value {
    time.map_or(Value::Null, |time| time.to_string().into())
}

/// As people write it, or a dash.
fn period(period: Option<&Duration>) -> String {
    match period.map(|period| std::time::Duration::try_from(*period)) {
        Some(Ok(period)) => duration::format(period),
        Some(Err(_)) | None => dash(),
    }
}

/// As in the JSON of protocol buffers: `300s`.
fn period_json(period: Option<&Duration>) -> Value {
    period.map_or(Value::Null, |period| period.to_string().into())
}

/// An empty cell that is seen to be empty.
fn or_dash(text: &str) -> String {
    if text.is_empty() { dash() } else { text.to_owned() }
}

fn dash() -> String {
    "-".to_owned()
}

/// `STATE_IN_DOUBT` as people read it: `in doubt`.
fn words(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', " ")
}
