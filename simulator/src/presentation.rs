//! The presentation log: everything the token endpoint was ever shown, in order.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;

use serde::Serialize;

use crate::choices::RefusalKind;
use crate::config::Environment;

/// One request at a token endpoint, or the later processing of one.
///
/// An entry is written, and flushed to the log file, before any byte of its answer is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Presentation {
    /// Position in the log, from 1.
    pub seq: u64,
    /// The simulator's clock, Unix milliseconds.
    pub at_ms: i64,
    /// Where it was presented.
    pub environment: Environment,
    /// The client that the request named.
    pub client_id: Option<String>,
    /// The request's `grant_type`.
    pub grant_type: Option<String>,
    /// Lower-case hexadecimal SHA-256 of the presented refresh token or code.
    pub token_fingerprint: Option<String>,
    /// Short name of the presented token, stable for one simulator.
    pub token_id: Option<String>,
    /// The authorization that the presented token belongs to.
    pub grant_id: Option<String>,
    /// Position of the presented refresh token in its rotation chain; 0 is the first.
    pub generation: Option<u64>,
    /// Whether this environment ever issued the presented token.
    pub known: bool,
    /// Whether the same string was never presented to this simulator before.
    pub first_presentation: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// SHA-256 of the refresh token issued in answer.
    pub issued_fingerprint: Option<String>,
    /// The injected fault that met the request.
    pub fault: Option<String>,
    /// Address of the sender.
    pub remote: SocketAddr,
    /// Set when this is no new request but the processing of that earlier entry.
    pub continues: Option<u64>,
}

/// What became of a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The refresh token was exchanged for a new pair.
    Rotated,
    /// A code or client credentials were exchanged for tokens.
    Issued,
    /// A fault met the request before it was processed; the token is untouched.
    NotProcessed,
    /// A fault killed the refresh token and issued nothing.
    Consumed,
    /// Answered before the body was read, so that nothing is known of its content.
    Unread,
    /// Received, and to be processed later; a continuing entry says with what result.
    Held,
    /// Refused, by the `error` answered.
    #[serde(untagged)]
    Refused(RefusalKind),
}

/// What a request presents, as far as it could be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) client_id: Option<String>,
    pub(crate) grant_type: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) token_id: Option<String>,
    pub(crate) grant_id: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) known: bool,
}

/// Circumstances of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at_ms: i64,
    pub(crate) environment: Environment,
    pub(crate) remote: SocketAddr,
    pub(crate) fault: Option<String>,
    pub(crate) continues: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Presentation>,
    seen: HashMap<String, u64>,
    file: Option<File>,
}

impl Log {
    pub(crate) fn new(file: Option<File>) -> Self {
        Self { file, ..Self::default() }
    }

    pub(crate) fn entries(&self) -> &[Presentation] {
        &self.entries
    }

    /// Appends an entry and returns its number.
    pub(crate) fn append(
        &mut self,
        arrival: Arrival,
        subject: Subject,
        outcome: Outcome,
        issued_fingerprint: Option<String>,
    ) -> u64 {
        let seq = 1 + self.entries.len() as u64;
        let first = match (&subject.fingerprint, arrival.continues) {
            (Some(token), Some(earlier)) => self.seen.get(token) == Some(&earlier),
            (Some(token), None) => *self.seen.entry(token.clone()).or_insert(seq) == seq,
            (None, _) => false,
        };
        let entry = Presentation {
            seq,
            at_ms: arrival.at_ms,
            environment: arrival.environment,
            client_id: subject.client_id,
            grant_type: subject.grant_type,
            token_fingerprint: subject.fingerprint,
            token_id: subject.token_id,
            grant_id: subject.grant_id,
            generation: subject.generation,
            known: subject.known,
            first_presentation: first,
            outcome,
            issued_fingerprint,
            fault: arrival.fault,
            remote: arrival.remote,
            continues: arrival.continues,
        };
        self.write(&entry);
        self.entries.push(entry);
        seq
    }

    /// A checker that trusts the file would be misled by a missing line, so a failing disk stops everything.
    fn write(&mut self, entry: &Presentation) {
        let Some(file) = &mut self.file else { return };
        let mut line = serde_json::to_vec(entry).expect("a presentation has only string keys");
        line.push(b'\n');
        file.write_all(&line).and_then(|()| file.flush()).expect("the presentation log must be writable");
    }
}
