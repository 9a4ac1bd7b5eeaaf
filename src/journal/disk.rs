//! The segments that are written: the current one, and room for more that is taken already.

use std::{collections::VecDeque, fs, io, path::PathBuf};

use tokio::sync::oneshot;

use super::{JournalError, Record, directory, frame, index::Place, record, segment::Segment};
use crate::error::Chain;

/// Something to be written.
pub(super) struct Item {
    kind: u8,
    payload: Vec<u8>,
    /// Absent in a probe.
    pub(super) record: Option<Record>,
    /// Whether anyone relies on it.
    pub(super) durable: bool,
    /// Who waits for it.
    pub(super) done: Option<oneshot::Sender<Result<(), JournalError>>>,
}

impl Item {
    pub(super) fn new(record: Record, durable: bool) -> Self {
        let (kind, payload) = record.encode();
        Self { kind, payload, record: Some(record), durable, done: None }
    }

    /// A record that says nothing: it proves that the disk can be written.
    pub(super) fn probe() -> Self {
        Self { kind: record::PROBE, payload: Vec::new(), record: None, durable: true, done: None }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    pub(super) const fn is_issuance(&self) -> bool {
        matches!(self.record, Some(Record::Issued(_)))
    }

    fn size(&self) -> u64 {
        (frame::OVERHEAD + self.payload.len()) as u64
    }
}

/// Where the journal is written.
#[derive(Debug)]
pub(super) struct Disk {
    directory: PathBuf,
    segment_bytes: u64,
    /// How many segments of room there must be beside the current one.
    reserve: usize,
    next: u64,
    current: Option<Segment>,
    spares: VecDeque<Segment>,
    /// Issuances that were written and not synced since.
    unsynced: u64,
    /// Those of them that a failure took.
    pub(super) lost: u64,
    /// How often the disk was made to keep what was written.
    pub(super) syncs: u64,
    /// Segments that were begun since this was last looked at.
    pub(super) begun: Vec<u64>,
    /// Whether files came or went since this was last looked at.
    pub(super) changed: bool,
}

impl Disk {
    pub(super) const fn new(directory: PathBuf, segment_bytes: u64, reserve: usize, next: u64) -> Self {
        Self {
            directory,
            segment_bytes,
            reserve,
            next,
            current: None,
            spares: VecDeque::new(),
            unsynced: 0,
            lost: 0,
            syncs: 0,
            begun: Vec::new(),
            changed: true,
        }
    }

    /// Whether all the room that must be there is.
    pub(super) fn is_whole(&self) -> bool {
        self.current.is_some() && self.spares.len() >= self.reserve
    }

    /// The number of the segment that is written now.
    pub(super) fn current_number(&self) -> Option<u64> {
        self.current.as_ref().map(|segment| segment.number)
    }

    /// Takes the room that is missing.
    pub(super) fn refill(&mut self) -> Result<(), JournalError> {
        if self.current.is_none() {
            self.current()?;
        }
        while self.spares.len() < self.reserve {
            let spare = self.prepare()?;
            self.spares.push_back(spare);
        }
        Ok(())
    }

    /// Writes all items, in one write and one sync where they fit in the segment. Says where those stand that are as
    /// durable as they asked for: the first ones, if not all.
    pub(super) fn commit(&mut self, items: &[Item]) -> (Vec<Place>, Result<(), JournalError>) {
        let mut places = Vec::with_capacity(items.len());
        let mut result = self.write(items, &mut places);
        if let Err(error) = &result {
            tracing::error!(error = %Chain(error), "journal.segment_abandoned");
            self.abandon();
            result = self.write(items, &mut places);
        }
        if result.is_err() {
            self.abandon();
        }
        (places, result)
    }

    /// Goes on in another segment.
    pub(super) fn roll(&mut self) {
        if let Some(full) = self.current.take() {
            full.finish();
        }
    }

    /// Makes everything durable, and gives back the room.
    pub(super) fn close(&mut self) -> Result<(), JournalError> {
        let synced = self.flush(&mut Vec::new(), true);
        self.roll();
        self.spares.drain(..).for_each(Segment::discard);
        synced
    }

    /// Removes a segment in which nothing is needed any more.
    pub(super) fn delete(&mut self, number: u64) -> Result<(), JournalError> {
        self.changed = true;
        let path = self.directory.join(directory::segment_name(number));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(JournalError::io("delete", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, items: &[Item], places: &mut Vec<Place>) -> Result<(), JournalError> {
        let mut buffer = Vec::new();
        let mut written = Vec::new();
        for item in &items[places.len()..] {
            if self.current()?.room() < buffer.len() as u64 + item.size() {
                self.flush(&mut buffer, true)?;
                places.append(&mut written);
                self.roll();
            }
            let segment = self.current()?;
            let (segment, offset) = (segment.number, segment.length + buffer.len() as u64);
            frame::write(&mut buffer, segment, offset, item.kind, &item.payload);
            written.push(Place { segment, offset, length: item.size() });
        }
        let durably = items.iter().any(|item| item.durable);
        self.flush(&mut buffer, durably)?;
        if !durably {
            self.unsynced += items[places.len()..].iter().filter(|item| item.is_issuance()).count() as u64;
        }
        places.append(&mut written);
        Ok(())
    }

    fn flush(&mut self, buffer: &mut Vec<u8>, durably: bool) -> Result<(), JournalError> {
        let Some(segment) = &mut self.current else { return Ok(()) };
        segment.write(buffer)?;
        buffer.clear();
        if durably {
            segment.sync()?;
            self.syncs += 1;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Never writes to the current segment again: after a failed fdatasync the kernel may drop what was not
    /// written, and say of the next that all is well. What was synced before stays good.
    fn abandon(&mut self) {
        self.lost += std::mem::take(&mut self.unsynced);
        if let Some(failed) = self.current.take() {
            if failed.length == 0 { failed.discard() } else { failed.finish() }
        }
    }

    fn current(&mut self) -> Result<&mut Segment, JournalError> {
        if self.current.is_none() {
            let segment = match self.spares.pop_front() {
                Some(spare) => spare,
                None => self.prepare()?,
            };
            self.begun.push(segment.number);
            self.current = Some(segment);
        }
        Ok(self.current.as_mut().expect("just made"))
    }

    fn prepare(&mut self) -> Result<Segment, JournalError> {
        let segment = Segment::prepare(&self.directory, self.next, self.segment_bytes)?;
        self.next += 1;
        self.changed = true;
        Ok(segment)
    }
}
