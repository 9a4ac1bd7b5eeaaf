//! The memory of a database that may forget (`docs/refresh.md`): one entry per connection, outside the
//! database, raised by compare-and-set and never set blindly. Pure: who stores it and how is not told here.

use super::{Attempt, AttemptId, Generation, Outcome};

/// What the witness remembers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Witness {
    /// The highest generation that anyone was cleared to present, or that a re-authorisation began.
    pub generation: Generation,
    /// Who was cleared to present it; absent where nobody was yet.
    pub attempt: Option<AttemptId>,
    /// A revocation went over it; only a re-authorisation clears this.
    pub revoked: bool,
}

/// An attempt that asks to be cleared, and what the database says of it.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The generation whose token it would present.
    pub generation: Generation,
    /// Its id.
    pub attempt: AttemptId,
    /// Its row, read after the entry was.
    pub row: Option<&'a Attempt>,
}

/// Whether an attempt may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, once the entry that was read has been replaced by this one by compare-and-set. Where another entry
    /// is found instead: read, ask and decide anew.
    Raise(Witness),
    /// No: the database has forgotten something. Quarantine the grant; the attempt was not sent.
    Veto {
        /// The entry that contradicts the database.
        entry: Witness,
    },
}

impl Witness {
    /// Decides before every send. `entry` is read first, the database is asked second (`earlier` is its row of the
    /// entry's attempt), the compare-and-set comes third.
    #[must_use]
    pub fn consult(entry: Option<&Self>, mine: Claim<'_>, earlier: Option<&Attempt>) -> Verdict {
        let raised = Self { generation: mine.generation, attempt: Some(mine.attempt), revoked: false };
        let Some(entry) = entry else {
            return Verdict::Raise(raised);
        };
        let passable = !entry.revoked
            && (entry.generation < mine.generation
                || (entry.generation == mine.generation && passes_over(entry, mine, earlier)));
        if passable { Verdict::Raise(raised) } else { Verdict::Veto { entry: *entry } }
    }

    /// What a re-authorisation at `generation` leaves; `None` where the entry already says as much: it is never lowered,
    /// and the flag of a later revocation stays. It replaces
    /// a revoked entry *before* its commit, so that nobody of the new generation meets the flag, and raises any
    /// other *after* it, so that nobody of the old generation is vetoed for a promotion that did not come.
    #[must_use]
    pub fn reauthorised(entry: Option<&Self>, generation: Generation) -> Option<Self> {
        let told = entry.is_some_and(|entry| {
            entry.generation > generation || (entry.generation == generation && !entry.revoked)
        });
        (!told).then_some(Self { generation, attempt: None, revoked: false })
    }

    /// What a revocation leaves, before it commits: a database that forgets the commit cannot resurrect.
    #[must_use]
    pub fn revoked(entry: Option<&Self>, generation: Generation) -> Self {
        let unseen = Self { generation, attempt: None, revoked: true };
        entry.map_or(unseen, |entry| Self { revoked: true, ..*entry })
    }

    /// The generation for a re-authorisation: above the row's and above what the witness has seen.
    #[must_use]
    pub fn next_generation(entry: Option<&Self>, row: Generation) -> Generation {
        entry.map_or(row, |entry| row.max(entry.generation)).next()
    }
}

/// At the same generation another attempt was cleared before. That it was freed is not enough: a holder whose
/// own burn is forgotten could pass with a proof that someone else may use again.
fn passes_over(entry: &Witness, mine: Claim<'_>, earlier: Option<&Attempt>) -> bool {
    match entry.attempt {
        None => true,
        Some(attempt) if attempt == mine.attempt => true,
        Some(attempt) => {
            let freed = earlier.is_some_and(|row| {
                row.burn.attempt == attempt && row.outcome().is_some_and(Outcome::frees_slot)
            });
            freed && mine.row.is_some_and(|row| row.burn.attempt == mine.attempt && row.is_open())
        }
    }
}
