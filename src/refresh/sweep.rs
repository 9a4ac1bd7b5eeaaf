//! What time alone does to grants: silence becomes doubt, doubt becomes a person's work.

use std::{collections::HashSet, sync::Arc};

use super::Refresher;
use crate::{
    error::Chain,
    model::{Generation, SweepPolicy},
    store::StoreError,
};

impl Refresher {
    /// Sweeps until the broker drains.
    pub async fn sweep_for_ever(self: Arc<Self>) {
        while self
            .draining
            .run_until_cancelled(tokio::time::sleep(self.settings.sweep_interval))
            .await
            .is_some()
        {
            if let Err(error) = self.sweep().await {
                tracing::warn!(error = %Chain(&error), "sweep.failed");
            }
        }
    }

    /// One sweep: what it moves is served from memory no more without being marked.
    pub async fn sweep(&self) -> Result<usize, StoreError> {
        let policy = SweepPolicy {
            holder_lost_after: self.settings.holder_lost_after,
            doubt_grace: self.settings.doubt_grace,
        };
        let moved: HashSet<_> = self.store.sweep(policy, self.clock.now()).await?.into_iter().collect();
        if !moved.is_empty() {
            tracing::error!(grants = moved.len(), "sweep.moved");
            for connection in &moved {
                // Whatever its generation: the state has changed.
                self.cache.overtaken(connection.0, Generation(u64::MAX));
                self.announce(connection.0, Generation(u64::MAX));
            }
        }
        Ok(moved.len())
    }
}
