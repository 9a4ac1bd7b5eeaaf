//! The brokers' database, read by a superuser.

use std::collections::HashMap;

use sqlx::{Connection as _, PgConnection};

/// Grants and attempts, as committed.
#[derive(Clone, Debug, Default)]
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
    /// The attempt that it is about.
    pub attempt: Option<String>,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// An attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub replica: String,
    /// The generation whose token it was for.
    pub generation: u64,
    /// When it was recorded; microseconds.
    pub dispatched_at: i64,
    /// What became of it; absent while it is open.
    pub outcome: Option<String>,
}

impl Rows {
    /// Reads them.
    pub async fn read(mut database: PgConnection) -> Self {
        let mut snapshot = database.begin().await.unwrap();
        let level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        sqlx::raw_sql(level).execute(&mut *snapshot).await.unwrap();
        let grants = sqlx::query_as::<_, (String, i64, String, Option<String>)>(
            "SELECT c.name, g.generation, g.state, g.attempt_id::text
            FROM token_broker.grants g JOIN token_broker.connections c ON c.uid = g.connection_uid",
        );
        let grants = grants.fetch_all(&mut *snapshot).await.unwrap();
        let attempts = sqlx::query_as::<_, (String, String, String, i64, i64, Option<String>)>(
            "SELECT c.name, a.attempt_id::text, a.replica, a.generation, a.dispatched_at, a.outcome
            FROM token_broker.attempts a JOIN token_broker.connections c ON c.uid = a.connection_uid
            ORDER BY a.seq",
        );
        let attempts = attempts.fetch_all(&mut *snapshot).await.unwrap();
        drop(snapshot);
        let _ = database.close().await;
        let mut rows = Self::default();
        for (name, generation, state, attempt) in grants {
            let grant =
                Grant { generation: generation.cast_unsigned(), state, attempt, attempts: Vec::new() };
            rows.grants.insert(name, grant);
        }
        for (name, id, replica, generation, dispatched_at, outcome) in attempts {
            let generation = generation.cast_unsigned();
            let attempt = Attempt { id, replica, generation, dispatched_at, outcome };
            rows.grants.get_mut(&name).unwrap().attempts.push(attempt);
        }
        rows
    }
}

impl Rows {
    /// With what an earlier snapshot had of the same grants.
    pub fn remembering(mut self, earlier: Option<&Self>) -> Self {
        for (name, grant) in &mut self.grants {
            if let Some(earlier) = earlier.and_then(|earlier| earlier.grants.get(name)) {
                *grant = grant.clone().remembering(earlier);
            }
        }
        self
    }
}

impl Grant {
    /// With the attempts of an earlier snapshot that this database has forgotten, or came to know later than they were.
    pub fn remembering(mut self, earlier: &Self) -> Self {
        let mut attempts = earlier.attempts.clone();
        for known in self.attempts {
            match attempts.iter_mut().find(|attempt| attempt.id == known.id) {
                Some(attempt) => attempt.outcome = known.outcome.or(attempt.outcome.take()),
                None => attempts.push(known),
            }
        }
        self.attempts = attempts;
        self
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
