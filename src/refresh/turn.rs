//! One replica at a time: the permit and the lease, and waiting for whoever has it. Advice only: the burn decides.

use std::time::Duration;

use super::{
    Landing, Refresher, Subject, Urgency, Why,
    permits::{FleetPermit, Permitted},
    spend::Look,
};
use crate::{
    coordination::{Lease, LeaseOutcome, State},
    error::{Reason, Refusal},
    model::GrantFacts,
};

/// Whose turn it is with a connection.
pub(super) enum Turn {
    /// Ours, and what there is to refresh; without a lease where there is no Redis to say so.
    Ours(Box<GrantFacts>, FleetPermit, Option<Lease>),
    /// The next generation has come meanwhile.
    MovedOn,
    /// Another replica is at it or there is no room, and nobody waits for it here.
    Elsewhere,
}

impl Refresher {
    /// Asks for this replica's turn: a permit first, then the lease. Whoever must wait for a permit keeps no other replica
    /// from a connection, and whoever waits for another replica holds no permit.
    pub(super) async fn turn(&self, subject: &Subject, why: Why) -> Result<Turn, Refusal> {
        let uid = subject.connection.uid.0;
        loop {
            let mut listening = self.wakes.listen(uid);
            match self.look(subject, why).await? {
                Look::MovedOn => return Ok(Turn::MovedOn),
                Look::Due(due) => {
                    let permit = match self.permit(subject, why.urgency(), listening.heard()).await? {
                        Permitted::Yes(permit) => permit,
                        Permitted::No => return Ok(Turn::Elsewhere),
                        Permitted::Told => continue, // perhaps another replica has brought it
                    };
                    match self.lease(uid).await {
                        None => {} // the permit is given back
                        Some(lease) => return Ok(Turn::Ours(Box::new(due), permit, lease)),
                    }
                }
                // Alone there is nobody to wait for: its holder crashed, and the sweeper will raise doubt.
                Look::UnderWay if self.fleet.is_alone() => {
                    return Err(Refusal::retry(Reason::RefreshInProgress, self.settings.refusal_pause));
                }
                Look::UnderWay => {}
            }
            if why.urgency() == Urgency::Early {
                return Ok(Turn::Elsewhere);
            }
            let waited = tokio::time::timeout(self.look_again(), listening.told());
            let _ = self.draining.run_until_cancelled(waited).await;
            self.refuse_while_draining()?;
        }
    }

    /// The burn did not apply: another replica was faster, and will tell.
    pub(super) async fn beaten(&self, subject: &Subject) -> Result<Landing, Refusal> {
        if self.fleet.is_alone() {
            return Err(Refusal::retry(Reason::RefreshInProgress, self.settings.refusal_pause));
        }
        let told = self.wakes.listen(subject.connection.uid.0).told();
        let waited = tokio::time::timeout(self.settings.look_again, told);
        let _ = self.draining.run_until_cancelled(waited).await;
        Ok(Landing::Skipped)
    }

    /// `None`: another replica has it.
    async fn lease(&self, subject: uuid::Uuid) -> Option<Option<Lease>> {
        let Some(redis) = &self.fleet.redis else { return Some(None) };
        match redis.lease(subject).await {
            LeaseOutcome::Held(lease) => Some(Some(lease)),
            LeaseOutcome::Elsewhere => None,
            LeaseOutcome::Away(_) => Some(None),
        }
    }

    /// Nobody polls the database while wake-ups arrive.
    pub(super) fn look_again(&self) -> Duration {
        let told = self.fleet.redis.as_ref().is_some_and(|redis| redis.state() == State::Connected);
        if told { self.settings.look_again_told } else { self.settings.look_again }
    }
}
