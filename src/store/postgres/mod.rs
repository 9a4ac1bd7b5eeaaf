//! The store of many replicas: `PostgreSQL`, behind a gate. Grants and attempts are reached through the functions of
//! `migrations/postgres` and in no other way; each is one transition, one statement, one commit. The user that serves
//! cannot read a refresh token without burning it first.
//!
//! Works through `PgBouncer` with transaction pooling: nothing here depends on a session.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

use super::StoreError;
use crate::clock::Clock;

mod audit;
mod clients;
mod connections;
mod failure;
mod fitness;
mod grants;
mod incarnation;
mod keys;
mod migrate;
mod open;
mod pool;
mod retain;
mod secrets;
mod signals;
mod skew;
mod statement;
mod tenants;
mod together;
mod written;

pub use fitness::Unfit;
pub use incarnation::Incarnation;
pub use migrate::{MigrateError, Migration, Migrations, ROLES, State};
pub use open::{OpenError, Settings};
pub use retain::{Retained, Retention};
pub use signals::Signal;

use failure::Fate;
use pool::Pool;
use skew::Skew;
use statement::{Answer, Statement};
use together::Together;

/// A statement that clashed with another transaction is tried again: nothing of it happened.
const CLASHES: u32 = 5;

/// The store in a `PostgreSQL` database.
#[derive(Clone, Debug)]
pub struct Postgres(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    /// For what needs a session: `LISTEN`.
    direct: PgPool,
    skew: Skew,
    clock: Clock,
    /// A statement that is not answered for so long is given up: not cancelled, what it does is not known.
    patience: Duration,
    together: Together,
}

impl Postgres {
    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read::<(i32,)>(Statement::new("SELECT 1")).await.map(drop)
    }

    /// How far the database's clock is ahead of this process's, in microseconds, as last measured.
    #[must_use]
    pub fn skew(&self) -> i64 {
        self.0.skew.measured()
    }

    /// Waits for what is under way and closes the connections; every call afterwards fails.
    pub async fn close(&self) {
        self.0.pool.close().await;
        self.0.direct.close().await;
    }

    /// One write, in a task of its own: tonic drops a caller's future with the caller, and a commit whose answer
    /// nobody awaits must still be whole.
    async fn write<T: Answer>(&self, statement: Statement) -> Result<Vec<T>, StoreError> {
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move { inner.commit(statement).await });
        match task.await {
            Ok(committed) => committed.map_err(|failed| failed.error),
            Err(lost) => Err(StoreError::Ambiguous(lost.into())),
        }
    }

    /// One write that answers with one row.
    async fn step<T: Answer>(&self, statement: Statement) -> Result<T, StoreError> {
        only(self.write(statement).await?)
    }

    /// One statement that writes nothing.
    async fn read<T: Answer>(&self, statement: Statement) -> Result<Vec<T>, StoreError> {
        self.0.look(statement).await.map_err(|error| StoreError::Unavailable(error.into()))
    }
}

impl Inner {
    async fn commit<T: Answer>(&self, statement: Statement) -> Result<Vec<T>, Failed> {
        let mut clashes = 0;
        loop {
            let mut connection = self.pool.acquire().await.map_err(Failed::unread)?;
            let run = statement.run(&mut connection, self.pool.prepared);
            let failure = match tokio::time::timeout(self.patience, run).await {
                Ok(Ok(rows)) => {
                    self.pool.put_back(connection);
                    return Ok(rows);
                }
                Ok(Err(failure)) => failure,
                Err(silence) => {
                    self.pool.abandon(connection);
                    return Err(Failed::unread(StoreError::Ambiguous(silence.into())));
                }
            };
            if failure.is_lost() {
                self.pool.abandon(connection);
            }
            match failure.fate {
                Fate::Clash if clashes < CLASHES => clashes += 1,
                Fate::Clash | Fate::Nothing => {
                    let error = StoreError::Unavailable(failure.error.into());
                    return Err(Failed { error, refused: true });
                }
                Fate::Unknown => {
                    return Err(Failed::unread(StoreError::Ambiguous(failure.error.into())));
                }
            }
        }
    }

    /// Once more where the connection had died in the pool.
    async fn look<T: Answer>(&self, statement: Statement) -> Result<Vec<T>, LookError> {
        let mut again = true;
        loop {
            let mut connection = self.pool.acquire().await?;
            let run = statement.run(&mut connection, self.pool.prepared);
            match tokio::time::timeout(self.patience, run).await {
                Ok(Ok(rows)) => {
                    self.pool.put_back(connection);
                    return Ok(rows);
                }
                Ok(Err(failure)) if failure.is_lost() && again => again = false,
                Ok(Err(failure)) => return Err(LookError::Refused(failure.error)),
                Err(silence) => {
                    self.pool.abandon(connection);
                    return Err(LookError::Silence(silence));
                }
            }
            self.pool.abandon(connection);
        }
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(sqlx::Error),
    #[error("the database does not answer")]
    Silence(#[source] tokio::time::error::Elapsed),
}

/// A statement that failed.
#[derive(Debug)]
struct Failed {
    error: StoreError,
    /// The database has read it, and nothing of it happened.
    refused: bool,
}

impl Failed {
    /// Of which nobody knows that the database has read it.
    const fn unread(error: StoreError) -> Self {
        Self { error, refused: false }
    }

    fn of_look(error: LookError) -> Self {
        let refused = matches!(error, LookError::Refused(sqlx::Error::Database(_)));
        Self { error: StoreError::Unavailable(error.into()), refused }
    }
}

/// The one row of a function that always gives one.
fn only<T>(rows: Vec<T>) -> Result<T, StoreError> {
    rows.into_iter().next().ok_or_else(|| StoreError::Ambiguous("a function gave no row".into()))
}
