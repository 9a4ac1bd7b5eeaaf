//! Caps on refreshes in flight (I7): a crash costs at most that many grants, and a provider that hangs holds
//! nobody else's refreshes.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Subject;
use crate::{config, model::OauthClientUid};

/// How much a refresh matters now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Callers wait: it queues.
    Expired,
    /// A token is still served: it runs only where there is room, and is asked for again later.
    Early,
}

/// The three caps.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    hosts: Caps<String>,
    clients: Caps<OauthClientUid>,
}

/// The right to have one refresh in flight; given back on drop.
#[derive(Debug)]
pub(super) struct Permit {
    _client: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Caps<K> {
    size: usize,
    by_key: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Caps<K> {
    fn of(&self, key: K) -> Arc<Semaphore> {
        let mut caps = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        caps.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.size))).clone()
    }
}

impl Permits {
    /// No cap is used yet.
    #[must_use]
    pub(super) fn new(settings: &config::Refresh) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.in_flight as usize)),
            hosts: Caps { size: settings.in_flight_per_host as usize, by_key: Mutex::default() },
            clients: Caps { size: settings.in_flight_per_client as usize, by_key: Mutex::default() },
        }
    }

    /// Waits its turn where it is urgent; `None` where it is not and there is no room. The narrowest cap comes
    /// first, so that whoever waits there holds no place that others could use.
    pub(super) async fn acquire(&self, subject: &Subject, urgency: Urgency) -> Option<Permit> {
        let client = self.clients.of(subject.client.uid);
        let host = self.hosts.of(subject.token_host());
        let all = self.all.clone();
        match urgency {
            Urgency::Expired => Some(Permit {
                _client: client.acquire_owned().await.ok()?,
                _host: host.acquire_owned().await.ok()?,
                _all: all.acquire_owned().await.ok()?,
            }),
            Urgency::Early => Some(Permit {
                _client: client.try_acquire_owned().ok()?,
                _host: host.try_acquire_owned().ok()?,
                _all: all.try_acquire_owned().ok()?,
            }),
        }
    }
}
