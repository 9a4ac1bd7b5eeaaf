//! The state machine of a grant (`docs/refresh.md`): pure, no I/O, `now` passed in. A transition consumes the
//! ledger and returns the next one; what does not apply changes nothing, a normal answer.
//! `tests/model` explores this very code; the stores are held to it by property tests.

use super::{
    Attempt, AttemptId, Burn, BurnFate, Closing, Epoch, EventKind, Fingerprint, Generation, Grant, Ledger,
    Nonce, Outcome, Reauthorise, Sealed, Settlement, State, Step, Successor, SweepPolicy, Timestamp, Tokens,
};

/// Refused attempts of one generation after which a person must act.
pub const REFUSALS_PER_GENERATION: usize = 5;

impl Ledger {
    /// The first pair of a connection.
    #[must_use]
    pub fn plant(first: Reauthorise) -> Self {
        let grant = Grant {
            generation: first.generation,
            revoke_epoch: first.epoch,
            state: State::Idle,
            not_before: None,
            spend_before: None,
            access: first.access,
            refresh: Some(first.refresh),
            predecessor: None,
            endpoint: first.endpoint,
        };
        Self { grant, attempts: Vec::new() }
    }

    /// The one-way record. Applies where the grant is idle at this generation, the token may be spent now, and
    /// no attempt holds the generation's slot (I1).
    #[must_use]
    pub fn burn(mut self, burn: Burn, now: Timestamp) -> Step<bool> {
        let spendable = self.grant.state == State::Idle
            && self.grant.generation == burn.generation
            && self.grant.not_before.is_none_or(|at| at <= now)
            && self.grant.spend_before.is_none_or(|at| now < at);
        let slot_taken = self.attempts.iter().any(|a| {
            a.burn.attempt == burn.attempt || (a.burn.generation == burn.generation && a.holds_slot())
        });
        let Some(fingerprint) = self.grant.refresh.as_ref().map(|token| token.fingerprint) else {
            return self.answer(false);
        };
        if !spendable || slot_taken {
            return self.answer(false);
        }
        self.grant.state = State::Dispatched { attempt: burn.attempt, since: now };
        self.attempts.push(Attempt {
            burn,
            fingerprint: Some(fingerprint),
            dispatched_at: now,
            closed: None,
        });
        self.answer(true)
    }

    /// The sealed refresh token, for the holder of the nonce of an open, dispatched attempt; any number of times.
    #[must_use]
    pub fn take(&self, attempt: AttemptId, nonce: &Nonce) -> Option<&Sealed> {
        let held = self.open(attempt)?;
        let dispatched =
            matches!(self.grant.state, State::Dispatched { attempt: current, .. } if current == attempt);
        (dispatched && held.burn.nonce == nonce.hash()).then_some(&self.grant.refresh.as_ref()?.sealed)
    }

    /// Settles a burn whose commit was not acknowledged. Where it is absent a tombstone takes its place, so
    /// that a burn still queued somewhere fails on the key.
    #[must_use]
    pub fn resolve_burn(mut self, burn: Burn, now: Timestamp) -> Step<BurnFate> {
        let Some(attempt) = self.find(burn.attempt) else {
            let closed = Some((Outcome::NotSent, now));
            self.attempts.push(Attempt { burn, fingerprint: None, dispatched_at: now, closed });
            return self.answer(BurnFate::Stop);
        };
        let fate = match self.grant.state {
            _ if !attempt.is_open() => BurnFate::Stop,
            State::Dispatched { attempt: current, .. } if current == burn.attempt => BurnFate::Proceed,
            _ => BurnFate::Release,
        };
        self.answer(fate)
    }

    /// Stores what came back. Applies only for the grant's current, open attempt (I4), from `dispatched`,
    /// `in_doubt` or `reauth_required`; and for a replayed attempt from `idle` at its own generation.
    #[must_use]
    pub fn settle(mut self, attempt: AttemptId, tokens: Tokens, now: Timestamp) -> Step<Settlement> {
        let Some((generation, outcome)) = self.find(attempt).map(|a| (a.burn.generation, a.outcome())) else {
            return self.answer(Settlement::Unknown);
        };
        let at_own_generation = self.grant.generation == generation;
        match (outcome, self.grant.state) {
            (Some(Outcome::Settled), _) => self.answer(Settlement::Ignored),
            (Some(Outcome::ReplayPermitted), State::Idle) if at_own_generation => self.advance(tokens),
            (
                Some(Outcome::ReplayPermitted),
                State::Dispatched { .. } | State::InDoubt { .. } | State::ReauthRequired { .. },
            ) if at_own_generation => self.answer(Settlement::Waits),
            (Some(Outcome::ReplayPermitted) | None, State::Quarantined { .. }) => {
                self.answer(Settlement::Kept)
            }
            (Some(Outcome::ReplayPermitted), _) if self.has(&tokens) => self.answer(Settlement::Ignored),
            (Some(_), _) => self.orphaned(),
            (None, state) if state.attempt() == Some(attempt) => {
                self.close(attempt, Outcome::Settled, now);
                self.advance(tokens)
            }
            (None, _) => {
                self.close(attempt, Outcome::Superseded, now);
                self.orphaned()
            }
        }
    }

    /// Closes an attempt that brought no tokens. `false`: it was closed before, or is not known.
    #[must_use]
    pub fn conclude(mut self, attempt: AttemptId, closing: Closing, now: Timestamp) -> Step<bool> {
        let Some(generation) = self.open(attempt).map(|a| a.burn.generation) else {
            return self.answer(false);
        };
        let current = self.grant.state.attempt() == Some(attempt)
            && !matches!(self.grant.state, State::Quarantined { .. });
        let outcome = match closing {
            Closing::NotSent => Outcome::NotSent,
            Closing::Refused { .. } => Outcome::Refused,
            Closing::Rejected => Outcome::Rejected,
            Closing::Unknown => {
                return match self.grant.state {
                    State::Dispatched { .. } if current => self.doubt(attempt, now),
                    _ => self.answer(false),
                };
            }
        };
        self.close(attempt, outcome, now);
        match closing {
            _ if !current => self.answer(true),
            Closing::Refused { not_before } if self.refusals(generation) < REFUSALS_PER_GENERATION => {
                self.grant.not_before = Some(not_before);
                self.grant.state = State::Idle;
                self.answer(true)
            }
            Closing::NotSent => {
                self.grant.state = State::Idle;
                self.answer(true)
            }
            _ => self.require_reauth(Some(attempt), true),
        }
    }

    /// Lets the token of a doubtful attempt be presented again, until `spend_before`. The proof that this is
    /// safe is the caller's (`model::replay`).
    #[must_use]
    pub fn permit_replay(
        mut self,
        attempt: AttemptId,
        spend_before: Timestamp,
        now: Timestamp,
    ) -> Step<bool> {
        let doubtful =
            matches!(self.grant.state, State::InDoubt { attempt: current, .. } if current == attempt);
        if !doubtful || self.open(attempt).is_none() {
            return self.answer(false);
        }
        self.close(attempt, Outcome::ReplayPermitted, now);
        self.grant.state = State::Idle;
        self.grant.spend_before = Some(spend_before);
        self.answer(true)
    }

    /// Starts a new rotation from a pair that a person brought. `None`: the epoch has moved, the generation is
    /// not above the grant's, or a refresh in flight must be awaited.
    #[must_use]
    pub fn reauthorise(mut self, new: Reauthorise, now: Timestamp) -> Step<Option<Generation>> {
        let in_flight = matches!(self.grant.state, State::Dispatched { since, .. }
            if now.since(since) < new.holder_lost_after);
        if in_flight || new.epoch != self.grant.revoke_epoch || new.generation <= self.grant.generation {
            return self.answer(None);
        }
        if let Some(attempt) = self.grant.state.attempt()
            && self.open(attempt).is_some()
        {
            self.close(attempt, Outcome::Superseded, now);
        }
        let fresh = Self::plant(new);
        let generation = fresh.grant.generation;
        self.grant = fresh.grant;
        self.answer(Some(generation))
    }

    /// Ends the grant: from any state, nothing older settles afterwards (I10). The ciphertexts go with it.
    #[must_use]
    pub fn revoke(mut self) -> Step<Epoch> {
        let epoch = Epoch(self.grant.revoke_epoch.0 + 1);
        let event = (self.grant.state != State::Revoked).then_some(EventKind::Revoked);
        self.grant.revoke_epoch = epoch;
        self.grant.state = State::Revoked;
        self.grant.access = None;
        self.grant.refresh = None;
        self.grant.not_before = None;
        self.grant.spend_before = None;
        Step { ledger: self, answer: epoch, event }
    }

    /// Puts the grant aside because the evidence contradicts itself (a witness's veto, a bad tag). The caller's
    /// own attempt, if it has one, was not sent.
    #[must_use]
    pub fn quarantine(mut self, attempt: Option<AttemptId>, now: Timestamp) -> Step<bool> {
        let ours = attempt.is_none() || self.grant.state.attempt() == attempt;
        if let Some(attempt) = attempt {
            if self.open(attempt).is_none() {
                return self.answer(false);
            }
            self.close(attempt, Outcome::NotSent, now);
        }
        match self.grant.state {
            State::Idle | State::Dispatched { .. } | State::InDoubt { .. } if ours => {
                self.grant.state = State::Quarantined { attempt: self.grant.state.attempt() };
                Step { ledger: self, answer: true, event: Some(EventKind::Quarantined) }
            }
            _ => self.answer(false),
        }
    }

    /// An operator ends doubt or quarantine: what was kept for the attempt may settle, else a person must
    /// authorise anew. The token itself is never let go of.
    #[must_use]
    pub fn resolve(self) -> Step<bool> {
        match self.grant.state {
            State::InDoubt { attempt, .. } => self.require_reauth(Some(attempt), true),
            State::Quarantined { attempt } => self.require_reauth(attempt, true),
            _ => self.answer(false),
        }
    }

    /// Takes a pair that the database has forgotten: its attempt is unknown here, and it descends from the very
    /// token that the grant holds. Not from `dispatched`: that holder may live.
    #[must_use]
    pub fn adopt(
        mut self,
        burn: Burn,
        parent: Fingerprint,
        tokens: Tokens,
        now: Timestamp,
    ) -> Step<Settlement> {
        let adoptable = !matches!(self.grant.state, State::Dispatched { .. } | State::Revoked)
            && self.grant.generation == burn.generation
            && self.grant.refresh.as_ref().is_some_and(|token| token.fingerprint == parent);
        let doubted = self.grant.state.attempt();
        let slot_taken = self.attempts.iter().any(|a| {
            let in_the_way = a.holds_slot() && !(a.is_open() && doubted == Some(a.burn.attempt));
            a.burn.attempt == burn.attempt || (a.burn.generation == burn.generation && in_the_way)
        });
        if slot_taken || !adoptable {
            return self.answer(Settlement::Kept);
        }
        if let Some(doubted) = doubted {
            // Its token was exchanged by another, so it was still good: whatever this one presented was not processed.
            self.close(doubted, Outcome::Refused, now);
        }
        let closed = Some((Outcome::Settled, now));
        self.attempts.push(Attempt { burn, fingerprint: Some(parent), dispatched_at: now, closed });
        self.advance(tokens)
    }

    /// What time alone does: silence becomes doubt, doubt a person's work, a replay window ends.
    #[must_use]
    pub fn sweep(self, policy: SweepPolicy, now: Timestamp) -> Step<bool> {
        match self.grant.state {
            State::Dispatched { attempt, since } if now.since(since) >= policy.holder_lost_after => {
                self.doubt(attempt, now)
            }
            State::InDoubt { attempt, since }
                if now.since(since) >= policy.doubt_grace
                    && self.grant.access.as_ref().is_none_or(|access| access.expires_at <= now) =>
            {
                self.require_reauth(Some(attempt), true)
            }
            State::Idle if self.grant.spend_before.is_some_and(|at| at <= now) => {
                self.require_reauth(None, true)
            }
            _ => self.answer(false),
        }
    }
}

// === what the transitions are made of ===

impl Ledger {
    /// The attempt, whatever became of it.
    #[must_use]
    pub fn find(&self, attempt: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|a| a.burn.attempt == attempt)
    }

    fn open(&self, attempt: AttemptId) -> Option<&Attempt> {
        self.find(attempt).filter(|a| a.is_open())
    }

    fn close(&mut self, attempt: AttemptId, outcome: Outcome, now: Timestamp) {
        if let Some(open) = self.attempts.iter_mut().find(|a| a.burn.attempt == attempt && a.is_open()) {
            open.closed = Some((outcome, now));
        }
    }

    fn refusals(&self, generation: Generation) -> usize {
        let refused = |a: &&Attempt| a.burn.generation == generation && a.outcome() == Some(Outcome::Refused);
        self.attempts.iter().filter(refused).count()
    }

    /// Whether these tokens were settled before, or bring no refresh token that could be an orphan. Only a
    /// replayed attempt must ask: its outcome cannot become `settled`.
    fn has(&self, tokens: &Tokens) -> bool {
        let Successor::Rotated(token) = &tokens.refresh else { return true };
        let current = self.grant.refresh.as_ref().map(|token| token.fingerprint);
        current == Some(token.fingerprint) || self.grant.predecessor == Some(token.fingerprint)
    }

    fn advance(mut self, tokens: Tokens) -> Step<Settlement> {
        self.grant.generation = self.grant.generation.next();
        self.grant.access = tokens.access;
        self.grant.not_before = None;
        self.grant.spend_before = None;
        self.grant.state = State::Idle;
        let answer = Settlement::Settled(self.grant.generation);
        match tokens.refresh {
            Successor::Rotated(token) => {
                self.grant.predecessor = self.grant.refresh.replace(token).map(|old| old.fingerprint);
            }
            Successor::Unchanged => {}
            Successor::Missing => {
                self.grant.predecessor = self.grant.refresh.take().map(|old| old.fingerprint);
                return self.require_reauth(None, answer);
            }
        }
        self.answer(answer)
    }

    fn doubt(mut self, attempt: AttemptId, now: Timestamp) -> Step<bool> {
        self.grant.state = State::InDoubt { attempt, since: now };
        Step { ledger: self, answer: true, event: Some(EventKind::InDoubt) }
    }

    fn require_reauth<T>(mut self, attempt: Option<AttemptId>, answer: T) -> Step<T> {
        let entered = !matches!(self.grant.state, State::ReauthRequired { .. });
        self.grant.state = State::ReauthRequired { attempt };
        Step { ledger: self, answer, event: entered.then_some(EventKind::ReauthRequired) }
    }

    fn orphaned(self) -> Step<Settlement> {
        Step { ledger: self, answer: Settlement::Orphan, event: Some(EventKind::Orphan) }
    }

    fn answer<T>(self, answer: T) -> Step<T> {
        Step { ledger: self, answer, event: None }
    }
}
