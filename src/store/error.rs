//! Why a step failed.

use crate::error::Chain;

/// Why a step could not be taken, or is not known to have been.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was changed.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The commit was sent and not acknowledged: it may or may not have happened.
    #[error("the store did not acknowledge a commit")]
    Ambiguous(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row that cannot be.
    #[error("impossible value in {table}.{column} of {row}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// Which row.
        row: String,
    },
}

impl StoreError {
    /// The same for one more of those who asked.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Unavailable(error) => Self::Unavailable(Chain(&**error).to_string().into()),
            Self::Ambiguous(error) => Self::Ambiguous(Chain(&**error).to_string().into()),
            Self::Corrupt { table, column, row } => Self::Corrupt { table, column, row: row.clone() },
        }
    }
}
