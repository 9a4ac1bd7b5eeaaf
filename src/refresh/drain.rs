//! Receipts that the database does not have: from the own journal at the start and while running, from escrow by
//! any replica; and everything within the horizon once the database may have forgotten.

use std::sync::Arc;

use super::Refresher;
use crate::{
    journal::drain::{Drained, drain},
    model::{Receipt, Timestamp},
};

/// Pages of escrow that are read again and again until nothing more is adopted; a stop where clocks disagree badly.
const ROUNDS: usize = 4;

/// Who was asked in vain.
enum Silent {
    Redis,
    Database,
}

impl Refresher {
    /// Offers what is pending until the broker drains.
    pub async fn drain_for_ever(self: Arc<Self>) {
        let pause = || tokio::time::sleep(self.settings.drain_interval);
        while self.draining.run_until_cancelled(pause()).await.is_some() {
            self.offer_pending().await;
        }
    }

    /// Offers what no medium has marked as settled, a connection's oldest generation first. What is younger than a
    /// round is still in the hands of whoever received it.
    pub async fn offer_pending(&self) {
        let older = self.clock.now().minus(self.settings.drain_interval);
        let pending = self.fleet.journal.as_ref().map(crate::journal::Journal::pending).unwrap_or_default();
        let escrowed = self.escrow_pending().await;
        for receipt in pending.iter().chain(&escrowed).filter(|receipt| receipt.received_at <= older) {
            if self.offer(receipt).await == Drained::Unavailable {
                return;
            }
        }
    }

    /// Offers everything within the horizon, or what was received since: after a promotion or a restore the database may
    /// have forgotten any of it. `false`: the database is away again.
    pub async fn offer_everything(&self, since: Option<Timestamp>) -> bool {
        let asked = |receipt: &Receipt| since.is_none_or(|since| receipt.received_at >= since);
        if let Some(journal) = &self.fleet.journal {
            let mut all = journal.all();
            while let Some(receipt) = all.next().await {
                if asked(&receipt) && self.offer(&receipt).await == Drained::Unavailable {
                    return false;
                }
            }
        }
        for _ in 0..ROUNDS {
            match self.offer_escrow(&asked).await {
                Ok(0) | Err(Silent::Redis) => break,
                Err(Silent::Database) => return false,
                Ok(adopted) => tracing::warn!(adopted, "escrow.adopted"),
            }
        }
        true
    }

    /// How many the database took.
    async fn offer_escrow(&self, asked: &(impl Fn(&Receipt) -> bool + Sync)) -> Result<usize, Silent> {
        let Some(redis) = &self.fleet.redis else { return Ok(0) };
        let (mut cursor, mut adopted) = (Some(redis.escrow_start()), 0);
        while let Some(at) = cursor {
            let (page, next) = redis.escrowed(at).await.map_err(|_| Silent::Redis)?;
            for escrowed in page {
                let Some(receipt) = readable(&escrowed.bytes).filter(asked) else { continue };
                match self.offer(&receipt).await {
                    Drained::Unavailable => return Err(Silent::Database),
                    Drained::Settled(_) | Drained::Adopted(_) => adopted += 1,
                    _ => {}
                }
            }
            cursor = next;
        }
        Ok(adopted)
    }

    async fn escrow_pending(&self) -> Vec<Receipt> {
        let Some(redis) = &self.fleet.redis else { return Vec::new() };
        let pending = redis.escrow_pending().await.unwrap_or_default();
        pending.iter().filter_map(|escrowed| readable(&escrowed.bytes)).collect()
    }

    /// Offers one receipt to the database; what is closed is marked, wherever it is kept.
    pub(super) async fn offer(&self, receipt: &Receipt) -> Drained {
        let drained = drain(&*self.store, receipt, self.clock.now()).await;
        if let Drained::Settled(generation) | Drained::Adopted(generation) = drained {
            self.cache.overtaken(receipt.connection.0, generation);
            self.wakes.wake(receipt.connection.0);
            self.announce(receipt.connection.0, generation);
        }
        if drained.is_closed() {
            self.mark_settled(receipt).await;
        } else if drained == Drained::Kept {
            self.mark_pending(receipt).await;
        }
        drained
    }
}

/// Set aside where it is: it expires with its horizon.
fn readable(bytes: &[u8]) -> Option<Receipt> {
    Receipt::decode(bytes).inspect_err(|error| tracing::error!(%error, "escrow.unreadable")).ok()
}
