//! The journal's own thread. What was queued while the last sync ran goes into the next one: any number of callers
//! share it.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    JournalError, Record, SetAside, Shared, directory,
    disk::{Disk, Item},
};
use crate::{clock::Clock, config, error::Chain, file_lock::FileLock};

/// A disk that does not work is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks for what is past the horizon.
const SWEEP: Duration = Duration::from_mins(1);
/// Commands of one turn.
const TURN: usize = 4096;
/// From the beginning of a turn that syncs to that of the next turn: what comes one by one waits for nothing, what comes in
/// a crowd goes together. A sync costs the database, whose disk it may be, as much as a commit.
const PACE: Duration = Duration::from_millis(5);

/// What the thread is asked to do.
pub(super) enum Command {
    /// Write this.
    Write(Box<Item>),
    /// Prove that the disk can be written, and that all the room is there.
    Prove(oneshot::Sender<Result<(), JournalError>>),
    /// Delete what is past the horizon.
    Sweep(oneshot::Sender<()>),
    /// Make everything durable, and end.
    Close(oneshot::Sender<Result<(), JournalError>>),
}

/// What goes together.
#[derive(Default)]
struct Turn {
    items: Vec<Item>,
    proofs: Vec<oneshot::Sender<Result<(), JournalError>>>,
    sweeps: Vec<oneshot::Sender<()>>,
    close: Option<oneshot::Sender<Result<(), JournalError>>>,
}

pub(super) struct Writer {
    disk: Disk,
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    horizon: Duration,
    clock: Clock,
    swept: Duration,
    /// Whether the last turn went wrong.
    failing: bool,
    lock: FileLock,
}

impl Writer {
    /// Opens the folder, reads what is in it, and takes the room. Only another process keeps it from opening; a disk
    /// that is full is one that [`super::Journal::writable`] refuses.
    pub(super) fn open(
        settings: &config::Journal,
        replica: &str,
        clock: Clock,
        commands: Receiver<Command>,
    ) -> Result<(Self, Vec<SetAside>), JournalError> {
        let config::Journal { path, segment_bytes, reserve_bytes, horizon } = settings;
        let lock = directory::open(path, replica)?;
        let directory::Scan { index, aside, next } = directory::scan(path)?;
        // A record that does not fit leaves at most a quarter of a segment unused.
        let reserve = reserve_bytes.div_ceil(segment_bytes / 4 * 3).max(1);
        let disk =
            Disk::new(path.clone(), *segment_bytes, usize::try_from(reserve).unwrap_or(usize::MAX), next);
        let shared = Arc::new(Shared::new(path.clone(), index));
        let swept = clock.since_boot();
        let mut writer =
            Self { disk, shared, commands, horizon: *horizon, clock, swept, failing: false, lock };
        writer.take(Turn::default());
        Ok((writer, aside))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Works until it is told to close, or nobody can tell it anything any more.
    pub(super) fn run(mut self) {
        let mut not_before = Instant::now();
        loop {
            let patience = if self.is_sound() { SWEEP } else { RETRY };
            let mut turn = Turn::default();
            match self.commands.recv_timeout(patience) {
                Ok(first) => {
                    std::thread::sleep(not_before.saturating_duration_since(Instant::now()));
                    turn.add(first, &self.shared);
                    self.commands.try_iter().take(TURN).for_each(|next| turn.add(next, &self.shared));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.close();
                    return;
                }
            }
            if turn.syncs() {
                not_before = Instant::now() + PACE;
            }
            let close = turn.close.take();
            self.take(turn);
            if let Some(done) = close {
                let closed = self.close();
                drop(self.lock); // before anyone is told: the next process may open at once
                let _ = done.send(closed);
                return;
            }
        }
    }

    fn take(&mut self, turn: Turn) {
        let Turn { mut items, proofs, sweeps, .. } = turn;
        let sound = self.is_sound();
        if !sound {
            // The reserve is for answers to what is spent.
            let gaps = items.iter().filter(|item| item.is_issuance()).count() as u64;
            items.retain(|item| item.durable);
            self.shared.count_gaps(gaps, self.clock.since_boot());
        }
        if !sound || !proofs.is_empty() {
            items.push(Item::probe());
        }
        let synced = items.iter().any(|item| item.durable);
        let mut result = self.write(items);
        let due = self.clock.since_boot().saturating_sub(self.swept) >= SWEEP;
        if result.is_ok() && sound && (due || !sweeps.is_empty()) {
            self.swept = self.clock.since_boot();
            result = self.sweep();
        }
        result = result.and_then(|()| self.disk.refill());
        self.report(&result, synced);
        // Whoever asked may be gone.
        for done in proofs {
            let _ = done.send(result.clone());
        }
        for done in sweeps {
            let _ = done.send(());
        }
    }

    fn write(&mut self, items: Vec<Item>) -> Result<(), JournalError> {
        if items.is_empty() {
            return Ok(());
        }
        let (places, result) = self.disk.commit(&items);
        let mut state = self.shared.state();
        self.disk.begun.drain(..).for_each(|number| state.index.add_segment(number));
        for (item, place) in items.iter().zip(&places) {
            if let Some(record) = &item.record {
                state.index.insert(*place, record);
            }
        }
        let refused = items[places.len()..].iter().filter(|item| item.is_issuance()).count() as u64;
        if !self.disk.is_whole() {
            state.proven = None; // before anyone hears of it
        }
        drop(state);
        self.shared.count_gaps(refused + std::mem::take(&mut self.disk.lost), self.clock.since_boot());
        for (number, item) in items.into_iter().enumerate() {
            if let Some(done) = item.done {
                let _ = done.send(if number < places.len() { Ok(()) } else { result.clone() });
            }
        }
        result
    }

    /// Deletes the segments in which everything is past the horizon. What the database does not have is carried over
    /// first.
    fn sweep(&mut self) -> Result<(), JournalError> {
        let expired = self.shared.state().index.expired(self.horizon, self.clock.now());
        for (number, pending) in expired {
            if self.disk.current_number() == Some(number) {
                if !self.shared.state().index.has_records(number) || !pending.is_empty() {
                    continue;
                }
                self.disk.roll();
            }
            let carried = pending.into_iter().map(|receipt| Item::new(Record::Receipt(receipt), true));
            self.write(carried.collect())?;
            self.disk.delete(number)?;
            self.shared.state().index.forget(number);
        }
        Ok(())
    }

    fn report(&mut self, result: &Result<(), JournalError>, synced: bool) {
        self.failing = result.is_err();
        let usage = std::mem::take(&mut self.disk.changed).then(|| directory::usage(&self.shared.directory));
        let mut state = self.shared.state();
        state.syncs = self.disk.syncs;
        if let Some((bytes, aside)) = usage {
            (state.bytes, state.set_aside) = (bytes, aside);
        }
        match result {
            Ok(()) if synced => state.proven = Some(self.clock.since_boot()),
            Ok(()) => {}
            Err(error) => {
                if state.proven.take().is_some() || state.last_error.is_none() {
                    tracing::error!(error = %Chain(error), "journal.failing");
                }
                state.last_error = Some(error.clone());
            }
        }
    }

    fn is_sound(&self) -> bool {
        self.disk.is_whole() && !self.failing
    }

    fn close(&mut self) -> Result<(), JournalError> {
        self.shared.state().proven = None;
        self.disk.close()
    }
}

impl Turn {
    fn syncs(&self) -> bool {
        !self.proofs.is_empty() || self.items.iter().any(|item| item.durable)
    }

    fn add(&mut self, command: Command, shared: &Shared) {
        match command {
            Command::Write(item) => {
                if item.is_issuance() {
                    shared.issuances.fetch_sub(1, Ordering::Relaxed);
                }
                self.items.push(*item);
            }
            Command::Prove(done) => self.proofs.push(done),
            Command::Sweep(done) => self.sweeps.push(done),
            Command::Close(done) => self.close = Some(done),
        }
    }
}
