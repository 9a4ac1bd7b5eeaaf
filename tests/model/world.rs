//! Everything that a state of the model consists of.

use std::hash::{DefaultHasher, Hash, Hasher};

use token_broker::model::{
    AttemptId, Burn, Fingerprint, Generation, Nonce, RefreshToken, ReplayPolicy, Sealed, Successor,
    Timestamp, Tokens, Witness,
};
use uuid::Uuid;

use crate::authority::Candidate;
use crate::database::Database;
use crate::history::{Bits, History};
use crate::mutations::Mutation;
use crate::provider::{Mode, Provider};
use crate::replica::Replica;

/// What does not change while a configuration is explored.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub replicas: usize,
    /// Whether every send consults the witness first.
    pub witness: bool,
    /// Whether there is a second medium beside the database.
    pub medium: bool,
    /// How the provider treats a token that was presented before.
    pub provider: Mode,
    /// What the broker's profile says of it.
    pub policy: ReplayPolicy,
    /// How many of its last commits the database may lose.
    pub horizon: usize,
    pub mutation: Option<Mutation>,
}

impl Rules {
    pub fn mutated(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// A database that may forget a settle: journals are kept beyond it.
    pub fn forgetful(&self) -> bool {
        self.horizon > 0
    }
}

/// How much may still happen: what bounds the search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub attempts: u8,
    pub crashes: u8,
    /// Messages lost, and answers that nobody waits for any longer.
    pub losses: u8,
    /// Answers of the token endpoint before it processed anything.
    pub refusals: u8,
    /// Burns whose commit is not acknowledged.
    pub ambiguous: u8,
    pub reauthorisations: u8,
    pub revocations: u8,
    /// The account's owner disconnects the application at the provider.
    pub disconnects: u8,
    pub failovers: u8,
    /// The end of a replay window.
    pub ticks: u8,
}

/// Takes one from what is left, where something is.
pub fn spend(left: &mut u8) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

/// A refresh token: an index into what the provider has issued.
pub type TokenId = u8;

/// The record of a burn, as its maker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Intent {
    pub attempt: u8,
    pub generation: u64,
}

impl Intent {
    pub fn id(self) -> AttemptId {
        attempt_id(self.attempt)
    }

    pub fn nonce(self) -> Nonce {
        Nonce([self.attempt; 32])
    }

    pub fn burn(self) -> Burn {
        Burn {
            attempt: self.id(),
            generation: Generation(self.generation),
            nonce: self.nonce().hash(),
            replica: String::new(),
            cause: String::new(),
        }
    }
}

/// A burnt token in its holder's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    pub intent: Intent,
    pub token: TokenId,
    /// The body refuses after the end of a replay window.
    pub windowed: bool,
}

/// A token without a window.
pub const fn held(intent: Intent, token: TokenId) -> Held {
    Held { intent, token, windowed: false }
}

/// A presentation on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    pub held: Held,
}

/// What the holder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// `None`: the presented one stays good.
    Tokens(Option<TokenId>),
    Rejected,
    Refused,
}

/// An answer on its way. It travels on the holder's connection: without a holder there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Answer {
    pub held: Held,
    pub reply: Reply,
}

/// A pair as the second medium keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    pub held: Held,
    pub successor: Option<TokenId>,
}

impl Record {
    pub fn tokens(self) -> Tokens {
        let refresh =
            self.successor.map_or(Successor::Unchanged, |token| Successor::Rotated(refresh_token(token)));
        Tokens { access: None, refresh }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The clock has passed the end of the replay windows.
    pub late: bool,
    pub database: Database,
    /// Which one is which does not matter: they are kept in order.
    pub replicas: Vec<Replica>,
    pub requests: Vec<Request>,
    pub answers: Vec<Answer>,
    pub provider: Provider,
    /// Journals and escrow: they outlive their writers, and anyone may drain them.
    pub journal: Vec<Record>,
    /// Pairs that no longer belong to the grant, sealed.
    pub orphans: Bits,
    pub candidates: Vec<Candidate>,
    /// A revocation has set the witness's flag and not committed yet.
    pub revoking: bool,
    pub witness: Option<Witness>,
    pub next_attempt: u8,
    pub left: Budget,
    pub history: History,
}

impl World {
    pub fn new(rules: &Rules, left: Budget) -> Self {
        let mut provider = Provider::default();
        let first = provider.authorise();
        Self {
            late: false,
            database: Database::plant(first),
            replicas: vec![Replica::Rested; rules.replicas],
            requests: Vec::new(),
            answers: Vec::new(),
            provider,
            journal: Vec::new(),
            orphans: Bits::default(),
            candidates: Vec::new(),
            revoking: false,
            witness: None,
            next_attempt: 0,
            left,
            history: History::default(),
        }
    }

    /// Two instants are enough: before and after the end of a replay window.
    pub fn now(&self) -> Timestamp {
        if self.late { LATE } else { Timestamp::default() }
    }

    /// The holder that waits for the answer to this attempt.
    pub fn awaited(&self, held: &Held) -> bool {
        self.replicas.iter().any(|replica| matches!(replica, Replica::Sent(mine) if mine == held))
    }

    /// Worlds that differ in the order of things only are the same.
    pub fn normalised(mut self) -> Self {
        self.replicas.sort_by_cached_key(|replica| {
            let mut hasher = DefaultHasher::new();
            replica.hash(&mut hasher);
            hasher.finish()
        });
        self.requests.sort_unstable();
        self.answers.sort_unstable();
        self.journal.sort_unstable();
        self.history.presentations.sort_unstable();
        self
    }
}

pub const LATE: Timestamp = Timestamp::from_micros(1000);

pub fn attempt_id(number: u8) -> AttemptId {
    AttemptId(Uuid::from_u128(number.into()))
}

pub fn attempt_number(id: AttemptId) -> u8 {
    u8::try_from(id.0.as_u128()).unwrap()
}

pub fn refresh_token(id: TokenId) -> RefreshToken {
    RefreshToken { sealed: Sealed(vec![id]), fingerprint: fingerprint(id) }
}

pub fn fingerprint(id: TokenId) -> Fingerprint {
    Fingerprint([id; 32])
}
