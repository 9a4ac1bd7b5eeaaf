//! The embedded store: one `SQLite` file, one process. Each transition is a statement of its own, whose guard is in
//! its `WHERE`; the unique index and the triggers of `migrations/sqlite` hold even where a statement is wrong.
//! There are no roles here, so nothing but this code keeps a refresh token from being read without a burn.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::{StoreError, Written};
use crate::file_lock::FileLock;

mod audit;
mod clients;
mod connections;
mod grants;
mod keys;
mod open;
mod secrets;
mod tenants;

pub use open::OpenError;

/// The store in a `SQLite` file.
#[derive(Debug)]
pub struct Sqlite(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One connection: writes are serial.
    writer: SqlitePool,
    /// Read-only connections; they see what is committed and nothing else.
    readers: SqlitePool,
    /// Locked as long as anything here may still write.
    _lock: FileLock,
}

impl Sqlite {
    /// Waits for the writes under way and closes the file; every call afterwards fails.
    pub async fn close(&self) {
        self.0.writer.close().await;
        self.0.readers.close().await;
    }

    /// Runs one transaction in a task of its own: tonic drops a caller's future with the caller, and a commit whose
    /// answer nobody awaits must still be whole. No time-out either: a step ends, or fails, by itself.
    async fn write<T, F>(&self, step: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let mut connection = inner.writer.acquire().await?;
            let answer = transact(&mut connection, step).await;
            if answer.is_err() {
                // SQLite rolls back by itself on some errors, which sqlx does not notice: its next BEGIN would fail.
                connection.close_on_drop();
            }
            answer
        });
        task.await.unwrap_or_else(|lost| Err(StoreError::Ambiguous(lost.into())))
    }

    /// After a delete: the log still holds the pages as they were, until it is folded into the database.
    /// As well as can be: a reader may hold it open, then a later checkpoint does it.
    async fn forget_pages(&self, deleted: Result<Written, StoreError>) -> Result<Written, StoreError> {
        if matches!(deleted, Ok(Written::Done)) {
            let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.0.writer).await;
            if let Err(error) = checkpoint {
                tracing::debug!(%error, "store.log.kept");
            }
        }
        deleted
    }
}

async fn transact<T, F>(connection: &mut SqliteConnection, step: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>>,
{
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let answer = step(&mut transaction).await?;
    transaction.commit().await.map_err(|error| StoreError::Ambiguous(error.into()))?;
    Ok(answer)
}

/// Everywhere but at COMMIT: the transaction is rolled back.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}
