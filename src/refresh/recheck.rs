//! "The provider's API answered 401 to this generation": a hint, never a fact. The broker finds out for itself,
//! once per generation and interval; that is all that a consumer can ever cause.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Advice, AdviceCause, Cause, Refresher, Vended, Why};
use crate::{
    cache::Entry,
    error::{Reason, Refusal},
    model::{ConnectionUid, Generation, GrantType, Timestamp},
    provider::TokenInfo,
};

/// What was found out, by connection.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    found: Mutex<HashMap<ConnectionUid, Arc<tokio::sync::Mutex<Option<Finding>>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Finding {
    generation: Generation,
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
            return Err(Refusal::field("rejected_generation", "this generation was never issued"));
        }
        let (verdict, fresh) = self.find_out(&entry).await;
        match verdict {
            TokenInfo::Alive => Ok(Vended { entry, advice: Some(Advice::new(AdviceCause::TokenIsGood)) }),
            TokenInfo::Unknown => {
                Ok(Vended { entry, advice: Some(Advice::new(AdviceCause::TokenUnverified)) })
            }
            // Found dead a moment ago, and its successor did not come: not again before the interval is over.
            TokenInfo::Dead if !fresh => {
                Err(Refusal::retry(Reason::ProviderUnavailable, self.settings.recheck_interval))
            }
            TokenInfo::Dead => {
                let why = Why { cause: Cause::Rejected, generation: entry.generation };
                let next = self.next(&entry.subject, why).await?;
                Ok(Vended { advice: Advice::of_state(next.state), entry: next })
            }
        }
    }

    /// The provider's word on a token, and whether it was asked just now.
    async fn find_out(&self, entry: &Entry) -> (TokenInfo, bool) {
        let slot = {
            let mut found = self.rechecks.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.entry(entry.subject.connection.uid).or_default().clone()
        };
        // One asks, the others wait for what it finds.
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        if let Some(finding) = slot.as_ref()
            && finding.generation == entry.generation
            && now.since(finding.at) < self.settings.recheck_interval
        {
            return (finding.verdict, false);
        }
        let verdict = self.ask_about(entry).await;
        *slot = Some(Finding { generation: entry.generation, at: now, verdict });
        (verdict, true)
    }

    /// Without a token-info endpoint the report is believed: one refresh per generation and interval.
    async fn ask_about(&self, entry: &Entry) -> TokenInfo {
        if entry.subject.connection.grant_type == GrantType::ClientCredentials {
            return TokenInfo::Dead;
        }
        let Some(endpoint) = &entry.subject.endpoints.token_info else { return TokenInfo::Dead };
        match self.egress.connect(endpoint).await {
            Ok(connected) => connected.token_info(&entry.token, self.settings.caller_wait).await,
            Err(error) => {
                tracing::warn!(%error, "token_info.unreachable");
                TokenInfo::Unknown
            }
        }
    }
}
