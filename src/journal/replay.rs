//! Receipts read back from the disk, a few at a time: a day of them may be more than memory should hold.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use super::{Record, Shared, directory, frame, index::Place};
use crate::model::Receipt;

/// How many are read at once.
const BATCH: usize = 64;

/// Everything within the horizon, the oldest generation of each connection first: for a database that forgot.
pub struct Replay {
    pub(super) shared: Arc<Shared>,
    pub(super) places: VecDeque<Place>,
    pub(super) read: VecDeque<Receipt>,
}

impl Replay {
    /// The next one. What cannot be read is reported and passed over.
    pub async fn next(&mut self) -> Option<Receipt> {
        while self.read.is_empty() && !self.places.is_empty() {
            let places: Vec<_> = self.places.drain(..BATCH.min(self.places.len())).collect();
            let shared = self.shared.clone();
            let batch = tokio::task::spawn_blocking(move || read_all(&shared.directory, &places)).await;
            self.read = batch.unwrap_or_default(); // the runtime shuts down
        }
        self.read.pop_front()
    }

    /// How many there are still, at most.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.read.len() + self.places.len()
    }
}

fn read_all(directory: &Path, places: &[Place]) -> VecDeque<Receipt> {
    let read = |place: &Place| match read(directory, place) {
        Ok(Some(receipt)) => Some(receipt),
        Ok(None) => {
            tracing::error!(?place, "journal.record_unreadable");
            None
        }
        // Past the horizon since it was listed, or carried over to another segment: then it is pending.
        Err(error) => {
            tracing::warn!(%error, ?place, "journal.record_not_read");
            None
        }
    };
    places.iter().filter_map(read).collect()
}

fn read(directory: &Path, place: &Place) -> io::Result<Option<Receipt>> {
    let file = File::open(directory.join(directory::segment_name(place.segment)))?;
    let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, place.offset)?;
    let found = frame::read(&bytes, place.segment, place.offset);
    Ok(match found.map(|(kind, payload)| Record::decode(kind, payload)) {
        Some(Ok(Some(Record::Receipt(receipt)))) => Some(receipt),
        _ => None,
    })
}
