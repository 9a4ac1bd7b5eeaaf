//! What the writer knows, for whoever asks.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use super::{JournalError, index::Index};

/// Shared by the writer and the handles.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    /// Issuances that are queued.
    pub(super) issuances: AtomicUsize,
    state: Mutex<State>,
}

/// Never locked while the disk is used.
#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    /// When it was last proven, since boot, that the disk can be written and all the room is there.
    pub(super) proven: Option<Duration>,
    pub(super) gaps: u64,
    pub(super) bytes: u64,
    pub(super) set_aside: usize,
    pub(super) syncs: u64,
    pub(super) last_error: Option<JournalError>,
}

/// How the journal is. Times by its clock.
#[derive(Clone, Debug)]
pub struct Health {
    /// Whether the last look found the disk writable, and all the room there.
    pub writable: bool,
    /// Files with records.
    pub segments: usize,
    /// All files, with the room that is reserved.
    pub bytes: u64,
    /// Receipts that are kept, pending or not.
    pub receipts: usize,
    /// Receipts that the database does not have.
    pub pending: usize,
    /// How long the oldest of them has waited. More than a minute must page.
    pub oldest_pending: Option<Duration>,
    /// Issuances that were not recorded, since the start.
    pub gaps: u64,
    /// Copies of bytes that were no record; they stay until a person removes them.
    pub set_aside: usize,
    /// How often the disk was made to keep what was written, since the start.
    pub syncs: u64,
    /// The last trouble, over or not.
    pub last_error: Option<JournalError>,
}

impl Shared {
    pub(super) const fn new(directory: PathBuf, index: Index) -> Self {
        let state =
            State { index, proven: None, gaps: 0, bytes: 0, set_aside: 0, syncs: 0, last_error: None };
        Self { directory, issuances: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves nothing in it half-way that a reader could take for more than it is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
