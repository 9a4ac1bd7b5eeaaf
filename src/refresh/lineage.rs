//! Which database may be trusted without a witness: the one that has been offered what is kept beside it, and was not
//! restarted or replaced since. A restore forgets whatever the operator says.

use std::sync::{Arc, Mutex, PoisonError};

use super::Medium;
use crate::store::{
    StoreError,
    postgres::{Incarnation, Postgres},
};

/// What this replica knows of its database.
#[derive(Debug)]
pub struct Lineage {
    postgres: Arc<Postgres>,
    offered: Mutex<Offered>,
}

/// To which database everything of a medium was last offered.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    journal: Option<Incarnation>,
    escrow: Option<Incarnation>,
}

impl Lineage {
    /// Of a database at which nobody has looked.
    #[must_use]
    pub fn new(postgres: Arc<Postgres>) -> Self {
        Self { postgres, offered: Mutex::default() }
    }

    /// Everything of a medium was offered to this database.
    pub fn offered(&self, medium: Medium, to: Incarnation) {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        match medium {
            Medium::Journal => offered.journal = Some(to),
            Medium::Escrow => offered.escrow = Some(to),
        }
    }

    /// The database that has everything.
    #[must_use]
    pub fn known(&self) -> Option<Incarnation> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).known()
    }

    /// Whether it certainly still is the one that was known before a burn: what was known since is too late for that one.
    pub async fn is_still(&self, known: Option<Incarnation>) -> Result<bool, StoreError> {
        let Some(known) = known else { return Ok(false) };
        let now = self.postgres.incarnation().await?;
        Ok(known.is_same_run(&now) && !known.may_forget(&now))
    }
}

impl Offered {
    /// After a change the answers of other replicas are in escrow alone. Who has never seen a change has no reason to
    /// doubt.
    fn known(self) -> Option<Incarnation> {
        self.journal.filter(|journal| self.escrow.is_none_or(|escrow| escrow.is_same_run(journal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_known_once_it_has_everything() {
        let old = Incarnation { system: Some(1), timeline: 1, position: 10, started: 1 };
        let later = Incarnation { position: 20, ..old };
        let restarted = Incarnation { started: 2, ..later };
        for (journal, escrow, known) in [
            (None, None, None),
            (None, Some(old), None),
            (Some(old), None, Some(old)),
            (Some(old), Some(later), Some(old)),
            (Some(restarted), Some(old), None),
            (Some(old), Some(restarted), None),
            (Some(restarted), Some(restarted), Some(restarted)),
        ] {
            assert_eq!(Offered { journal, escrow }.known(), known, "{journal:?} {escrow:?}");
        }
    }
}
