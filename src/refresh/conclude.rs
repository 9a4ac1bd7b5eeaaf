//! From the answer to a durable row: one arm per row of the outcome table in `docs/refresh.md`.

use std::{sync::Arc, time::Duration};

use super::{Destination, Landing, Life, Refresher, Subject, copies::Durable, spend::Holding};
use crate::{
    cache::Entry,
    error::{Reason, Refusal},
    model::{Closing, Generation, Receipt, Settlement, State},
    provider::{Classified, Issued},
};

/// For the database, where another medium was faster. Its commit tells those who wait on other replicas, and thousands
/// who are woken here first would be in its way.
const MOMENT: Duration = Duration::from_millis(20);

impl Refresher {
    /// Makes the outcome durable, then tells the waiters.
    pub(super) async fn conclude(
        self: &Arc<Self>,
        subject: &Subject,
        held: &Holding,
        outcome: Classified,
    ) -> Result<Landing, Refusal> {
        let now = self.clock.now();
        let pause = self.settings.refusal_pause;
        let (closing, refusal) = match outcome {
            Classified::Rotated(issued) | Classified::AccessOnly(issued) => {
                return self.settle(subject, held, &issued).await;
            }
            Classified::NotSent { .. } => {
                (Closing::NotSent, Refusal::retry(Reason::ProviderUnavailable, pause))
            }
            Classified::Refused { error, not_before } => {
                let not_before = not_before.unwrap_or_else(|| now.plus(pause));
                let reason = match error.as_deref() {
                    Some("invalid_client" | "unauthorized_client") => Reason::OauthClientRejected,
                    Some("slow_down") | None => Reason::ProviderRateLimited,
                    _ => Reason::ProviderUnavailable,
                };
                (Closing::Refused { not_before }, Refusal::retry(reason, not_before.since(now)))
            }
            Classified::Rejected { .. } => (Closing::Rejected, Refusal::new(Reason::ReauthorizationRequired)),
            Classified::Unknown { .. } => (Closing::Unknown, Refusal::new(Reason::RefreshInDoubt)),
        };
        let attempt = held.attempt();
        tracing::warn!(connection = %subject.connection.name, %attempt, ?closing, "refresh.failed");
        self.persist("conclude", || {
            self.store.conclude(subject.connection.tenant_uid, attempt, closing, self.clock.now())
        })
        .await;
        // The state has changed: what is served from memory must say so.
        self.changed(subject, held.generation());
        Err(refusal)
    }

    /// Nobody sees a token before its pair is durable (I8): the database lets go, or, a moment after it has it, another
    /// medium; the others follow.
    async fn settle(
        self: &Arc<Self>,
        subject: &Subject,
        held: &Holding,
        issued: &Issued,
    ) -> Result<Landing, Refusal> {
        let generation = held.generation().next();
        let tokens = held.sealer.seal(subject, generation, issued);
        let receipt = Arc::new(held.receipt(tokens, self.clock.now()));
        let ticket = self.cache.ticket(&subject.connection.name.to_string());
        self.reach("before_settle").await;
        let durable = Durable::new();
        self.copy(&receipt, &durable);
        let settling = self.tasks.spawn({
            let (this, subject, durable) = (self.clone(), subject.clone(), durable.clone());
            async move { this.settle_for_ever(&subject, &receipt, &durable).await }
        });
        let settlement = tokio::select! {
            biased;
            settlement = settling => settlement.map_err(|_| Refusal::new(Reason::Internal))?,
            () = async { durable.copied().await; tokio::time::sleep(MOMENT).await } => None,
        };
        self.reach("settled").await;
        match settlement {
            None | Some(Settlement::Settled(_)) => Ok(self.keep(ticket, subject, generation, issued)),
            Some(Settlement::Ignored | Settlement::Orphan) => Ok(self.moved_on(&subject.connection.name)),
            Some(Settlement::Kept | Settlement::Unknown | Settlement::Waits) => {
                Err(Refusal::new(Reason::Quarantined))
            }
        }
    }

    /// Until the database has it, or will not take it. Only the end of the process stops it, where another medium
    /// has the answer: whoever drains that one goes on.
    async fn settle_for_ever(
        &self,
        subject: &Subject,
        receipt: &Receipt,
        durable: &Durable,
    ) -> Option<Settlement> {
        let settled = async {
            loop {
                match self.settle_once(receipt).await {
                    Settlement::Waits => tokio::time::sleep(self.settings.sweep_interval).await,
                    settlement => break settlement,
                }
            }
        };
        let given_up = async {
            self.draining.cancelled().await;
            durable.copied().await;
            tokio::time::sleep(self.settings.refusal_pause).await; // a database that lives takes it at once
        };
        let settlement = tokio::select! {
            biased;
            settlement = settled => settlement,
            () = given_up => return None,
        };
        let (name, attempt) = (&subject.connection.name, receipt.attempt());
        match settlement {
            Settlement::Settled(generation) => self.announce(subject.connection.uid.0, generation),
            // Perhaps by a commit of ours that nobody heard of.
            Settlement::Ignored => self.announce(subject.connection.uid.0, receipt.burn.generation.next()),
            Settlement::Orphan => {
                tracing::error!(connection = %name, %attempt, "pair.orphan");
                self.cache.remove(&name.to_string());
            }
            Settlement::Kept | Settlement::Unknown | Settlement::Waits => {
                tracing::error!(connection = %name, %attempt, ?settlement, "pair.kept");
                self.cache.remove(&name.to_string());
                return Some(settlement); // its copies stay pending
            }
        }
        durable.settled();
        Some(settlement)
    }

    /// A database that has forgotten the burn may still take its answer.
    async fn settle_once(&self, receipt: &Receipt) -> Settlement {
        let Receipt { tenant, connection, burn, parent, tokens, .. } = receipt;
        let settle = || self.store.settle(*tenant, burn.attempt, tokens.clone(), self.clock.now());
        match self.persist("settle", settle).await {
            Settlement::Unknown => {
                let (store, now) = (&self.store, || self.clock.now());
                let adopt =
                    || store.adopt(*tenant, *connection, burn.clone(), *parent, tokens.clone(), now());
                self.persist("adopt", adopt).await
            }
            settlement => settlement,
        }
    }

    /// The cache may not take it, where anything was told of the connection meanwhile; whoever waits for it has it all
    /// the same.
    fn keep(
        &self,
        ticket: crate::cache::Ticket,
        subject: &Subject,
        generation: Generation,
        issued: &Issued,
    ) -> Landing {
        let Some(token) = issued.access_token.clone() else {
            // What is in memory belongs to the generation before.
            return self.moved_on(&subject.connection.name);
        };
        let ends = issued.refresh_token.is_none() && subject.rotates();
        let state = if ends { State::ReauthRequired { attempt: None } } else { State::Idle };
        let life = Life::new(issued.issued_at, issued.expires_at, &self.settings);
        let now = self.clock.now();
        if life.remaining(now).is_zero() {
            // The attack it stops: a provider whose tokens end at once, and a refresh with every call.
            let pause = Refusal::retry(Reason::ProviderUnavailable, self.settings.refusal_pause);
            self.setbacks.note(Destination::of(subject), &pause, now);
        }
        let facts = (token, issued.token_type.clone(), issued.scopes.clone());
        let entry = Arc::new(Entry::new(Arc::new(subject.clone()), generation, life, state, facts));
        self.cache.put(ticket, &entry);
        tracing::info!(connection = %subject.connection.name, %generation, "refresh.settled");
        Landing::Brought(entry)
    }
}
