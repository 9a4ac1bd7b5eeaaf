//! The presentation log for people.

use std::fmt::Write as _;

use crate::presentation::Presentation;

pub(super) fn render(entries: &[&Presentation]) -> String {
    let mut table = format!(
        "{:>5}  {:<10}  {:<18}  {:<12}  {:<11}  {:>4}  {:<22}  {}\n",
        "seq", "env", "grant_type", "token", "grant", "gen", "outcome", "remark"
    );
    for entry in entries {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let outcome = serde_json::to_value(entry.outcome).unwrap_or_default();
        writeln!(
            table,
            "{:>5}  {:<10}  {:<18}  {:<12}  {:<11}  {:>4}  {:<22}  {}",
            entry.seq,
            entry.environment,
            text(&entry.grant_type),
            text(&entry.token_id),
            text(&entry.grant_id),
            entry.generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string()),
            outcome.as_str().unwrap_or_default(),
            remark(entry),
        )
        .expect("writing to a string cannot fail");
    }
    table
}

/// Whatever makes the entry worth a second look.
fn remark(entry: &Presentation) -> String {
    let mut remarks = Vec::new();
    if let Some(earlier) = entry.continues {
        remarks.push(format!("continues {earlier}"));
    } else if entry.token_fingerprint.is_some() && !entry.first_presentation {
        remarks.push("PRESENTED BEFORE".to_owned());
    }
    if entry.token_fingerprint.is_some() && !entry.known {
        remarks.push("unknown here".to_owned());
    }
    if let Some(fault) = &entry.fault {
        remarks.push(format!("fault: {fault}"));
    }
    remarks.join(", ")
}
