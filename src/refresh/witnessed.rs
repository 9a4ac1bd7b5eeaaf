//! The second opinion (`model::witness`): a database that was restored or failed over may have forgotten a burn.

use super::{Refresher, Subject, spend::Spend};
use crate::{
    coordination::{Away, Coordination},
    error::{Reason, Refusal},
    model::{AttemptId, Claim, Closing, ConnectionUid, Generation, Verdict, Witness},
    store::StoreError,
};

impl Refresher {
    /// Clears a burnt token for sending, or quarantines a grant of which the witness remembers more than the
    /// database does. Where there is no witness the database's word stands alone, if the operator said it may; where it
    /// is unheard, only that of the database that was there before.
    pub(super) async fn cleared(&self, subject: &Subject, spend: Spend) -> Result<Spend, Refusal> {
        let Some(redis) = &self.fleet.redis else {
            return if self.fleet.witness_required {
                self.unwitnessed(subject, &spend).await
            } else {
                Ok(spend)
            };
        };
        match self.consult(redis, subject, &spend).await {
            Ok(None) => Ok(spend),
            Ok(Some(entry)) => {
                let attempt = spend.attempt();
                tracing::error!(connection = %subject.connection.name, %attempt, ?entry, "witness.veto");
                let (tenant, connection) = (subject.connection.tenant_uid, subject.connection.uid);
                self.persist("quarantine", || {
                    self.store.quarantine(tenant, connection, Some(attempt), self.clock.now())
                })
                .await;
                self.changed(subject, spend.generation());
                self.offer_kept(connection).await; // the pair that the database forgot may be at hand
                Err(Refusal::new(Reason::Quarantined))
            }
            Err(unheard) => {
                tracing::warn!(error = %unheard, attempt = %spend.attempt(), "witness.unheard");
                match unheard {
                    Unheard::Redis(_) if !self.fleet.witness_required && self.is_trusted(&spend).await => {
                        Ok(spend)
                    }
                    _ => self.unwitnessed(subject, &spend).await,
                }
            }
        }
    }

    /// Whether the database that the token was burnt in has forgotten nothing.
    async fn is_trusted(&self, spend: &Spend) -> bool {
        match &self.fleet.lineage {
            Some(lineage) => lineage.is_still(spend.database).await.unwrap_or(false),
            None => true,
        }
    }

    /// `Some`: the entry that vetoes.
    async fn consult(
        &self,
        redis: &Coordination,
        subject: &Subject,
        spend: &Spend,
    ) -> Result<Option<Witness>, Unheard> {
        let connection = subject.connection.uid;
        if redis.clear(connection, spend.generation(), spend.attempt()).await? {
            return Ok(None);
        }
        loop {
            let entry = redis.witness(connection).await?;
            // An earlier generation's entry needs no proof, a later one's cannot be helped by one.
            let rival = entry.filter(|entry| entry.generation == spend.generation());
            let at_issue =
                rival.and_then(|entry| entry.attempt).filter(|attempt| *attempt != spend.attempt());
            let (earlier, mine) = match at_issue {
                // After the entry was read: only then does its answer prove anything.
                Some(earlier) => {
                    (self.attempt(subject, earlier).await?, self.attempt(subject, spend.attempt()).await?)
                }
                None => (None, None),
            };
            let claim =
                Claim { generation: spend.generation(), attempt: spend.attempt(), row: mine.as_ref() };
            match Witness::consult(entry.as_ref(), claim, earlier.as_ref()) {
                Verdict::Veto { entry } => return Ok(Some(entry)),
                Verdict::Raise(raised) => {
                    if redis.raise(connection, entry, raised).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        subject: &Subject,
        attempt: AttemptId,
    ) -> Result<Option<crate::model::Attempt>, StoreError> {
        let connection = &subject.connection;
        let attempts = self.store.attempts(connection.tenant_uid, connection.uid, RECENT).await?;
        Ok(attempts.into_iter().find(|row| row.burn.attempt == attempt))
    }

    async fn unwitnessed<T>(&self, subject: &Subject, spend: &Spend) -> Result<T, Refusal> {
        let (tenant, attempt) = (subject.connection.tenant_uid, spend.attempt());
        self.persist("release", || self.store.conclude(tenant, attempt, Closing::NotSent, self.clock.now()))
            .await;
        Err(Refusal::retry(Reason::StoreUnavailable, self.settings.refusal_pause))
    }

    /// The generation for a pair that a person brings: above the row's, and above what the witness has seen.
    pub(super) async fn generation_above(
        &self,
        connection: ConnectionUid,
        row: Generation,
    ) -> Result<Generation, Refusal> {
        Ok(Witness::next_generation(self.entry(connection).await?.as_ref(), row))
    }

    /// What the witness must say before a re-authorisation commits, and after it.
    pub(super) async fn witness_reauthorised(
        &self,
        connection: ConnectionUid,
        generation: Generation,
        committed: bool,
    ) -> Result<(), Refusal> {
        self.update(connection, |entry| {
            let now = committed || entry.is_some_and(|entry| entry.revoked);
            now.then(|| Witness::reauthorised(entry.as_ref(), generation)).flatten()
        })
        .await
    }

    /// Before a revocation commits: a database that forgets the commit cannot resurrect the grant.
    pub async fn witness_revoked(
        &self,
        connection: ConnectionUid,
        generation: Generation,
    ) -> Result<(), Refusal> {
        self.update(connection, |entry| {
            let revoked = Witness::revoked(entry.as_ref(), generation);
            (entry != Some(revoked)).then_some(revoked)
        })
        .await
    }

    async fn update(
        &self,
        connection: ConnectionUid,
        next: impl Fn(Option<Witness>) -> Option<Witness>,
    ) -> Result<(), Refusal> {
        let Some(redis) = &self.fleet.redis else { return Ok(()) };
        loop {
            let entry = self.entry(connection).await?;
            let Some(next) = next(entry) else { return Ok(()) };
            match redis.raise(connection, entry, next).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(away) => return self.spared(&away),
            }
        }
    }

    async fn entry(&self, connection: ConnectionUid) -> Result<Option<Witness>, Refusal> {
        let Some(redis) = &self.fleet.redis else { return Ok(None) };
        match redis.witness(connection).await {
            Ok(entry) => Ok(entry),
            Err(away) => self.spared(&away).map(|()| None),
        }
    }

    /// Without the witness it goes on, where the database is one that does not forget.
    fn spared(&self, away: &Away) -> Result<(), Refusal> {
        tracing::warn!(%away, "witness.unheard");
        if self.fleet.witness_required {
            return Err(Refusal::retry(Reason::StoreUnavailable, self.settings.refusal_pause));
        }
        Ok(())
    }
}

/// Attempts among which the witness's is looked for: more than a generation can have.
const RECENT: u32 = 100;

/// Who did not answer.
#[derive(Debug, thiserror::Error)]
enum Unheard {
    #[error(transparent)]
    Redis(#[from] Away),
    #[error(transparent)]
    Store(#[from] StoreError),
}
