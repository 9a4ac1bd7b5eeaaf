//! What other replicas tell: forget what is old, wake who waits. Missing it costs time, never truth.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};
use uuid::Uuid;

use super::{Refresher, Subject, standing::Pass};
use crate::{
    cache::Entry,
    coordination::Signal,
    model::{Generation, GrantType},
};

impl Refresher {
    /// Follows signals until the broker drains.
    pub async fn follow(self: Arc<Self>, mut signals: Receiver<Signal>) {
        while let Some(signal) = self.draining.run_until_cancelled(signals.recv()).await {
            match signal {
                Ok(signal) => self.hear(signal).await,
                Err(RecvError::Lagged(_)) => self.hear(Signal::Lapsed).await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Takes one signal in.
    pub async fn hear(&self, signal: Signal) {
        match signal {
            Signal::Moved { subject, generation } => {
                self.cache.overtaken(subject, generation);
                self.wakes.wake(subject);
            }
            Signal::Released { subject } => self.wakes.wake(subject),
            Signal::Standing { client, secret_version, proven } => {
                self.standings.hear(crate::model::OauthClientUid(client), secret_version, proven);
                self.wakes.wake(client);
            }
            Signal::Lapsed => {
                self.wakes.wake_all();
                self.compare().await;
            }
        }
    }

    /// The state or the generation of a grant has changed here: forget it, and tell the others.
    pub(super) fn changed(&self, subject: &Subject, generation: Generation) {
        self.cache.remove(&subject.connection.name.to_string());
        self.announce(subject.connection.uid.0, generation);
    }

    /// Brings an answer home, and tells the other replicas what it says of the secret: one bad setting costs what was
    /// in flight, not so much per replica.
    pub(super) fn learn(&self, subject: &Subject, pass: &mut Pass, signal: crate::provider::Signal) {
        let proven = match signal {
            crate::provider::Signal::Proven if pass.is_trial() => Some(true),
            crate::provider::Signal::Trip(_) => Some(false),
            _ => None,
        };
        pass.learn(signal);
        if let (Some(proven), Some(secret_version)) = (proven, subject.client.current_secret) {
            self.fleet.announce(Signal::Standing { client: subject.client.uid.0, secret_version, proven });
        }
    }

    /// Tells the other replicas.
    pub fn announce(&self, subject: Uuid, generation: Generation) {
        self.fleet.announce(Signal::Moved { subject, generation });
    }

    /// Compares what is in memory with the store; what cannot be compared now stays, it is as valid as it was.
    async fn compare(&self) {
        for entry in self.cache.entries() {
            if self.is_draining() {
                return;
            }
            if self.is_old(&entry).await {
                self.cache.remove(&entry.subject.connection.name.to_string());
            }
        }
    }

    async fn is_old(&self, entry: &Entry) -> bool {
        let connection = &entry.subject.connection;
        match connection.grant_type {
            GrantType::AuthorizationCode => {
                let Ok(grant) = self.store.grant(connection.tenant_uid, connection.uid).await else {
                    return false;
                };
                grant.is_none_or(|grant| (grant.generation, grant.state) != (entry.generation, entry.state))
            }
            GrantType::ClientCredentials => {
                let Ok(lease) = self.store.lease(entry.subject.client.uid).await else { return false };
                lease.is_none_or(|lease| {
                    connection.generation_floor.0 + lease.generation.0 != entry.generation.0
                })
            }
        }
    }
}
