//! Who did what. An entry says `intent` before anything happens, and a second one how it ended: what crashed in
//! between is visible. Presentations to providers have a record of their own, the attempts.

use std::sync::Arc;

use crate::{
    clock::Clock,
    error::{Chain, Refusal},
    store::{AuditEntry, Store},
};

/// Writes the audit table.
#[derive(Clone)]
pub struct Auditor {
    store: Arc<dyn Store>,
    clock: Clock,
}

impl Auditor {
    /// Into this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Runs `work` between its two entries. Without the first, nothing is done.
    pub async fn audited<T>(
        &self,
        principal: &str,
        action: &str,
        resource: &str,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let entry = |outcome: String| AuditEntry {
            at: self.clock.now(),
            principal: principal.to_owned(),
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome,
        };
        self.store.append(&entry("intent".to_owned())).await?;
        let result = work.await;
        let outcome =
            result.as_ref().map_or_else(|refusal| format!("{:?}", refusal.reason), |_| "done".to_owned());
        // What was done stands, whether or not it could be noted: the intent is there.
        if let Err(error) = self.store.append(&entry(outcome)).await {
            tracing::error!(error = %Chain(&error), action, resource, "audit.outcome_lost");
        }
        result
    }
}
