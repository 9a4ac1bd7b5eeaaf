//! What happened, as an outside judge remembers it: no participant reads it.

use token_broker::model::{Generation, Ledger, Outcome};

use crate::world::{Held, TokenId, attempt_number};

/// A set of small numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bits(u32);

impl Bits {
    pub fn insert(&mut self, number: u8) {
        self.0 |= 1 << number;
    }

    pub fn remove(&mut self, number: u8) {
        self.0 &= !(1 << number);
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }
}

/// A line of the provider's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Presentation {
    pub token: TokenId,
    pub generation: u64,
    pub attempt: u8,
}

impl Presentation {
    /// A token that does not rotate is another one in each generation.
    pub fn same_token(&self, other: &Self) -> bool {
        (self.token, self.generation) == (other.token, other.generation)
    }
}

impl From<Held> for Presentation {
    fn from(held: Held) -> Self {
        Self { token: held.token, generation: held.intent.generation, attempt: held.intent.attempt }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a verdict of its own")]
pub struct History {
    pub presentations: Vec<Presentation>,
    /// Attempts that ever had a committed row.
    pub recorded: Bits,
    /// Attempts ever committed with an outcome that frees the generation's slot.
    pub freed: Bits,
    /// Attempts that are closed as refused because another's pair was adopted, and that nothing else freed: they explain
    /// no presentation.
    pub presumed: Bits,
    /// Attempts ever committed as not sent.
    pub not_sent: Bits,
    /// Attempts whose holder crashed or gave up.
    pub abandoned: Bits,
    /// Tokens whose loss is explained: a crash or loss between send and durable answer, or somebody's decision.
    pub excused: Bits,
    /// The highest generation of this database.
    pub high_water: Generation,
    /// Attempts below this are older than the last revocation or re-authorisation.
    pub barrier: u8,
    /// Revoked and not re-authorised since: attempts from this one on may not be sent.
    pub revoked_from: Option<u8>,
    pub failed_over: bool,
    pub generation_decreased: bool,
    pub settled_unduly: bool,
    pub changed_by_older: bool,
    pub presented_after_revocation: bool,
    pub vetoed_falsely: bool,
    pub orphaned_falsely: bool,
    pub kept_in_vain: bool,
}

impl History {
    /// An attempt is closed for another's sake.
    pub fn presume(&mut self, number: u8) {
        if !self.freed.contains(number) {
            self.presumed.insert(number);
        }
    }

    /// The database forgets: what is open again may be closed for its own sake.
    pub fn unpresume(&mut self, ledger: &Ledger) {
        for attempt in ledger.attempts.iter().filter(|attempt| attempt.is_open()) {
            self.presumed.remove(attempt_number(attempt.burn.attempt));
        }
    }

    /// Notes a commit.
    pub fn note(&mut self, ledger: &Ledger) {
        self.generation_decreased |= ledger.grant.generation < self.high_water;
        self.high_water = self.high_water.max(ledger.grant.generation);
        for attempt in &ledger.attempts {
            let number = attempt_number(attempt.burn.attempt);
            self.recorded.insert(number);
            if attempt.outcome().is_some_and(Outcome::frees_slot) && !self.presumed.contains(number) {
                self.freed.insert(number);
            }
            if attempt.outcome() == Some(Outcome::NotSent) {
                self.not_sent.insert(number);
            }
        }
    }
}
