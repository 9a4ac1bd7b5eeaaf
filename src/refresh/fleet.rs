//! The other replicas, and the media that hold an answer beside the database. Alone, all of it is absent.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::Lineage;
use crate::{
    coordination::{Coordination, Signal, State},
    journal::Journal,
};

/// What a replica has beside its database.
#[derive(Clone, Default)]
pub struct Fleet {
    /// Leases, wake-ups, witness, escrow.
    pub redis: Option<Coordination>,
    /// The local second medium.
    pub journal: Option<Journal>,
    /// Signals for the database's own channel, where Redis does not carry them.
    pub notices: Option<UnboundedSender<Signal>>,
    /// Whether nothing is spent without the witness: the database may forget what it has committed.
    pub witness_required: bool,
    /// Where it is not: whether this is still the database that was trusted.
    pub lineage: Option<Arc<Lineage>>,
}

impl Fleet {
    /// Whether no other replica can be at work on the same database.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.notices.is_none()
    }

    /// What is wrong with it, for probes: none of it stops serving tokens from memory.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        let redis = self.redis.as_ref().map(Coordination::health);
        let journal = self.journal.as_ref().map(Journal::health);
        let wrong = [
            ("redis_unavailable", redis.as_ref().is_some_and(|redis| redis.state != State::Connected)),
            ("redis_evicts", redis.is_some_and(|redis| redis.evicts.is_some())),
            ("journal_unwritable", journal.as_ref().is_some_and(|journal| !journal.writable)),
            ("journal_gaps", journal.as_ref().is_some_and(|journal| journal.gaps > 0)),
            ("journal_set_aside", journal.is_some_and(|journal| journal.set_aside > 0)),
            ("no_witness", self.witness_required && self.redis.is_none()),
        ];
        wrong.into_iter().filter(|(_, is)| *is).map(|(reason, _)| reason).collect()
    }

    /// Tells the other replicas. Nobody waits for it: it only makes things faster.
    pub(super) fn announce(&self, signal: Signal) {
        match (&self.redis, &self.notices) {
            (Some(redis), _) if redis.state() == State::Connected => redis.announce(signal),
            (_, Some(notices)) => drop(notices.send(signal)), // its listener ends with the process
            _ => {}
        }
    }
}
