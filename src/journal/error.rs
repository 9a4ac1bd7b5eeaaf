//! Why the journal did not do what it was asked to.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Nothing of it is known to be on the disk.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Two processes in one folder would delete each other's records.
    #[error("the journal {} is held by another process ({holder})", path.display())]
    Held {
        /// The folder.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: String,
    },
    /// The disk is full, read-only, failing, or not there.
    #[error("the journal cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// A record may have a quarter of a segment.
    #[error("a record of {0} bytes is too large for the journal")]
    TooLarge(usize),
    /// It was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// For `map_err`: what was tried on what.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }
}
