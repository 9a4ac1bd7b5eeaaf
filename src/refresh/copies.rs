//! The second medium: what a provider answered is also in the local journal and in escrow, whether or not the
//! database could be reached, and stays there for the failover horizon.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{Refresher, Subject, spend::Holding};
use crate::{
    error::{Reason, Refusal},
    journal::Record,
    model::Receipt,
    provider::{Answer, Classified},
};

/// The first pause before a medium that refused is asked again; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// A copy that the database no longer needs is given up after this many tries.
const TRIES_ONCE_SETTLED: u32 = 8;

/// How far an answer has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Some second medium has it.
    copied: bool,
    /// The database has it, or will never want it.
    settled: bool,
}

/// What is known of an answer by all who work on it.
#[derive(Clone, Debug)]
pub(super) struct Durable(Arc<watch::Sender<Progress>>);

impl Durable {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Progress::default())))
    }

    /// Waits until a second medium has the answer; for ever, where there is none.
    pub(super) async fn copied(&self) {
        // The sender is ours.
        let _ = self.0.subscribe().wait_for(|progress| progress.copied).await;
    }

    async fn is_settled(&self) {
        // The sender is ours.
        let _ = self.0.subscribe().wait_for(|progress| progress.settled).await;
    }

    pub(super) fn settled(&self) {
        self.0.send_modify(|progress| progress.settled = true);
    }
}

impl Refresher {
    /// I9: nothing is spent whose answer could only be kept in one place that may be away.
    pub(super) async fn copies_ready(&self) -> Result<(), Refusal> {
        let unready = || Refusal::retry(Reason::StoreUnavailable, self.settings.refusal_pause);
        if let Some(journal) = &self.fleet.journal {
            return journal.writable().await.map_err(|error| {
                tracing::error!(%error, "journal.unwritable");
                unready()
            });
        }
        let Some(redis) = &self.fleet.redis else { return Ok(()) };
        redis.writable().await.map_err(|away| {
            tracing::error!(%away, "escrow.unwritable");
            unready()
        })
    }

    /// Copies a receipt into every medium there is. Returns at once: the copying goes on, on the task tracker.
    pub(super) fn copy(self: &Arc<Self>, receipt: &Arc<Receipt>, durable: &Durable) {
        if self.fleet.journal.is_none() && self.fleet.redis.is_none() {
            return;
        }
        let (this, receipt, durable) = (self.clone(), receipt.clone(), durable.clone());
        self.tasks.spawn(async move {
            tokio::join!(this.journalled(&receipt, &durable), this.escrowed(&receipt, &durable));
            // A drain may begin when nothing will change any more.
            if this.draining.run_until_cancelled(durable.is_settled()).await.is_some()
                || durable.0.borrow().settled
            {
                this.mark_settled(&receipt).await;
            }
        });
    }

    /// A success from which no pair could be read may hold one all the same: its bytes are kept, sealed, for a person.
    pub(super) async fn keep_raw(
        &self,
        subject: &Subject,
        held: &Holding,
        answer: &Answer,
        outcome: &Classified,
    ) {
        let (Some(journal), Classified::Unknown { .. }) = (&self.fleet.journal, outcome) else { return };
        let (Answer::Torn { response, .. } | Answer::Complete { response }) = answer else { return };
        if !response.status.is_success() || response.body.as_bytes().is_empty() {
            return;
        }
        let raw = held.raw(
            held.sealer.seal_raw(subject, held.generation(), response.body.as_bytes()),
            self.clock.now(),
        );
        if let Err(error) = journal.append(Record::Raw(raw)).await {
            tracing::error!(%error, attempt = %held.attempt(), "journal.append");
        }
    }

    async fn journalled(&self, receipt: &Receipt, durable: &Durable) {
        let Some(journal) = &self.fleet.journal else { return };
        let append = || async {
            let kept = journal.append(Record::Receipt(receipt.clone())).await;
            kept.inspect_err(|error| tracing::error!(%error, attempt = %receipt.attempt(), "journal.append"))
                .is_ok()
        };
        self.repeat(append, durable).await;
    }

    async fn escrowed(&self, receipt: &Receipt, durable: &Durable) {
        let Some(redis) = &self.fleet.redis else { return };
        let bytes = receipt.encode();
        let (attempt, generation) = (receipt.attempt(), receipt.burn.generation);
        let give = || async {
            let kept = redis.escrow(attempt, receipt.connection, generation, &bytes).await;
            kept.inspect_err(|away| tracing::warn!(%away, %attempt, "escrow.away")).is_ok()
        };
        self.repeat(give, durable).await;
    }

    /// Tries until the medium has it; for a while only, once the database has.
    async fn repeat<F: Future<Output = bool>>(&self, keep: impl Fn() -> F, durable: &Durable) {
        let (mut pause, mut tries_once_settled) = (PAUSE, 0);
        while !keep().await {
            let progress = *durable.0.borrow();
            tries_once_settled += u32::from(progress.settled);
            let enough = progress.settled || (progress.copied && self.is_draining());
            if enough && (tries_once_settled > TRIES_ONCE_SETTLED || self.is_draining()) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        durable.0.send_modify(|progress| progress.copied = true);
    }

    /// The database lacks it, though it may have had it once: it is offered again and again.
    pub(super) async fn mark_pending(&self, receipt: &Receipt) {
        if let Some(journal) = &self.fleet.journal {
            journal.mark_pending(receipt);
        }
        if let Some(redis) = &self.fleet.redis
            && let Err(away) = redis.mark_pending(receipt.attempt()).await
        {
            tracing::debug!(%away, "escrow.unmarked");
        }
    }

    /// The copies stay until their horizon: the database may forget.
    pub(super) async fn mark_settled(&self, receipt: &Receipt) {
        if let Some(journal) = &self.fleet.journal {
            journal.mark_settled(receipt.attempt());
        }
        if let Some(redis) = &self.fleet.redis
            && let Err(away) = redis.mark_settled(receipt.attempt()).await
        {
            tracing::debug!(%away, "escrow.unmarked"); // whoever drains it asks the database, and marks it
        }
    }
}
