//! From a receipt that is kept beside the database into the database. Used for the journal by its owner, and for the
//! escrow by anybody: every step is the store's own, and asks what may be done.

use crate::{
    error::Chain,
    model::{Generation, Receipt, Sealed, Settlement, State, Successor, Timestamp},
    seal,
    store::{KeyScope, Store, StoreError},
};

use super::Journal;

/// What became of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The database has it now.
    Settled(Generation),
    /// The database had it.
    Known,
    /// The database had forgotten the attempt, and has its answer now.
    Adopted(Generation),
    /// A successor is under way: later.
    Waits,
    /// The database does not take it now: it is offered again, and somebody must look.
    Kept,
    /// The grant was re-authorised or revoked meanwhile. It is audited, and stays sealed for the horizon.
    Orphan,
    /// Its tenant, or the key that sealed it, is gone: nobody will ever open it.
    Unopenable,
    /// The database could not be asked: later.
    Unavailable,
}

impl Drained {
    /// Whether nothing is left to do.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        match self {
            Self::Settled(_) | Self::Known | Self::Adopted(_) | Self::Orphan | Self::Unopenable => true,
            Self::Waits | Self::Kept | Self::Unavailable => false,
        }
    }
}

/// What became of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The database has them: new to it, adopted, or known to it.
    pub settled: usize,
    /// Later.
    pub waiting: usize,
    /// Somebody must look.
    pub kept: usize,
    /// Of grants that went on without them.
    pub orphans: usize,
    /// Nobody will ever open them.
    pub unopenable: usize,
}

/// Offers one receipt to the store.
pub async fn drain(store: &dyn Store, receipt: &Receipt, now: Timestamp) -> Drained {
    let drained = offer(store, receipt, now).await.unwrap_or_else(|error| {
        tracing::warn!(error = %Chain(&error), "drain.failed");
        match error {
            StoreError::Unavailable(_) | StoreError::Ambiguous(_) => Drained::Unavailable,
            StoreError::Corrupt { .. } => Drained::Kept, // one bad row keeps no other receipt from its place
        }
    });
    let Receipt { tenant, connection, burn, .. } = receipt;
    let (attempt, generation) = (burn.attempt, burn.generation);
    match drained {
        Drained::Settled(_) | Drained::Adopted(_) => {
            tracing::warn!(%tenant, %connection, %attempt, %generation, ?drained, "drain.settled");
        }
        Drained::Kept | Drained::Orphan | Drained::Unopenable => {
            tracing::error!(%tenant, %connection, %attempt, %generation, ?drained, "drain.not_settled");
        }
        Drained::Known | Drained::Waits | Drained::Unavailable => {}
    }
    drained
}

impl Journal {
    /// Offers everything pending to the store, the oldest generation of each connection first. Ends early where the
    /// store is away.
    pub async fn drain(&self, store: &dyn Store) -> Tally {
        let mut tally = Tally::default();
        let pending = self.pending();
        for (done, receipt) in pending.iter().enumerate() {
            let drained = drain(store, receipt, self.clock.now()).await;
            if drained == Drained::Unavailable {
                tally.waiting += pending.len() - done;
                break;
            }
            self.conclude(receipt, drained, &mut tally);
        }
        tally
    }

    /// Offers everything within the horizon: what a database that was promoted or restored may have forgotten.
    pub async fn drain_all(&self, store: &dyn Store) -> Tally {
        let mut tally = Tally::default();
        let mut all = self.all();
        while let Some(receipt) = all.next().await {
            let drained = drain(store, &receipt, self.clock.now()).await;
            if drained == Drained::Unavailable {
                tally.waiting += 1 + all.remaining();
                break;
            }
            self.conclude(&receipt, drained, &mut tally);
        }
        tally
    }

    fn conclude(&self, receipt: &Receipt, drained: Drained, tally: &mut Tally) {
        if drained.is_closed() {
            self.mark_settled(receipt.attempt());
        }
        let count = match drained {
            Drained::Settled(_) | Drained::Known | Drained::Adopted(_) => &mut tally.settled,
            Drained::Waits | Drained::Unavailable => &mut tally.waiting,
            Drained::Kept => &mut tally.kept,
            Drained::Orphan => &mut tally.orphans,
            Drained::Unopenable => &mut tally.unopenable,
        };
        *count += 1;
    }
}

async fn offer(store: &dyn Store, receipt: &Receipt, now: Timestamp) -> Result<Drained, StoreError> {
    let Receipt { tenant, connection, burn, parent, tokens, .. } = receipt;
    if !openable(store, receipt).await? {
        return Ok(Drained::Unopenable); // not settled either: the grant would end with what nobody can read
    }
    Ok(match store.settle(*tenant, burn.attempt, tokens.clone(), now).await? {
        Settlement::Settled(generation) => Drained::Settled(generation),
        Settlement::Ignored => Drained::Known,
        Settlement::Waits => Drained::Waits,
        Settlement::Orphan => Drained::Orphan,
        Settlement::Kept => Drained::Kept,
        Settlement::Unknown => {
            let adopted =
                store.adopt(*tenant, *connection, burn.clone(), *parent, tokens.clone(), now).await?;
            match adopted {
                Settlement::Settled(generation) => Drained::Adopted(generation),
                _ if passed_over(store, receipt).await? => Drained::Orphan,
                _ => Drained::Kept,
            }
        }
    })
}

/// Whether the grant has gone on without it: a generation never comes back.
async fn passed_over(store: &dyn Store, receipt: &Receipt) -> Result<bool, StoreError> {
    let grant = store.grant(receipt.tenant, receipt.connection).await?;
    Ok(grant.is_some_and(|grant| grant.state == State::Revoked || grant.generation > receipt.burn.generation))
}

/// Whether the keys that sealed it are still there. A tenant's keys go with the tenant.
async fn openable(store: &dyn Store, receipt: &Receipt) -> Result<bool, StoreError> {
    let keys = store.data_keys(&KeyScope::Tenant(receipt.tenant)).await?;
    let known =
        |sealed: &Sealed| seal::data_key_id(sealed).is_some_and(|id| keys.iter().any(|key| key.id == id));
    let access = receipt.tokens.access.as_ref().is_none_or(|token| known(&token.sealed));
    Ok(access
        && match &receipt.tokens.refresh {
            Successor::Rotated(token) => known(&token.sealed),
            Successor::Unchanged | Successor::Missing => true,
        })
}
