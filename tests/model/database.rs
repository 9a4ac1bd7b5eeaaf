//! The database: the real `Ledger`, its last commits while it may lose them, and burns queued somewhere.
//! A mutated transition is the real one with its result edited.

use std::time::Duration;

use token_broker::model::{
    Attempt, AttemptId, BurnFate, Closing, Epoch, Generation, HolderGone, Ledger, Outcome, Reauthorise,
    ReplayPolicy, Settlement, State, Step, SweepPolicy, Timestamp,
};

use crate::mutations::Mutation;
use crate::replica::Replica;
use crate::world::{
    Intent, LATE, Record, Rules, TokenId, World, attempt_number, fingerprint, refresh_token, spend,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Database {
    pub ledger: Ledger,
    /// The last commits' ledgers, oldest first: what a failover may fall back to.
    pub past: Vec<Ledger>,
    /// Burns whose makers were told nothing: they commit later, or never.
    pub queue: Vec<Intent>,
}

impl Database {
    pub fn plant(token: TokenId) -> Self {
        Self {
            ledger: Ledger::plant(brought(token, Generation(1), Epoch(0))),
            past: Vec::new(),
            queue: Vec::new(),
        }
    }

    /// The token that the grant would present next.
    pub fn stored(&self) -> Option<TokenId> {
        self.ledger.grant.refresh.as_ref().map(|token| token.sealed.0[0])
    }
}

/// A pair from outside the rotation. A refresh in flight is not awaited: the hardest case.
pub fn brought(token: TokenId, generation: Generation, epoch: Epoch) -> Reauthorise {
    Reauthorise {
        generation,
        epoch,
        access: None,
        refresh: refresh_token(token),
        endpoint: [0; 32],
        holder_lost_after: Duration::ZERO,
    }
}

/// On whose behalf something is committed.
#[derive(Clone, Copy)]
pub enum Author {
    Attempt(u8),
    /// A re-authorisation that began at this epoch.
    Candidate(Epoch),
    /// The sweeper, a revocation.
    Broker,
}

const AT_ONCE: SweepPolicy = SweepPolicy { holder_lost_after: Duration::ZERO, doubt_grace: Duration::ZERO };

impl World {
    /// Makes a step the database's, and judges it.
    pub fn commit<T>(&mut self, rules: &Rules, author: Author, step: Step<T>) -> T {
        let before = &self.database.ledger;
        let older = match author {
            Author::Attempt(number) => number < self.history.barrier,
            Author::Candidate(begun) => begun != before.grant.revoke_epoch,
            Author::Broker => false,
        };
        self.history.changed_by_older |= older && before.grant != step.ledger.grant;
        if *before != step.ledger {
            self.history.note(&step.ledger);
            let before = std::mem::replace(&mut self.database.ledger, step.ledger);
            if self.left.failovers > 0 {
                self.database.past.push(before);
                let beyond = self.database.past.len().saturating_sub(rules.horizon);
                self.database.past.drain(..beyond);
            }
        }
        step.answer
    }

    pub fn burn(&mut self, rules: &Rules, intent: Intent) -> bool {
        let step = self.database.ledger.clone().burn(intent.burn(), self.now());
        self.commit(rules, Author::Attempt(intent.attempt), step)
    }

    pub fn commit_queued(&mut self, rules: &Rules, index: usize) -> bool {
        let intent = self.database.queue.remove(index);
        self.burn(rules, intent);
        true
    }

    pub fn drop_queued(&mut self, index: usize) -> bool {
        self.database.queue.remove(index);
        true
    }

    pub fn resolve_burn(&mut self, rules: &Rules, intent: Intent) -> BurnFate {
        let absent = self.database.ledger.find(intent.id()).is_none();
        if absent && rules.mutated(Mutation::BurnWithoutTombstone) {
            return BurnFate::Stop;
        }
        let step = self.database.ledger.clone().resolve_burn(intent.burn(), self.now());
        self.commit(rules, Author::Attempt(intent.attempt), step)
    }

    pub fn conclude(&mut self, rules: &Rules, intent: Intent, closing: Closing) -> bool {
        let step = self.database.ledger.clone().conclude(intent.id(), closing, self.now());
        self.commit(rules, Author::Attempt(intent.attempt), step)
    }

    pub fn settle(&mut self, rules: &Rules, record: &Record) -> Settlement {
        let (now, attempt) = (self.now(), record.held.intent.id());
        let ledger = &self.database.ledger;
        let due = ledger.find(attempt).is_some_and(|row| {
            let replayed = row.outcome() == Some(Outcome::ReplayPermitted)
                && ledger.grant.state == State::Idle
                && ledger.grant.generation == row.burn.generation;
            replayed || (row.is_open() && ledger.grant.state.attempt() == Some(attempt))
        });
        let step = match rules.mutation {
            Some(mutation) if mutation.settles_unduly(ledger, attempt) => {
                unduly_settled(ledger.clone(), record, now)
            }
            _ => ledger.clone().settle(attempt, record.tokens(), now),
        };
        self.history.settled_unduly |= !due && matches!(step.answer, Settlement::Settled(_));
        self.commit(rules, Author::Attempt(record.held.intent.attempt), step)
    }

    pub fn adopt(&mut self, rules: &Rules, record: &Record) -> Settlement {
        let before = &self.database.ledger;
        let doubtful = matches!(before.grant.state, State::InDoubt { .. } | State::ReauthRequired { .. });
        let descends = !matches!(before.grant.state, State::Dispatched { .. } | State::Revoked)
            && before.grant.generation.0 == record.held.intent.generation
            && self.database.stored() == Some(record.held.token);
        let doubted =
            before.grant.state.attempt().filter(|id| before.find(*id).is_some_and(Attempt::is_open));
        let burn = record.held.intent.burn();
        let mut step =
            before.clone().adopt(burn, fingerprint(record.held.token), record.tokens(), self.now());
        if doubtful && rules.mutated(Mutation::DoubtAdoptsNothing) {
            step = Step { ledger: before.clone(), answer: Settlement::Kept, event: None };
        }
        match (step.answer, doubted) {
            (Settlement::Kept, _) => self.history.kept_in_vain |= descends,
            (_, Some(doubted)) => {
                self.history.presume(attempt_number(doubted));
                if rules.mutated(Mutation::DoubtedCountsAsNotSent) {
                    close_again(&mut step.ledger, doubted, Outcome::NotSent);
                }
            }
            _ => {}
        }
        self.commit(rules, Author::Attempt(record.held.intent.attempt), step)
    }

    pub fn quarantine(&mut self, rules: &Rules, intent: Intent) -> bool {
        let step = self.database.ledger.clone().quarantine(Some(intent.id()), self.now());
        self.commit(rules, Author::Attempt(intent.attempt), step)
    }

    pub fn sweep(&mut self, rules: &Rules) -> bool {
        let mut step = self.database.ledger.clone().sweep(AT_ONCE, self.now());
        if rules.mutated(Mutation::SweeperReturnsToIdle)
            && matches!(self.database.ledger.grant.state, State::Dispatched { .. })
        {
            step.ledger.grant.state = State::Idle;
        }
        self.commit(rules, Author::Broker, step)
    }

    /// An operator ends doubt or quarantine.
    pub fn resolve(&mut self, rules: &Rules) -> bool {
        let step = self.database.ledger.clone().resolve();
        self.commit(rules, Author::Broker, step)
    }

    /// The sweeper presents again what the profile lets it (`model::replay`).
    pub fn permit_replay(&mut self, rules: &Rules) -> bool {
        let State::InDoubt { attempt, .. } = self.database.ledger.grant.state else { return false };
        let number = attempt_number(attempt);
        let hasty = rules.mutated(Mutation::ReplayBeforeHolderGone);
        let may_send = self.replicas.iter().filter_map(Replica::may_send).any(|held| held.attempt == number);
        let in_flight = self.requests.iter().any(|request| request.held.intent.attempt == number);
        let policy = match rules.policy {
            ReplayPolicy::Never if rules.mutated(Mutation::ReplayAtStrictProvider) => {
                ReplayPolicy::UntilSuccessorUsed
            }
            policy => policy,
        };
        let holder = (hasty || !may_send).then_some(HolderGone::ProcessEnded);
        // Whatever is in flight is there for no longer than the delays, here zero.
        let burnt_at = Timestamp::default();
        let now = if in_flight && !hasty { burnt_at } else { self.now().max(Timestamp::from_micros(1)) };
        let Some(until) = policy.spend_before(holder, crate::configurations::NO_DELAY, burnt_at, now) else {
            return false;
        };
        let step = self.database.ledger.clone().permit_replay(attempt, until, self.now());
        self.commit(rules, Author::Broker, step)
    }

    /// A standby without the last commits becomes the database.
    pub fn fail_over(&mut self, commits: usize) -> bool {
        let past = &mut self.database.past;
        let Some(kept) = past.len().checked_sub(commits) else { return false };
        self.database.ledger = past[kept].clone();
        past.truncate(kept);
        self.history.failed_over = true;
        self.history.unpresume(&self.database.ledger);
        // What is forgotten binds nobody: from here on the witness carries I3 and I10 too.
        self.history.barrier = 0;
        self.history.high_water = self.database.ledger.grant.generation;
        let spent = spend(&mut self.left.failovers);
        if self.left.failovers == 0 {
            self.database.past.clear();
        }
        spent
    }

    /// Whether the row's window is one that time closes.
    pub fn windowed(&self) -> bool {
        self.database.ledger.grant.spend_before.is_some_and(|at| at <= LATE)
    }
}

/// Writes another outcome.
fn close_again(ledger: &mut Ledger, attempt: AttemptId, outcome: Outcome) {
    for row in ledger.attempts.iter_mut().filter(|row| row.burn.attempt == attempt) {
        row.closed = row.closed.map(|(_, at)| (outcome, at));
    }
}

/// What a settle without its checks does: the pair becomes the grant's, whatever the row says.
fn unduly_settled(mut ledger: Ledger, record: &Record, now: Timestamp) -> Step<Settlement> {
    if let Some(row) =
        ledger.attempts.iter_mut().find(|row| row.burn.attempt == record.held.intent.id() && row.is_open())
    {
        row.closed = Some((Outcome::Settled, now));
    }
    ledger.grant.generation = ledger.grant.generation.next();
    ledger.grant.state = State::Idle;
    ledger.grant.refresh = record.successor.map(refresh_token);
    let answer = Settlement::Settled(ledger.grant.generation);
    Step { ledger, answer, event: None }
}
