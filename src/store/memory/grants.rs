//! The protocol's steps: each the ledger's.

use async_trait::async_trait;

use super::{Memory, Tables};
use crate::{
    model::{
        Attempt, AttemptId, Burn, BurnFate, Closing, ConnectionUid, Epoch, Fingerprint, GrantFacts, Ledger,
        Nonce, Reauthorise, Sealed, Settlement, Step, Successor, SweepPolicy, TenantUid, Timestamp, Tokens,
    },
    store::{Event, Grants, Reauthorised, StoreError},
};

#[async_trait]
impl Grants for Memory {
    async fn grant(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
    ) -> Result<Option<GrantFacts>, StoreError> {
        Ok(self.tables().of(tenant, connection).map(|ledger| ledger.grant.facts()))
    }

    async fn burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let foreign =
            tables.of(tenant, connection).is_none() || tables.foreign_attempt(burn.attempt, connection);
        Ok(!foreign && tables.step(connection, now, |ledger| ledger.burn(burn, now)).unwrap_or(false))
    }

    async fn take(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        nonce: Nonce,
    ) -> Result<Option<Sealed>, StoreError> {
        let tables = self.tables();
        let ledger = tables.owner(attempt).and_then(|connection| tables.of(tenant, connection));
        Ok(ledger.and_then(|ledger| ledger.take(attempt, &nonce)).cloned())
    }

    async fn resolve_burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<BurnFate, StoreError> {
        let mut tables = self.tables();
        if tables.of(tenant, connection).is_none() || tables.foreign_attempt(burn.attempt, connection) {
            return Ok(BurnFate::Stop);
        }
        let fate = tables.step(connection, now, |ledger| ledger.resolve_burn(burn, now));
        Ok(fate.unwrap_or(BurnFate::Stop))
    }

    async fn settle(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError> {
        let mut tables = self.tables();
        let owner = tables.owner(attempt).filter(|owner| tables.of(tenant, *owner).is_some());
        let Some(connection) = owner else { return Ok(Settlement::Unknown) };
        Ok(tables.receive(connection, &tokens, now, |ledger| ledger.settle(attempt, tokens.clone(), now)))
    }

    async fn conclude(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        closing: Closing,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        Ok(tables.step_of(tenant, attempt, now, |ledger| ledger.conclude(attempt, closing, now)))
    }

    async fn permit_replay(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        spend_before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        Ok(tables.step_of(tenant, attempt, now, |ledger| ledger.permit_replay(attempt, spend_before, now)))
    }

    async fn reauthorise(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        new: Reauthorise,
        now: Timestamp,
    ) -> Result<Reauthorised, StoreError> {
        let mut tables = self.tables();
        let living = tables.living(connection).filter(|connection| connection.tenant_uid == tenant);
        let Some(floor) = living.map(|connection| connection.generation_floor) else {
            return Ok(Reauthorised::Gone);
        };
        if tables.knows(new.refresh.fingerprint) {
            return Ok(Reauthorised::TokenKnown);
        }
        let replaced = tables.step(connection, now, |ledger| ledger.reauthorise(new.clone(), now));
        let done = replaced.unwrap_or_else(|| {
            (new.epoch == Epoch(0) && new.generation > floor).then(|| {
                let generation = new.generation;
                tables.grants.insert(connection, Ledger::plant(new));
                tables.tenant_of.insert(connection, tenant);
                generation
            })
        });
        Ok(done.map_or(Reauthorised::Refused, Reauthorised::Done))
    }

    async fn revoke(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<Option<Epoch>, StoreError> {
        let mut tables = self.tables();
        if tables.of(tenant, connection).is_none() {
            return Ok(None);
        }
        Ok(tables.step(connection, now, Ledger::revoke))
    }

    async fn quarantine(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        if tables.of(tenant, connection).is_none() {
            return Ok(false);
        }
        let moved = tables.step(connection, now, |ledger| ledger.quarantine(attempt, now));
        Ok(moved.unwrap_or(false))
    }

    async fn resolve(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        if tables.of(tenant, connection).is_none() {
            return Ok(false);
        }
        Ok(tables.step(connection, now, Ledger::resolve).unwrap_or(false))
    }

    async fn adopt(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        parent: Fingerprint,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError> {
        let mut tables = self.tables();
        if tables.foreign_attempt(burn.attempt, connection) || tables.of(tenant, connection).is_none() {
            return Ok(Settlement::Kept);
        }
        let adopt = |ledger: Ledger| ledger.adopt(burn.clone(), parent, tokens.clone(), now);
        Ok(tables.receive(connection, &tokens, now, adopt))
    }

    async fn sweep(&self, policy: SweepPolicy, now: Timestamp) -> Result<Vec<ConnectionUid>, StoreError> {
        let mut tables = self.tables();
        let mut moved: Vec<_> = tables.grants.keys().copied().collect();
        moved.retain(|connection| {
            tables.step(*connection, now, |ledger| ledger.sweep(policy, now)).unwrap_or(false)
        });
        Ok(moved)
    }

    async fn attempts(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Attempt>, StoreError> {
        let tables = self.tables();
        let attempts = tables.of(tenant, connection).map(|ledger| ledger.attempts.iter().rev());
        Ok(attempts.into_iter().flatten().take(limit as usize).cloned().collect())
    }

    async fn events(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let tables = self.tables();
        let known = tables.of(tenant, connection).is_some();
        let events = tables.events.iter().rev().filter(|event| known && event.connection == connection);
        Ok(events.take(limit as usize).cloned().collect())
    }
}

// === what spans connections ===

impl Tables {
    /// A tenant's own grant.
    fn of(&self, tenant: TenantUid, connection: ConnectionUid) -> Option<&Ledger> {
        self.grants.get(&connection).filter(|_| self.tenant_of.get(&connection) == Some(&tenant))
    }

    /// The connection of an attempt.
    fn owner(&self, attempt: AttemptId) -> Option<ConnectionUid> {
        self.grants.iter().find(|(_, ledger)| ledger.find(attempt).is_some()).map(|(uid, _)| *uid)
    }

    /// Whether another connection uses this id already.
    fn foreign_attempt(&self, attempt: AttemptId, connection: ConnectionUid) -> bool {
        self.owner(attempt).is_some_and(|owner| owner != connection)
    }

    fn step_of(
        &mut self,
        tenant: TenantUid,
        attempt: AttemptId,
        now: Timestamp,
        transition: impl FnOnce(Ledger) -> Step<bool>,
    ) -> bool {
        let owner = self.owner(attempt).filter(|owner| self.of(tenant, *owner).is_some());
        let moved = owner.and_then(|connection| self.step(connection, now, transition));
        moved.unwrap_or(false)
    }

    /// Takes a pair in, unless its refresh token is another connection's.
    fn receive(
        &mut self,
        connection: ConnectionUid,
        tokens: &Tokens,
        now: Timestamp,
        transition: impl Fn(Ledger) -> Step<Settlement>,
    ) -> Settlement {
        let Some(ledger) = self.grants.get(&connection) else { return Settlement::Unknown };
        let foreign = self.grants.iter().any(|(uid, other)| {
            let live = other.grant.refresh.as_ref().map(|token| token.fingerprint);
            *uid != connection
                && matches!(&tokens.refresh, Successor::Rotated(new) if live == Some(new.fingerprint))
        });
        if foreign && matches!(transition(ledger.clone()).answer, Settlement::Settled(_)) {
            return Settlement::Kept;
        }
        self.step(connection, now, transition).unwrap_or(Settlement::Unknown)
    }

    /// Whether a refresh token is, or was, some connection's.
    fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.grants.values().any(|ledger| {
            let live = ledger.grant.refresh.as_ref().map(|token| token.fingerprint);
            live == Some(fingerprint)
                || ledger.grant.predecessor == Some(fingerprint)
                || ledger.attempts.iter().any(|a| a.fingerprint == Some(fingerprint) && a.holds_slot())
        })
    }
}
