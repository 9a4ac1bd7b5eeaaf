//! The second medium: a local append-only file of received answers, sealed (`docs/refresh.md`). What a provider
//! answered is on this disk before anyone sees it, whether or not the database can be reached, and stays there for
//! a horizon, since a database that forgets a settle forgets the only live pair.
//!
//! All files are read and written by a thread of the journal's own, never on the executor.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    clock::Clock,
    config,
    model::{AttemptId, Issuance, Receipt},
};

mod directory;
mod disk;
pub mod drain;
mod error;
mod frame;
mod index;
mod issued;
mod record;
mod replay;
mod segment;
mod state;
mod wire;
mod writer;

pub use directory::{Flaw, SetAside};
pub use error::JournalError;
pub use issued::issuances;
pub use record::Record;
pub use replay::Replay;
pub use state::Health;
pub use wire::Unreadable;

use self::{
    disk::Item,
    state::Shared,
    writer::{Command, Writer},
};

/// A proof that the disk can be written is good for this long.
const PROOF: Duration = Duration::from_secs(1);
/// Issuances that may be queued.
const ISSUANCES: usize = 8192;

/// A handle of the journal. It ends when the last handle is dropped, or with [`Self::close`].
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    clock: Clock,
    horizon: Duration,
    longest: usize,
}

impl Journal {
    /// Opens the folder for this process alone, reads what is in it and takes the room that must be there. What is no
    /// record is set aside and told; neither it nor a disk that cannot be written now keeps the broker from starting.
    pub async fn open(
        settings: &config::Journal,
        replica: &str,
        clock: Clock,
    ) -> Result<(Self, Vec<SetAside>), JournalError> {
        let (commands, queue) = channel();
        let (opened, opening) = oneshot::channel();
        let (settings, replica) = (settings.clone(), replica.to_owned());
        let config::Journal { horizon, segment_bytes, .. } = settings;
        let own_clock = clock.clone();
        let work = move || match Writer::open(&settings, &replica, own_clock, queue) {
            Ok((writer, aside)) => {
                let _ = opened.send(Ok((writer.shared(), aside)));
                writer.run();
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let started = std::thread::Builder::new().name("journal".to_owned()).spawn(work);
        started.map_err(JournalError::io("start the thread of", "journal".as_ref()))?;
        let (shared, aside) = opening.await.map_err(|_| JournalError::Closed)??;
        let longest = usize::try_from(segment_bytes / 4).unwrap_or(usize::MAX);
        Ok((Self { shared, commands, clock, horizon, longest }, aside))
    }

    /// Whether an answer to what is spent now is sure to find room: ask before the burn (I9). From memory where
    /// that was proven within the last second, else by a write that is synced. A disk that failed is tried again by
    /// every call, and once a second.
    pub async fn writable(&self) -> Result<(), JournalError> {
        let proven = self.shared.state().proven;
        if proven.is_some_and(|proven| self.clock.since_boot().saturating_sub(proven) < PROOF) {
            return Ok(());
        }
        let (done, proof) = oneshot::channel();
        self.send(Command::Prove(done))?;
        proof.await.map_err(|_| JournalError::Closed)?
    }

    /// Appends; durable when it returns. After an error nothing is known to be kept: the caller still has it, and may
    /// append it again. Goes on, and finishes, where the future is dropped.
    pub async fn append(&self, record: Record) -> Result<(), JournalError> {
        let (done, kept) = oneshot::channel();
        let mut item = Item::new(record, true);
        item.done = Some(done);
        if item.payload_bytes() > self.longest {
            return Err(JournalError::TooLarge(item.payload_bytes()));
        }
        self.send(Command::Write(Box::new(item)))?;
        kept.await.map_err(|_| JournalError::Closed)?
    }

    /// Records who was given which generation. Nobody waits for it: where it is not recorded, that is counted and told
    /// ([`Health::gaps`]). `false`: it is known already that it will not be.
    #[must_use]
    pub fn note_issued(&self, issuance: Issuance) -> bool {
        let queued = self.shared.issuances.fetch_add(1, Ordering::Relaxed);
        let item = Item::new(Record::Issued(issuance), false);
        let fits = queued < ISSUANCES && item.payload_bytes() <= self.longest;
        let sent = fits && self.send(Command::Write(Box::new(item))).is_ok();
        if !sent {
            self.shared.issuances.fetch_sub(1, Ordering::Relaxed);
            self.shared.count_gaps(1, self.clock.since_boot());
        }
        sent
    }

    /// The database has this receipt, or will never want it. Its record stays for the horizon. A mark that is lost
    /// costs a question to the database.
    pub fn mark_settled(&self, attempt: AttemptId) {
        if !self.shared.state().index.close(attempt) {
            return;
        }
        let mark = Record::Closed { attempt, at: self.clock.now() };
        let _ = self.send(Command::Write(Box::new(Item::new(mark, false)))); // closed: the next start asks the database
    }

    /// The database lacks this receipt, perhaps again: it is pending until it is marked anew. Known to this process only;
    /// the next one asks the database about everything.
    pub fn mark_pending(&self, receipt: &Receipt) {
        self.shared.state().index.reopen(receipt);
    }

    /// What the database does not have, the oldest generation of each connection first.
    #[must_use]
    pub fn pending(&self) -> Vec<Receipt> {
        self.shared.state().index.pending()
    }

    /// Everything within the horizon, settled or not: what a database that forgot must be told again.
    #[must_use]
    pub fn all(&self) -> Replay {
        let places = self.shared.state().index.all(self.horizon, self.clock.now());
        Replay { shared: self.shared.clone(), places: places.into(), read: [].into() }
    }

    /// Deletes what is past the horizon, now; it happens by itself once a minute.
    pub async fn sweep(&self) {
        let (done, swept) = oneshot::channel();
        if self.send(Command::Sweep(done)).is_ok() {
            let _ = swept.await;
        }
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.shared.state();
        let (pending, oldest) = state.index.waiting();
        Health {
            writable: state.proven.is_some(),
            segments: state.index.segments(),
            bytes: state.bytes,
            receipts: state.index.receipts(),
            pending,
            oldest_pending: oldest.map(|oldest| self.clock.now().since(oldest)),
            gaps: state.gaps,
            set_aside: state.set_aside,
            syncs: state.syncs,
            last_error: state.last_error.clone(),
        }
    }

    /// Makes everything durable and lets go of the folder. Whatever is asked afterwards is refused.
    pub async fn close(&self) -> Result<(), JournalError> {
        let (done, closed) = oneshot::channel();
        self.send(Command::Close(done))?;
        closed.await.map_err(|_| JournalError::Closed)?
    }

    fn send(&self, command: Command) -> Result<(), JournalError> {
        self.commands.send(command).map_err(|_| JournalError::Closed)
    }
}
