//! The protocol's steps. One file per family of transitions; here only who calls which.

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;

use super::Sqlite;
use crate::{
    model::{
        Attempt, AttemptId, Burn, BurnFate, Closing, ConnectionUid, Epoch, EventKind, Fingerprint,
        GrantFacts, Nonce, Reauthorise, Sealed, Settlement, SweepPolicy, TenantUid, Timestamp, Tokens,
    },
    store::{Event, Grants, Reauthorised, StoreError},
};

mod burn;
mod close;
mod read;
mod renew;
mod settle;
mod sweep;

pub(super) use renew::revoke;

#[async_trait]
impl Grants for Sqlite {
    async fn grant(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
    ) -> Result<Option<GrantFacts>, StoreError> {
        read::grant(&self.0.readers, tenant, connection).await
    }

    async fn burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.transition(tenant, Whose::Connection(connection), false, move |tx| {
            Box::pin(async move { burn::burn(tx, connection, &burn, now).await })
        })
        .await
    }

    async fn take(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        nonce: Nonce,
    ) -> Result<Option<Sealed>, StoreError> {
        burn::take(&self.0.readers, tenant, attempt, nonce).await
    }

    async fn resolve_burn(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        burn: Burn,
        now: Timestamp,
    ) -> Result<BurnFate, StoreError> {
        self.transition(tenant, Whose::Connection(connection), BurnFate::Stop, move |tx| {
            Box::pin(async move { burn::resolve(tx, connection, &burn, now).await })
        })
        .await
    }

    async fn settle(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        tokens: Tokens,
        now: Timestamp,
    ) -> Result<Settlement, StoreError> {
        self.transition(tenant, Whose::Attempt(attempt), Settlement::Unknown, move |tx| {
            Box::pin(async move { settle::settle(tx, attempt, &tokens, now).await })
        })
        .await
    }

    async fn conclude(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        closing: Closing,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.transition(tenant, Whose::Attempt(attempt), false, move |tx| {
            Box::pin(close::conclude(tx, attempt, closing, now))
        })
        .await
    }

    async fn permit_replay(
        &self,
        tenant: TenantUid,
        attempt: AttemptId,
        spend_before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.transition(tenant, Whose::Attempt(attempt), false, move |tx| {
            Box::pin(close::permit_replay(tx, attempt, spend_before, now))
        })
        .await
    }

    async fn reauthorise(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        new: Reauthorise,
        now: Timestamp,
    ) -> Result<Reauthorised, StoreError> {
        self.transition(tenant, Whose::Connection(connection), Reauthorised::Gone, move |tx| {
            Box::pin(async move { renew::reauthorise(tx, connection, &new, now).await })
        })
        .await
    }

    async fn revoke(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<Option<Epoch>, StoreError> {
        self.transition(tenant, Whose::Connection(connection), None, move |tx| {
            Box::pin(renew::revoke(tx, connection, now))
        })
        .await
    }

    async fn quarantine(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        attempt: Option<AttemptId>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.transition(tenant, Whose::Connection(connection), false, move |tx| {
            Box::pin(close::quarantine(tx, connection, attempt, now))
        })
        .await
    }

    async fn resolve(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.transition(tenant, Whose::Connection(connection), false, move |tx| {
            Box::pin(close::resolve(tx, connection, now))
        })
        .await
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
        self.transition(tenant, Whose::Connection(connection), Settlement::Kept, move |tx| {
            Box::pin(async move { settle::adopt(tx, connection, &burn, parent, &tokens, now).await })
        })
        .await
    }

    async fn sweep(&self, policy: SweepPolicy, now: Timestamp) -> Result<Vec<ConnectionUid>, StoreError> {
        self.write(move |tx| Box::pin(sweep::sweep(tx, policy, now))).await
    }

    async fn attempts(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Attempt>, StoreError> {
        read::attempts(&self.0.readers, tenant, connection, limit).await
    }

    async fn events(
        &self,
        tenant: TenantUid,
        connection: ConnectionUid,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        read::events(&self.0.readers, tenant, connection, limit).await
    }
}

/// What a transition is asked of.
#[derive(Clone, Copy)]
enum Whose {
    Connection(ConnectionUid),
    Attempt(AttemptId),
}

impl Sqlite {
    /// One transition of a tenant's own grant; `otherwise` where it is not the tenant's.
    async fn transition<T, F>(
        &self,
        tenant: TenantUid,
        whose: Whose,
        otherwise: T,
        step: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.write(move |tx| {
            Box::pin(async move {
                if !read::is_of(tx, tenant, whose).await? {
                    return Ok(otherwise);
                }
                step(tx).await
            })
        })
        .await
    }

    /// Raises doubt over every dispatched attempt, whatever its age. Only before the first burn after
    /// [`Sqlite::open`]: its lock is the proof that every holder is gone.
    pub async fn orphan_dispatched(&self, now: Timestamp) -> Result<Vec<ConnectionUid>, StoreError> {
        self.write(move |tx| Box::pin(sweep::orphan_dispatched(tx, now))).await
    }
}

/// Puts an event into the outbox, once per generation and kind.
async fn event(
    tx: &mut SqliteConnection,
    connection: ConnectionUid,
    kind: EventKind,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "-- event()
        INSERT INTO events (connection_uid, generation, kind, at)
        SELECT connection_uid, generation, ?2, ?3 FROM grants WHERE connection_uid = ?1
        ON CONFLICT DO NOTHING",
    )
    .bind(connection)
    .bind(kind)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}
