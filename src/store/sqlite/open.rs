//! Opening the file: the lock against a second process, the migrations, the connections.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Inner, Sqlite};
use crate::file_lock::FileLock;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;

/// Why a database file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file could not be created, read or locked.
    #[error("cannot use the file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database belongs to one process at a time.
    #[error("another process holds the lock {lock}: it has this database open")]
    InUse {
        /// The lock file.
        lock: PathBuf,
    },
    /// Its migrations go beyond this program's.
    #[error(
        "a newer version of token-broker has migrated this database: migration {migration} is unknown here"
    )]
    Newer {
        /// The first unknown one.
        migration: i64,
    },
    /// A migration failed, or an applied one differs from this program's.
    #[error("the database could not be migrated")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not a database, or not to be had.
    #[error("the database could not be opened")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Sqlite {
    /// Opens the file, creates it where it is missing, and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        private(path)?;
        // Of the file itself: two names of one database must meet in one lock.
        let path = path.canonicalize().map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let lock = lock(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("fullfsync", "ON") // macOS: a plain fsync does not reach the disk
            .pragma("secure_delete", "ON"); // a ciphertext let go of is overwritten
        let writer = pool(1).connect_with(options.clone()).await.map_err(database)?;
        MIGRATIONS.run(&writer).await.map_err(refused)?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await.map_err(database)?;
        Ok(Self(Arc::new(Inner { writer, readers, _lock: lock })))
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Opens a file that only its owner may read, the rest of `SQLite`'s files follow its mode.
fn private(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| OpenError::File { path: path.to_owned(), source })
}

fn lock(database: &Path) -> Result<FileLock, OpenError> {
    let mut path = OsString::from(database);
    path.push(".lock");
    let path = PathBuf::from(path);
    FileLock::try_take(private(&path)?).map_err(|refused| match refused {
        TryLockError::WouldBlock => OpenError::InUse { lock: path },
        TryLockError::Error(source) => OpenError::File { path, source },
    })
}

fn refused(error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(migration) => OpenError::Newer { migration },
        other => OpenError::Migrate(other.into()),
    }
}

fn database(error: sqlx::Error) -> OpenError {
    OpenError::Database(error.into())
}
