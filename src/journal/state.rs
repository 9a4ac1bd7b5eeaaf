//! What the writer knows, for whoever asks.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use super::{JournalError, index::Index};

/// Gaps are told so often at most.
const TOLD_EVERY: Duration = Duration::from_mins(1);

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
    /// When gaps were last told, since boot.
    gaps_told: Option<Duration>,
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
        let state = State {
            index,
            proven: None,
            gaps: 0,
            gaps_told: None,
            bytes: 0,
            set_aside: 0,
            syncs: 0,
            last_error: None,
        };
        Self { directory, issuances: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// Issuances that are not recorded: counted, and told at most once a minute.
    pub(super) fn count_gaps(&self, count: u64, since_boot: Duration) {
        if count == 0 {
            return;
        }
        let mut state = self.state();
        state.gaps += count;
        if state.gaps_told.is_none_or(|told| since_boot.saturating_sub(told) >= TOLD_EVERY) {
            state.gaps_told = Some(since_boot);
            let gaps = state.gaps;
            drop(state);
            tracing::error!(gaps, "journal.gaps: tokens were handed out and it is not recorded to whom");
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves nothing in it half-way that a reader could take for more than it is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
