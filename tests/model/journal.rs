//! Making a received pair durable: settle, adopt, and the draining of journals and escrow.

use token_broker::model::{Settlement, State};

use crate::mutations::Mutation;
use crate::world::{Record, Rules, World};

impl World {
    /// Settles until the pair may be let go of; `false`: it must be kept.
    pub fn store(&mut self, rules: &Rules, record: &Record) -> bool {
        match self.settle(rules, record) {
            Settlement::Settled(_) | Settlement::Ignored => true,
            Settlement::Orphan => {
                if let Some(token) = record.successor {
                    self.orphans.insert(token);
                    self.history.orphaned_falsely |= self.database.stored() == Some(token);
                }
                true
            }
            Settlement::Waits | Settlement::Kept => false,
            Settlement::Unknown => {
                let idle = self.database.ledger.grant.state == State::Idle;
                if idle && rules.mutated(Mutation::LateAnswerMeetingIdleIgnored) {
                    self.journal.retain(|kept| kept != record);
                    return true;
                }
                matches!(self.adopt(rules, record), Settlement::Settled(_) | Settlement::Ignored)
            }
        }
    }

    /// Any replica, a new one too, drains what others have journalled. A database that may forget a settle is
    /// not trusted with the only copy: within the horizon the record stays.
    pub fn drain(&mut self, rules: &Rules, index: usize) -> bool {
        let record = self.journal[index];
        let stored = self.store(rules, &record);
        if stored && !rules.forgetful() {
            self.journal.remove(index);
        }
        true
    }
}
