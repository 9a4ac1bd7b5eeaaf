//! Receipts that the database does not have: from the own journal at the start and while running, from escrow by
//! any replica; and everything within the horizon once the database may have forgotten.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{StreamExt as _, stream};

use super::{Medium, Refresher};
use crate::{
    journal::drain::{Drained, drain},
    model::{Receipt, Timestamp},
};

/// Pages of escrow that are read again and again until nothing more is adopted; a stop where clocks disagree badly.
const ROUNDS: usize = 4;

/// Receipts that are read before they are offered.
const PAGE: usize = 256;
/// Connections whose receipts are offered at the same time: they share commits, and leave room for those who refresh. One
/// by one it would take longer than a doubt lasts.
const AT_ONCE: usize = 8;

/// Redis or the database was asked in vain.
struct Silent;

impl Refresher {
    /// Offers what is pending until the broker drains.
    pub async fn drain_for_ever(self: Arc<Self>) {
        let pause = || tokio::time::sleep(self.settings.drain_interval);
        while self.draining.run_until_cancelled(pause()).await.is_some() {
            self.offer_pending().await;
        }
    }

    /// Offers what no medium has marked as settled. What is younger than a round is still in the hands of whoever
    /// received it.
    pub async fn offer_pending(&self) {
        let older = self.clock.now().minus(self.settings.drain_interval);
        let mut pending =
            self.fleet.journal.as_ref().map(crate::journal::Journal::pending).unwrap_or_default();
        pending.extend(self.escrow_pending().await);
        pending.retain(|receipt| receipt.received_at <= older);
        let _ = self.offer_all(pending).await; // again with the next round
    }

    /// Offers everything that a medium has within the horizon, or what was received since: after a promotion or a restore
    /// the database may have forgotten any of it. `false`: somebody is away, and there may be more.
    pub async fn offer_everything(&self, medium: Medium, since: Option<Timestamp>) -> bool {
        match medium {
            Medium::Journal => self.offer_journal(since).await.is_ok(),
            Medium::Escrow => self.offer_escrow(since).await.is_ok(),
        }
    }

    async fn offer_journal(&self, since: Option<Timestamp>) -> Result<(), Silent> {
        let Some(journal) = &self.fleet.journal else { return Ok(()) };
        let mut all = journal.all();
        loop {
            let (mut page, mut read) = (Vec::new(), 0);
            while read < PAGE
                && let Some(receipt) = all.next().await
            {
                read += 1;
                page.extend(Some(receipt).filter(|receipt| is_asked(receipt, since)));
            }
            if read == 0 {
                return Ok(());
            }
            self.offer_all(page).await?;
        }
    }

    async fn offer_escrow(&self, since: Option<Timestamp>) -> Result<(), Silent> {
        let Some(redis) = &self.fleet.redis else { return Ok(()) };
        for _ in 0..ROUNDS {
            let (mut cursor, mut taken) = (Some(redis.escrow_start()), 0);
            while let Some(at) = cursor {
                let (page, next) = redis.escrowed(at).await.map_err(|_| Silent)?;
                let page = page.iter().filter_map(|escrowed| readable(&escrowed.bytes));
                taken += self.offer_all(page.filter(|receipt| is_asked(receipt, since)).collect()).await?;
                cursor = next;
            }
            if taken == 0 {
                break;
            }
            tracing::warn!(taken, "escrow.adopted");
        }
        Ok(())
    }

    /// Offers receipts of many connections at once, each one's oldest generation first. How many the database took. Once
    /// it is away nothing more is offered; what has begun is brought to its end, or nobody would hear of it.
    async fn offer_all(&self, mut receipts: Vec<Receipt>) -> Result<usize, Silent> {
        receipts.sort_by_key(|receipt| (receipt.connection, receipt.burn.generation));
        let away = AtomicBool::new(false);
        let connections = receipts.chunk_by(|one, next| one.connection == next.connection);
        let offers: Vec<_> = connections.map(|receipts| self.offer_in_turn(receipts, &away)).collect();
        let taken = stream::iter(offers).buffer_unordered(AT_ONCE);
        let taken = taken.fold(0, |sum, taken| ready(sum + taken)).await;
        if away.into_inner() { Err(Silent) } else { Ok(taken) }
    }

    async fn offer_in_turn(&self, receipts: &[Receipt], away: &AtomicBool) -> usize {
        let mut taken = 0;
        for receipt in receipts {
            if away.load(Ordering::Relaxed) {
                break;
            }
            match self.offer(receipt).await {
                Drained::Unavailable => away.store(true, Ordering::Relaxed),
                Drained::Settled(_) | Drained::Adopted(_) => taken += 1,
                _ => {}
            }
        }
        taken
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

fn is_asked(receipt: &Receipt, since: Option<Timestamp>) -> bool {
    since.is_none_or(|since| receipt.received_at >= since)
}

/// Set aside where it is: it expires with its horizon.
fn readable(bytes: &[u8]) -> Option<Receipt> {
    Receipt::decode(bytes).inspect_err(|error| tracing::error!(%error, "escrow.unreadable")).ok()
}
