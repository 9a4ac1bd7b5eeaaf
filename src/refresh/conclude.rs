//! From the answer to a durable row: one arm per row of the outcome table in `docs/refresh.md`.

use std::sync::Arc;

use super::{Destination, Landing, Life, Refresher, Subject, spend::Holding};
use crate::{
    cache::Entry,
    error::{Reason, Refusal},
    model::{Closing, Generation, Settlement, State},
    provider::{Classified, Issued},
};

impl Refresher {
    /// Makes the outcome durable, then tells the waiters.
    pub(super) async fn conclude(
        &self,
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
        tracing::warn!(connection = %subject.connection.name, attempt = %held.attempt, ?closing, "refresh.failed");
        self.persist("conclude", || {
            self.store.conclude(subject.connection.tenant_uid, held.attempt, closing, self.clock.now())
        })
        .await;
        // The state has changed: what is served from memory must say so.
        self.cache.remove(&subject.connection.name.to_string());
        Err(refusal)
    }

    /// Nobody sees a token before its pair is durable (I8).
    async fn settle(&self, subject: &Subject, held: &Holding, issued: &Issued) -> Result<Landing, Refusal> {
        let generation = held.generation.next();
        let tokens = held.sealer.seal(subject, generation, issued);
        let ticket = self.cache.ticket();
        self.reach("before_settle").await;
        let settlement = loop {
            match self
                .persist("settle", || {
                    self.store.settle(
                        subject.connection.tenant_uid,
                        held.attempt,
                        tokens.clone(),
                        self.clock.now(),
                    )
                })
                .await
            {
                Settlement::Waits => tokio::time::sleep(self.settings.sweep_interval).await,
                settlement => break settlement,
            }
        };
        self.reach("settled").await;
        match settlement {
            Settlement::Settled(settled) => {
                self.keep(ticket, subject, settled, issued);
                Ok(Landing::Done)
            }
            Settlement::Ignored => Ok(Landing::Done),
            Settlement::Orphan => {
                tracing::error!(connection = %subject.connection.name, attempt = %held.attempt, "pair.orphan");
                Ok(Landing::Done)
            }
            Settlement::Kept | Settlement::Unknown | Settlement::Waits => {
                tracing::error!(connection = %subject.connection.name, attempt = %held.attempt, ?settlement, "pair.kept");
                Err(Refusal::new(Reason::Quarantined))
            }
        }
    }

    fn keep(&self, ticket: crate::cache::Ticket, subject: &Subject, generation: Generation, issued: &Issued) {
        let Some(token) = issued.access_token.clone() else {
            // What is in memory belongs to the generation before.
            return self.cache.remove(&subject.connection.name.to_string());
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
        let entry = Entry::new(Arc::new(subject.clone()), generation, life, state, facts);
        self.cache.put(ticket, &Arc::new(entry));
        tracing::info!(connection = %subject.connection.name, %generation, "refresh.settled");
    }
}
