//! The record of who was given which token, in the journal: once for each caller while a replica has the token in memory,
//! not for each call. A call whose caller is known costs a look at a few numbers; nobody waits for a disk.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use papaya::HashSet;

use super::Refresher;
use crate::{cache::Entry, identity::Principal, model::Issuance};

/// The callers of whom it is recorded that they were given a token: most tokens have few. No lock: it is asked at every
/// call.
#[derive(Debug, Default)]
pub struct Recipients {
    few: [AtomicU64; 4],
    more: OnceLock<Box<HashSet<u64>>>,
}

impl Recipients {
    fn include(&self, principal: u64) -> bool {
        self.few.iter().any(|place| place.load(Ordering::Relaxed) == principal)
            || self.more.get().is_some_and(|more| more.pin().contains(&principal))
    }

    fn add(&self, principal: u64) {
        let free = |place: &AtomicU64| {
            place.compare_exchange(0, principal, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if !self.few.iter().any(free) {
            self.more.get_or_init(Box::default).pin().insert(principal);
        }
    }
}

impl Refresher {
    /// A caller is given a token from memory. What finds no room in the journal's queue is counted there, and tried again
    /// with the next call.
    pub fn note_issued(&self, entry: &Entry, principal: &Principal) {
        let Some(journal) = &self.fleet.journal else { return };
        if entry.recipients.include(principal.id) {
            return;
        }
        let issuance = Issuance {
            at: self.clock.now(),
            principal: principal.name.clone(),
            connection: entry.subject.connection.uid,
            generation: entry.generation,
        };
        if journal.note_issued(issuance) {
            entry.recipients.add(principal.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_added_is_known_and_nobody_else() {
        let recipients = Recipients::default();
        for principal in 1..=9 {
            assert!(!recipients.include(principal));
            recipients.add(principal);
            assert!((1..=principal).all(|principal| recipients.include(principal)), "nobody makes room");
        }
    }
}
