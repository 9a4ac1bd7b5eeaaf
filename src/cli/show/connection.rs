//! Connections, their attempts and events.

use serde_json::{Value, json};
use token_broker_proto::v1::{
    Attempt, Connection, Event, InspectConnectionResponse, KeptAnswer, WitnessEntry,
};

use super::{Show, or_dash, period, period_json, time, time_json, words};
use crate::cli::{Failure, Format, Printer};

impl Show for Connection {
    const COLUMNS: &'static [&'static str] =
        &["name", "state", "generation", "expires", "account", "oauth client"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            words(self.state().as_str_name(), "STATE_"),
            self.generation.to_string(),
            time(self.expire_time.as_ref()),
            or_dash(&self.account_id),
            self.oauth_client.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("name", self.name.clone()),
            ("uid", self.uid.clone()),
            ("display name", or_dash(&self.display_name)),
            ("state", words(self.state().as_str_name(), "STATE_")),
            ("generation", self.generation.to_string()),
            ("token expires", time(self.expire_time.as_ref())),
            ("oauth client", self.oauth_client.clone()),
            ("grant type", words(self.grant_type().as_str_name(), "GRANT_TYPE_")),
            ("account", or_dash(&self.account_id)),
            ("largest min_ttl", period(self.max_min_ttl.as_ref())),
            ("etag", or_dash(&self.etag)),
            ("created", time(self.create_time.as_ref())),
            ("updated", time(self.update_time.as_ref())),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "uid": self.uid,
            "display_name": self.display_name,
            "oauth_client": self.oauth_client,
            "grant_type": self.grant_type().as_str_name(),
            "account_id": self.account_id,
            "max_min_ttl": period_json(self.max_min_ttl.as_ref()),
            "state": self.state().as_str_name(),
            "generation": self.generation,
            "expire_time": time_json(self.expire_time.as_ref()),
            "etag": self.etag,
            "create_time": time_json(self.create_time.as_ref()),
            "update_time": time_json(self.update_time.as_ref()),
        })
    }
}

impl Show for Attempt {
    const COLUMNS: &'static [&'static str] =
        &["dispatched", "generation", "outcome", "cause", "replica", "attempt"];

    fn cells(&self) -> Vec<String> {
        vec![
            time(self.dispatch_time.as_ref()),
            self.generation.to_string(),
            if self.outcome.is_empty() { "open".to_owned() } else { words(&self.outcome, "") },
            self.cause.clone(),
            self.replica.clone(),
            self.attempt_id.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.cells()).collect()
    }

    fn json(&self) -> Value {
        json!({
            "attempt_id": self.attempt_id,
            "generation": self.generation,
            "replica": self.replica,
            "cause": self.cause,
            "dispatch_time": time_json(self.dispatch_time.as_ref()),
            "outcome": self.outcome,
            "close_time": time_json(self.close_time.as_ref()),
        })
    }
}

impl Show for Event {
    const COLUMNS: &'static [&'static str] = &["at", "generation", "event"];

    fn cells(&self) -> Vec<String> {
        vec![time(self.create_time.as_ref()), self.generation.to_string(), words(&self.kind, "")]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.cells()).collect()
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "generation": self.generation,
            "create_time": time_json(self.create_time.as_ref()),
        })
    }
}

impl Show for KeptAnswer {
    const COLUMNS: &'static [&'static str] = &["received", "generation", "in", "attempt"];

    fn cells(&self) -> Vec<String> {
        vec![
            time(self.receive_time.as_ref()),
            self.generation.to_string(),
            self.medium.clone(),
            self.attempt_id.clone(),
        ]
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.cells()).collect()
    }

    fn json(&self) -> Value {
        json!({
            "medium": self.medium,
            "attempt_id": self.attempt_id,
            "generation": self.generation,
            "receive_time": time_json(self.receive_time.as_ref()),
        })
    }
}

fn witness_words(entry: &WitnessEntry) -> String {
    let revoked = if entry.revoked { ", revoked" } else { "" };
    let attempt = if entry.attempt_id.is_empty() { "nobody" } else { &entry.attempt_id };
    format!("generation {} by {attempt}{revoked}", entry.generation)
}

fn witness_json(entry: &WitnessEntry) -> Value {
    json!({ "generation": entry.generation, "attempt_id": entry.attempt_id, "revoked": entry.revoked })
}

impl Printer<'_> {
    /// A connection with what happened to it.
    pub fn inspection(&mut self, inspection: &InspectConnectionResponse) -> Result<(), Failure> {
        let InspectConnectionResponse {
            connection,
            grant_state,
            attempts,
            events,
            witness,
            kept_answers,
            unavailable,
        } = inspection;
        if self.format() == Format::Json {
            return self.json(&json!({
                "connection": connection.as_ref().map(Show::json),
                "grant_state": grant_state,
                "attempts": attempts.iter().map(Show::json).collect::<Vec<_>>(),
                "events": events.iter().map(Show::json).collect::<Vec<_>>(),
                "witness": witness.as_ref().map(witness_json),
                "kept_answers": kept_answers.iter().map(Show::json).collect::<Vec<_>>(),
                "unavailable": unavailable,
            }));
        }
        let mut facts = connection.as_ref().map(Show::facts).unwrap_or_default();
        facts.push(("grant", words(grant_state, "")));
        facts.extend(witness.as_ref().map(|entry| ("witness", witness_words(entry))));
        facts.extend((!unavailable.is_empty()).then(|| ("not asked", unavailable.join(", "))));
        self.facts(facts)?;
        self.line("\nAttempts, newest first")?;
        self.many("attempts", attempts)?;
        if !kept_answers.is_empty() {
            self.line("\nAnswers kept beside the database")?;
            self.many("answers", kept_answers)?;
        }
        self.line("\nEvents, newest first")?;
        self.many("events", events)
    }
}
