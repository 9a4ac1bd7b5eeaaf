//! "The provider's API answered 401 to this generation": a hint, never a fact. The broker finds out for itself,
//! once per generation and interval; that is all that a consumer can ever cause.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Advice, AdviceCause, Cause, Destination, Refresher, Vended, Why, serve::never_issued};
use crate::{
    cache::Entry,
    error::{Reason, Refusal},
    model::{GrantType, Timestamp},
    provider::TokenInfo,
};

/// What was found out, by grant, or by lease: what one of its connections reported, all did.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    found: Mutex<HashMap<Destination, Arc<tokio::sync::Mutex<Option<Finding>>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Finding {
    /// Of the grant, or of the lease.
    generation: u64,
    at: Timestamp,
    verdict: TokenInfo,
}

impl Refresher {
    /// A newer generation where there is one; else the same token with what is known about it, or, where the
    /// provider says that it is dead, the next one.
    pub(super) async fn recheck(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        rejected: u64,
        min_ttl: Duration,
    ) -> Result<Vended, Refusal> {
        if rejected < entry.generation.0 {
            return self.serve(entry, min_ttl).await;
        }
        if rejected > entry.generation.0 {
            return Err(never_issued());
        }
        let (verdict, fresh) = self.find_out(&entry).await;
        match verdict {
            TokenInfo::Alive => Ok(Vended { entry, advice: Some(Advice::new(AdviceCause::TokenIsGood)) }),
            TokenInfo::Unknown => {
                Ok(Vended { entry, advice: Some(Advice::new(AdviceCause::TokenUnverified)) })
            }
            TokenInfo::Dead => {
                let next = if fresh || self.flights.under_way(&Destination::of(&entry.subject)) {
                    self.next(&entry.subject, rejection(&entry)).await?
                } else {
                    // Found dead a moment ago. Where its successor has not come: not again before the interval
                    // is over.
                    let patience = self.settings.recheck_interval;
                    let not_again = || Refusal::retry(Reason::ProviderUnavailable, patience);
                    self.after(&entry.subject, entry.generation, not_again).await?
                };
                Ok(Vended { advice: Advice::of_state(next.state), entry: next })
            }
        }
    }

    /// The provider's word on a token, and whether it was asked just now.
    async fn find_out(self: &Arc<Self>, entry: &Entry) -> (TokenInfo, bool) {
        let slot = {
            let mut found = self.rechecks.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.entry(Destination::of(&entry.subject)).or_default().clone()
        };
        let generation = match entry.subject.connection.grant_type {
            GrantType::AuthorizationCode => entry.generation.0,
            GrantType::ClientCredentials => entry.generation.0 - entry.subject.connection.generation_floor.0,
        };
        // One asks, the others wait for what it finds.
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        if let Some(finding) = slot.as_ref()
            && now.since(finding.at) < self.settings.recheck_interval
        {
            if finding.generation == generation {
                return (finding.verdict, false);
            }
            // The attack it stops: a consumer that reports each generation as it comes, and burns one refresh
            // token after the other.
            if token_info(entry).is_none() {
                return (TokenInfo::Unknown, false);
            }
        }
        let verdict = self.ask_about(entry).await;
        *slot = Some(Finding { generation, at: now, verdict });
        if verdict == TokenInfo::Dead {
            // Before anybody else gets to see the verdict: whoever does finds its flight, and joins it.
            drop(self.renew(&entry.subject, rejection(entry)));
        }
        (verdict, true)
    }

    /// Without a token-info endpoint the report is believed: one refresh per interval.
    async fn ask_about(&self, entry: &Entry) -> TokenInfo {
        let Some(endpoint) = token_info(entry) else { return TokenInfo::Dead };
        match self.egress.connect(endpoint).await {
            Ok(connected) => connected.token_info(&entry.token, self.settings.caller_wait).await,
            Err(error) => {
                tracing::warn!(%error, "token_info.unreachable");
                TokenInfo::Unknown
            }
        }
    }
}

fn rejection(entry: &Entry) -> Why {
    Why { cause: Cause::Rejected, generation: entry.generation }
}

/// Where to ask about a token. A client-credentials token is renewed without asking: nothing is burnt for it.
fn token_info(entry: &Entry) -> Option<&url::Url> {
    let asked = entry.subject.connection.grant_type == GrantType::AuthorizationCode;
    entry.subject.endpoints.token_info.as_ref().filter(|_| asked)
}
