//! What people do to a grant: re-authorise it in two steps, revoke it.

use token_broker::model::{Epoch, Generation, Outcome, State, Witness};

use crate::database::{Author, brought};
use crate::mutations::Mutation;
use crate::world::{Rules, TokenId, World, spend};

/// An authorisation whose pair is kept until it is promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    token: TokenId,
    /// The grant's when it began.
    epoch: Epoch,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Begun,
    /// It has taken a revoked witness's flag away: this is the generation it did so for.
    Unflagged(Generation),
    /// The witness is still to be raised.
    Promoted(Generation),
    /// Kept in the second medium, for an operator: a database that forgets the promotion forgets the only pair.
    Kept,
}

impl Candidate {
    pub fn token(&self) -> TokenId {
        self.token
    }
}

impl World {
    /// The code is exchanged; the pair is a candidate in both media.
    pub fn begin(&mut self) -> bool {
        let token = self.provider.authorise();
        let epoch = self.database.ledger.grant.revoke_epoch;
        self.candidates.push(Candidate { token, epoch, stage: Stage::Begun });
        spend(&mut self.left.reauthorisations)
    }

    /// Takes a candidate one step further.
    pub fn promote(&mut self, rules: &Rules, index: usize) -> bool {
        let candidate = self.candidates[index];
        let generation =
            Witness::next_generation(self.witness.as_ref(), self.database.ledger.grant.generation);
        match candidate.stage {
            Stage::Begun if self.witness.is_some_and(|entry| entry.revoked) => {
                self.witness = Witness::reauthorised(self.witness.as_ref(), generation).or(self.witness);
                self.candidates[index].stage = Stage::Unflagged(generation);
            }
            Stage::Begun => self.reauthorise(rules, index, generation),
            Stage::Unflagged(generation) => self.reauthorise(rules, index, generation),
            Stage::Promoted(generation) => {
                self.witness = Witness::reauthorised(self.witness.as_ref(), generation).or(self.witness);
                self.let_go(rules, index);
            }
            Stage::Kept => return false,
        }
        true
    }

    fn reauthorise(&mut self, rules: &Rules, index: usize, generation: Generation) {
        let Candidate { token, epoch, .. } = self.candidates[index];
        let before = self.database.ledger.clone();
        let current = before.grant.revoke_epoch;
        let begun = if rules.mutated(Mutation::ReauthorisationWithoutEpoch) { current } else { epoch };
        let mut step = before.clone().reauthorise(brought(token, generation, begun), self.now());
        if step.answer.is_none() {
            if begun == current {
                self.candidates[index].stage = Stage::Begun;
            } else {
                self.orphans.insert(token);
                self.candidates.remove(index);
            }
            return;
        }
        if rules.mutated(Mutation::ReauthorisationKeepsAttempt)
            && matches!(before.grant.state, State::Dispatched { .. } | State::InDoubt { .. })
        {
            step.ledger.grant.state = before.grant.state;
            for row in
                step.ledger.attempts.iter_mut().filter(|row| row.outcome() == Some(Outcome::Superseded))
            {
                row.closed = None;
            }
        }
        if let Some(replaced) = self.database.stored() {
            self.history.excused.insert(replaced);
        }
        self.commit(rules, Author::Candidate(epoch), step);
        self.history.barrier = self.next_attempt;
        self.history.revoked_from = None;
        if rules.witness {
            self.candidates[index].stage = Stage::Promoted(generation);
        } else {
            self.let_go(rules, index);
        }
    }

    fn let_go(&mut self, rules: &Rules, index: usize) {
        if rules.forgetful() {
            self.candidates[index].stage = Stage::Kept;
        } else {
            self.candidates.remove(index);
        }
    }

    /// With a witness its flag comes first, so that a database that forgets the commit cannot resurrect.
    pub fn revoke(&mut self, rules: &Rules) -> bool {
        if rules.witness && !self.revoking {
            let generation = self.database.ledger.grant.generation;
            self.witness = Some(Witness::revoked(self.witness.as_ref(), generation));
            self.revoking = true;
            return true;
        }
        if let Some(token) = self.database.stored() {
            self.history.excused.insert(token);
        }
        let step = self.database.ledger.clone().revoke();
        self.commit(rules, Author::Broker, step);
        self.history.barrier = self.next_attempt;
        self.history.revoked_from = Some(self.next_attempt);
        self.revoking = false;
        spend(&mut self.left.revocations)
    }
}
