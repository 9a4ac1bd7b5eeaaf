//! The broker's database, read beside it.

use std::{collections::HashMap, path::Path};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

/// Grants, attempts and events, as committed.
#[derive(Debug, Default)]
pub struct Rows {
    /// By connection name.
    pub grants: HashMap<String, Grant>,
}

/// A grant with its history.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its generation.
    pub generation: u64,
    /// Its state.
    pub state: String,
    /// The attempt that it is about, in hexadecimal.
    pub attempt: Option<String>,
    /// Nothing is sent before; microseconds.
    pub not_before: Option<i64>,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// Oldest first.
    pub events: Vec<String>,
}

/// An attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// In hexadecimal.
    pub id: String,
    /// The generation whose token it was for.
    pub generation: u64,
    /// When it was recorded; microseconds.
    pub dispatched_at: i64,
    /// What became of it; absent while it is open.
    pub outcome: Option<String>,
}

impl Rows {
    /// Reads them.
    pub async fn read(database: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(database).read_only(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let mut snapshot = connection.begin().await.unwrap();
        let grants = sqlx::query_as::<_, (String, i64, String, Option<String>, Option<i64>)>(
            "SELECT c.name, g.generation, g.state, hex(g.attempt_id), g.not_before
            FROM grants g JOIN connections c ON c.uid = g.connection_uid",
        );
        let grants = grants.fetch_all(&mut *snapshot).await.unwrap();
        let attempts = sqlx::query_as::<_, (String, String, i64, i64, Option<String>)>(
            "SELECT c.name, hex(a.attempt_id), a.generation, a.dispatched_at, a.outcome
            FROM attempts a JOIN connections c ON c.uid = a.connection_uid ORDER BY a.seq",
        );
        let attempts = attempts.fetch_all(&mut *snapshot).await.unwrap();
        let events = sqlx::query_as::<_, (String, String)>(
            "SELECT c.name, e.kind FROM events e JOIN connections c ON c.uid = e.connection_uid ORDER BY e.seq",
        );
        let events = events.fetch_all(&mut *snapshot).await.unwrap();
        let mut rows = Self::default();
        for (name, generation, state, attempt, not_before) in grants {
            let attempt = attempt.filter(|id| !id.is_empty());
            let generation = generation.cast_unsigned();
            let (attempts, events) = (Vec::new(), Vec::new());
            let grant = Grant { generation, state, attempt, not_before, attempts, events };
            rows.grants.insert(name, grant);
        }
        for (name, id, generation, dispatched_at, outcome) in attempts {
            let generation = generation.cast_unsigned();
            let attempt = Attempt { id, generation, dispatched_at, outcome };
            rows.grants.get_mut(&name).unwrap().attempts.push(attempt);
        }
        for (name, kind) in events {
            rows.grants.get_mut(&name).unwrap().events.push(kind);
        }
        rows
    }
}

impl Attempt {
    /// Whether this attempt closed with that outcome.
    pub fn is(&self, outcome: &str) -> bool {
        self.outcome.as_deref() == Some(outcome)
    }

    /// Whether its outcome lets the token be presented again.
    pub fn frees(&self) -> bool {
        ["not_sent", "refused", "replay_permitted"].iter().any(|outcome| self.is(outcome))
    }
}
