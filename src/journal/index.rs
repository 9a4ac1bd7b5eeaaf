//! What is where, and what the database does not have yet. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::Record;
use crate::model::{AttemptId, ConnectionUid, Generation, Receipt, Timestamp};

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// With its frame.
    pub(super) length: u64,
}

/// What is known of the segments' contents.
#[derive(Debug, Default)]
pub(super) struct Index {
    receipts: HashMap<AttemptId, Entry>,
    segments: BTreeMap<u64, Contents>,
}

/// What a segment has.
#[derive(Debug, Default)]
struct Contents {
    records: usize,
    newest: Option<Timestamp>,
}

#[derive(Debug)]
struct Entry {
    place: Place,
    connection: ConnectionUid,
    generation: Generation,
    received_at: Timestamp,
    /// The receipt itself while it is pending: a disk that fails now does not take it away.
    pending: Option<Box<Receipt>>,
}

impl Index {
    /// A segment, although nothing may be in it.
    pub(super) fn add_segment(&mut self, number: u64) {
        self.segments.entry(number).or_default();
    }

    /// A record that is on the disk. Of two copies the later one counts.
    pub(super) fn insert(&mut self, place: Place, record: &Record) {
        let contents = self.segments.entry(place.segment).or_default();
        contents.records += 1;
        contents.newest = contents.newest.max(Some(record.at()));
        match record {
            Record::Receipt(receipt) => {
                let closed =
                    self.receipts.get(&receipt.attempt()).is_some_and(|entry| entry.pending.is_none());
                let entry = Entry {
                    place,
                    connection: receipt.connection,
                    generation: receipt.burn.generation,
                    received_at: receipt.received_at,
                    pending: (!closed).then(|| Box::new(receipt.clone())),
                };
                self.receipts.insert(receipt.attempt(), entry);
            }
            Record::Closed { attempt, .. } => {
                self.close(*attempt);
            }
            Record::Raw(_) | Record::Issued(_) => {}
        }
    }

    /// The database has it, or will never want it. `false`: that was known.
    pub(super) fn close(&mut self, attempt: AttemptId) -> bool {
        self.receipts.get_mut(&attempt).is_none_or(|entry| entry.pending.take().is_some())
    }

    /// The database lacks it again.
    pub(super) fn reopen(&mut self, receipt: &Receipt) {
        if let Some(entry) = self.receipts.get_mut(&receipt.attempt()) {
            entry.pending.get_or_insert_with(|| Box::new(receipt.clone()));
        }
    }

    /// What the database does not have, the oldest generation of each connection first.
    pub(super) fn pending(&self) -> Vec<Receipt> {
        let mut pending: Vec<_> =
            self.receipts.values().filter_map(|entry| entry.pending.as_deref()).collect();
        pending.sort_by_key(|receipt| (receipt.connection, receipt.burn.generation, receipt.received_at));
        pending.into_iter().cloned().collect()
    }

    /// How many are pending, and since when.
    pub(super) fn waiting(&self) -> (usize, Option<Timestamp>) {
        let pending = || self.receipts.values().filter(|entry| entry.pending.is_some());
        (pending().count(), pending().map(|entry| entry.received_at).min())
    }

    /// Where everything within the horizon and everything pending stands, the oldest generation of each connection
    /// first.
    pub(super) fn all(&self, horizon: Duration, now: Timestamp) -> Vec<Place> {
        let mut all: Vec<_> = self
            .receipts
            .values()
            .filter(|entry| entry.pending.is_some() || now < entry.received_at.plus(horizon))
            .collect();
        all.sort_by_key(|entry| (entry.connection, entry.generation, entry.received_at));
        all.into_iter().map(|entry| entry.place).collect()
    }

    /// The segments in which everything is past the horizon, with what in each of them the database does not have; only
    /// those that have anything else, too.
    pub(super) fn expired(&self, horizon: Duration, now: Timestamp) -> Vec<(u64, Vec<Receipt>)> {
        let past = self
            .segments
            .iter()
            .filter(|(_, contents)| contents.newest.is_none_or(|newest| newest.plus(horizon) <= now));
        past.map(|(number, contents)| (*number, self.pending_in(*number), contents))
            .filter(|(_, pending, contents)| pending.is_empty() || pending.len() < contents.records)
            .map(|(number, pending, _)| (number, pending))
            .collect()
    }

    /// Whether there is anything in a segment but probes.
    pub(super) fn has_records(&self, segment: u64) -> bool {
        self.segments.get(&segment).is_some_and(|contents| contents.records > 0)
    }

    fn pending_in(&self, segment: u64) -> Vec<Receipt> {
        let here = self.receipts.values().filter(|entry| entry.place.segment == segment);
        here.filter_map(|entry| entry.pending.as_deref()).cloned().collect()
    }

    /// A segment with bytes that have no copy elsewhere.
    pub(super) fn never_delete(&mut self, segment: u64) {
        self.segments.remove(&segment);
    }

    /// A segment that is deleted.
    pub(super) fn forget(&mut self, segment: u64) {
        self.segments.remove(&segment);
        self.receipts.retain(|_, entry| entry.place.segment != segment);
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn receipts(&self) -> usize {
        self.receipts.len()
    }
}
