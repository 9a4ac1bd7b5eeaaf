//! A replica's way through a refresh. It may stop anywhere (it is simply not scheduled), and crash anywhere:
//! then its memory is gone, its journal is not.

use token_broker::model::{BurnFate, Claim, Closing, Generation, State, Verdict, Witness};

use crate::mutations::Mutation;
use crate::world::{Answer, Held, Intent, Record, Reply, Request, Rules, World, held, spend};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replica {
    Rested,
    /// Has read that the grant may be burnt.
    Due {
        generation: u64,
    },
    /// The commit of its burn was not acknowledged.
    Unsure(Intent),
    Burnt(Intent),
    Taken(Held),
    /// Has read the witness's entry.
    Consulting {
        held: Held,
        entry: Option<Witness>,
    },
    /// Has asked the database: what remains is the compare-and-set.
    Raising {
        held: Held,
        entry: Option<Witness>,
        next: Witness,
    },
    /// May send.
    Cleared(Held),
    Sent(Held),
    /// Has a pair in memory, and nowhere else.
    Received(Record),
    /// The database has it, the second medium not yet.
    Settled(Record),
}

/// What a replica may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Read,
    Burn,
    /// Commits, and the maker is not told.
    BurnUnacknowledged,
    /// Is queued somewhere, and the maker is not told.
    BurnQueued,
    Resolve,
    Take,
    ReadWitness,
    AskDatabase,
    RaiseWitness,
    Send,
    SendAgain,
    /// Proven: no byte of the token left.
    Release,
    GiveUp,
    Receive,
    Journal,
    Settle,
    Crash,
}

impl Replica {
    /// The attempt that it has begun and not brought to an end.
    pub fn attempt(&self) -> Option<Intent> {
        match self {
            Self::Rested | Self::Due { .. } => None,
            Self::Unsure(intent) | Self::Burnt(intent) => Some(*intent),
            Self::Taken(held)
            | Self::Consulting { held, .. }
            | Self::Raising { held, .. }
            | Self::Cleared(held)
            | Self::Sent(held) => Some(held.intent),
            Self::Received(record) | Self::Settled(record) => Some(record.held.intent),
        }
    }

    /// The token in its hands, as long as it may leave.
    pub fn sendable(&self) -> Option<Held> {
        match self {
            Self::Taken(held)
            | Self::Consulting { held, .. }
            | Self::Raising { held, .. }
            | Self::Cleared(held)
            | Self::Sent(held) => Some(*held),
            _ => None,
        }
    }

    /// The attempt whose token may still leave it.
    pub fn may_send(&self) -> Option<Intent> {
        match self {
            Self::Received(_) | Self::Settled(_) => None,
            _ => self.attempt(),
        }
    }

    pub fn moves(&self, rules: &Rules, world: &World, moves: &mut Vec<Move>) {
        match self {
            Self::Rested => {
                let due = world.database.ledger.grant.state == State::Idle
                    && world.database.ledger.grant.refresh.is_some();
                if due && world.next_attempt < world.left.attempts {
                    moves.push(Move::Read);
                }
                return;
            }
            Self::Due { .. } => {
                moves.push(Move::Burn);
                if world.left.ambiguous > 0 {
                    moves.extend([Move::BurnUnacknowledged, Move::BurnQueued]);
                }
                return;
            }
            Self::Unsure(_) => moves.push(Move::Resolve),
            Self::Burnt(_) => moves.push(Move::Take),
            Self::Taken(_) => moves.extend([Move::ReadWitness, Move::Release]),
            Self::Consulting { .. } => moves.push(Move::AskDatabase),
            Self::Raising { .. } => moves.push(Move::RaiseWitness),
            Self::Cleared(_) => moves.extend([Move::Send, Move::Release]),
            Self::Sent(held) => {
                let answered = world.answers.iter().any(|answer| answer.held == *held);
                let torn = !answered && !world.requests.iter().any(|request| request.held == *held);
                if answered {
                    moves.push(Move::Receive);
                } else if torn || world.left.losses > 0 {
                    moves.push(Move::GiveUp);
                }
                if torn && rules.mutated(Mutation::ClientRetries) {
                    moves.push(Move::SendAgain);
                }
            }
            Self::Received(_) if rules.medium => moves.extend([Move::Settle, Move::Journal]),
            Self::Received(_) => moves.push(Move::Settle),
            Self::Settled(_) => moves.push(Move::Journal),
        }
        if world.left.crashes > 0 {
            moves.push(Move::Crash);
        }
    }
}

impl World {
    /// Takes a replica one step further.
    pub fn step(&mut self, rules: &Rules, index: usize, step: Move) -> bool {
        let next = match (self.replicas[index], step) {
            (Replica::Rested, _) => Replica::Due { generation: self.database.ledger.grant.generation.0 },
            (Replica::Due { generation }, step) => self.burn_step(rules, generation, step),
            (replica, Move::Crash) => self.crash(replica),
            (Replica::Unsure(intent), _) => match self.resolve_burn(rules, intent) {
                BurnFate::Proceed => Replica::Burnt(intent),
                BurnFate::Release => self.release(rules, intent),
                BurnFate::Stop => Replica::Rested,
            },
            (Replica::Burnt(intent), _) => self.take(rules, intent),
            (Replica::Taken(held) | Replica::Cleared(held), Move::Release) => {
                self.release(rules, held.intent)
            }
            (Replica::Taken(held), _) if rules.witness => Replica::Consulting { held, entry: self.witness },
            (Replica::Taken(held) | Replica::Cleared(held), _) | (Replica::Sent(held), Move::SendAgain) => {
                self.send(held)
            }
            (Replica::Consulting { held, entry }, _) => self.ask_database(rules, held, entry),
            (Replica::Raising { held, entry, next }, _) => self.raise_witness(rules, held, entry, next),
            (Replica::Sent(held), Move::Receive) => self.receive(rules, held),
            (Replica::Sent(held), _) => self.give_up(rules, held),
            (Replica::Received(record) | Replica::Settled(record), Move::Journal) => {
                self.journal.push(record);
                Replica::Rested
            }
            (Replica::Received(record), _) if !self.store(rules, &record) => Replica::Received(record),
            (Replica::Received(record), _) if rules.forgetful() => Replica::Settled(record),
            (Replica::Received(_) | Replica::Settled(_), _) => Replica::Rested,
        };
        self.replicas[index] = next;
        true
    }

    fn burn_step(&mut self, rules: &Rules, generation: u64, step: Move) -> Replica {
        let intent = Intent { attempt: self.next_attempt, generation };
        if intent.attempt >= self.left.attempts {
            return Replica::Rested;
        }
        if rules.mutated(Mutation::OldReplicaDoesNotBurn) {
            self.next_attempt += 1;
            return self.read_without_burning(intent);
        }
        if step == Move::BurnQueued {
            self.database.queue.push(intent);
        } else if !self.burn(rules, intent) {
            return Replica::Rested;
        }
        self.next_attempt += 1;
        if step == Move::Burn {
            return Replica::Burnt(intent);
        }
        spend(&mut self.left.ambiguous);
        Replica::Unsure(intent)
    }

    fn read_without_burning(&self, intent: Intent) -> Replica {
        self.database.stored().map_or(Replica::Rested, |token| Replica::Cleared(held(intent, token)))
    }

    fn take(&mut self, rules: &Rules, intent: Intent) -> Replica {
        let sealed = self.database.ledger.take(intent.id(), &intent.nonce()).map(|sealed| sealed.0[0]);
        match sealed {
            Some(token) => Replica::Taken(Held { intent, token, windowed: self.windowed() }),
            None => self.release(rules, intent),
        }
    }

    fn release(&mut self, rules: &Rules, intent: Intent) -> Replica {
        self.conclude(rules, intent, Closing::NotSent);
        self.history.abandoned.insert(intent.attempt);
        Replica::Rested
    }

    fn ask_database(&mut self, rules: &Rules, held: Held, entry: Option<Witness>) -> Replica {
        let ledger = &self.database.ledger;
        let mine = Claim {
            generation: Generation(held.intent.generation),
            attempt: held.intent.id(),
            row: ledger.find(held.intent.id()),
        };
        let mut earlier = entry.and_then(|entry| entry.attempt).and_then(|attempt| ledger.find(attempt));
        if rules.mutated(Mutation::WitnessOneKeyPerGeneration) {
            earlier = None;
        }
        match Witness::consult(entry.as_ref(), mine, earlier) {
            Verdict::Raise(next) => Replica::Raising { held, entry, next },
            Verdict::Veto { entry } => {
                let quarantined = self.quarantine(rules, held.intent);
                let ending = entry.revoked || self.revoking;
                self.history.vetoed_falsely |= quarantined && !self.history.failed_over && !ending;
                self.history.abandoned.insert(held.intent.attempt);
                Replica::Rested
            }
        }
    }

    fn raise_witness(&mut self, rules: &Rules, held: Held, entry: Option<Witness>, next: Witness) -> Replica {
        if self.witness != entry && !rules.mutated(Mutation::WitnessSetBlindly) {
            return Replica::Taken(held);
        }
        self.witness = Some(next);
        Replica::Cleared(held)
    }

    fn send(&mut self, held: Held) -> Replica {
        // The body's deadline ends with the window.
        if held.windowed && self.late {
            return Replica::Cleared(held);
        }
        let revoked = self.history.revoked_from.is_some_and(|from| held.intent.attempt >= from);
        self.history.presented_after_revocation |= revoked;
        self.requests.push(Request { held });
        Replica::Sent(held)
    }

    fn receive(&mut self, rules: &Rules, held: Held) -> Replica {
        let Some(index) = self.answers.iter().position(|answer| answer.held == held) else {
            return Replica::Sent(held);
        };
        let Answer { reply, .. } = self.answers.remove(index);
        let closing = match reply {
            Reply::Tokens(successor) => return Replica::Received(Record { held, successor }),
            Reply::Rejected => Closing::Rejected,
            Reply::Refused => Closing::Refused { not_before: self.now() },
        };
        self.conclude(rules, held.intent, closing);
        Replica::Rested
    }

    /// A torn connection, a time-out, a gateway's 5xx: the origin may still be working.
    fn give_up(&mut self, rules: &Rules, held: Held) -> Replica {
        if self.requests.iter().any(|request| request.held == held) {
            spend(&mut self.left.losses);
        }
        let closing = match rules.mutation {
            Some(Mutation::NotSentWithoutProof) => Closing::NotSent,
            Some(Mutation::GatewayErrorCountedAsRefused) => Closing::Refused { not_before: self.now() },
            _ => Closing::Unknown,
        };
        self.history.abandoned.insert(held.intent.attempt);
        self.conclude(rules, held.intent, closing);
        Replica::Rested
    }

    fn crash(&mut self, replica: Replica) -> Replica {
        spend(&mut self.left.crashes);
        if let Some(intent) = replica.attempt() {
            self.history.abandoned.insert(intent.attempt);
        }
        match replica {
            Replica::Sent(held) => {
                if let Some(index) = self.answers.iter().position(|answer| answer.held == held) {
                    self.drop_answer(index);
                }
            }
            Replica::Received(record) | Replica::Settled(record) => {
                if let Some(token) = record.successor {
                    self.history.excused.insert(token);
                }
            }
            _ => {}
        }
        Replica::Rested
    }
}
