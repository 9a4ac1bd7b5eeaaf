//! What became of a write to a resource, as one statement tells it.

use super::{Postgres, Statement};
use crate::store::{StoreError, Written};

impl Postgres {
    /// A statement that answers `done`, `exists`, `absent`, `stale` or `in_use`.
    pub(super) async fn written(&self, statement: Statement) -> Result<Written, StoreError> {
        let (word,) = self.step::<(String,)>(statement).await?;
        Ok(match word.as_str() {
            "done" => Written::Done,
            "exists" => Written::Exists,
            "absent" => Written::Absent,
            "stale" => Written::Stale,
            "in_use" => Written::InUse,
            _ => return Err(StoreError::Ambiguous(format!("a write answered {word}").into())),
        })
    }
}
