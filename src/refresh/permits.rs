//! Caps on refreshes in flight (I7): a crash costs at most that many grants, and a provider that hangs holds
//! nobody else's refreshes.

use std::{
    collections::HashMap,
    hash::Hash,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Refresher, Subject,
    fair::{Cap, Place},
};
use crate::{
    config,
    coordination::{Slot, SlotOutcome},
    error::Refusal,
    model::OauthClientUid,
};

/// How much a refresh matters now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Callers wait: it queues, fair by tenant.
    Expired,
    /// A token is still served: it runs only where there is room, and is asked for again later.
    Early,
}

/// The three caps.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Cap>,
    hosts: Caps<String>,
    clients: Caps<OauthClientUid>,
}

/// The right to have one refresh in flight; given back on drop.
#[derive(Debug)]
pub(super) struct Permit {
    _client: Place,
    _host: Place,
    _all: Place,
}

#[derive(Debug)]
struct Caps<K> {
    size: usize,
    by_key: Mutex<HashMap<K, Arc<Cap>>>,
}

impl<K: Eq + Hash> Caps<K> {
    fn of(&self, key: K) -> Arc<Cap> {
        let mut caps = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        caps.entry(key).or_insert_with(|| Cap::new(self.size)).clone()
    }
}

impl Permits {
    /// No cap is used yet.
    #[must_use]
    pub(super) fn new(settings: &config::Refresh) -> Self {
        Self {
            all: Cap::new(settings.in_flight as usize),
            hosts: Caps { size: settings.in_flight_per_host as usize, by_key: Mutex::default() },
            clients: Caps { size: settings.in_flight_per_client as usize, by_key: Mutex::default() },
        }
    }

    /// Waits its turn where it is urgent; `None` where it is not and there is no room. The narrowest cap comes
    /// first, so that whoever waits there holds no place that others could use.
    pub(super) async fn acquire(&self, subject: &Subject, urgency: Urgency) -> Option<Permit> {
        let client = self.clients.of(subject.client.uid);
        let host = self.hosts.of(subject.token_host());
        let tenant = subject.connection.tenant_uid;
        match urgency {
            Urgency::Expired => Some(Permit {
                _client: client.take(tenant).await,
                _host: host.take(tenant).await,
                _all: self.all.take(tenant).await,
            }),
            Urgency::Early => Some(Permit {
                _client: client.try_take()?,
                _host: host.try_take()?,
                _all: self.all.try_take()?,
            }),
        }
    }
}

/// A permit here, and a slot of the whole fleet's where there is a Redis to count them.
#[derive(Debug)]
pub(super) struct FleetPermit {
    _slot: Option<Slot>,
    _permit: Permit,
}

/// What came of asking for a permit.
#[derive(Debug)]
pub(super) enum Permitted {
    Yes(FleetPermit),
    /// It is not urgent, and there is no room.
    No,
    /// There was no room before the other event.
    Told,
}

impl Refresher {
    /// Waits for its turn, here and in the fleet, until it is `told` of something.
    pub(super) async fn permit(
        &self,
        subject: &Subject,
        urgency: Urgency,
        told: impl Future<Output = ()>,
    ) -> Result<Permitted, Refusal> {
        if urgency == Urgency::Early && !self.ramp.lets_through() {
            return Ok(Permitted::No);
        }
        let mut told = pin!(told);
        let acquired = tokio::select! {
            biased;
            () = &mut told => return Ok(Permitted::Told),
            acquired = self.permits.acquire(subject, urgency) => acquired,
        };
        let Some(permit) = acquired else { return Ok(Permitted::No) };
        let Some(redis) = &self.fleet.redis else {
            return Ok(Permitted::Yes(FleetPermit { _slot: None, _permit: permit }));
        };
        let (client, limit) = (subject.client.uid, self.settings.in_flight_per_client_fleet);
        loop {
            let listening = self.wakes.listen(client.0);
            let slot = match redis.slot(client, limit, self.settings.holder_lost_after).await {
                SlotOutcome::Held(slot) => Some(slot),
                SlotOutcome::Away(_) => None, // the replica's own caps must do
                SlotOutcome::Full if urgency == Urgency::Early => return Ok(Permitted::No),
                SlotOutcome::Full => {
                    tokio::select! {
                        biased;
                        () = &mut told => return Ok(Permitted::Told),
                        () = self.draining.cancelled() => self.refuse_while_draining()?,
                        _ = tokio::time::timeout(self.settings.look_again, listening.told()) => {}
                    }
                    continue;
                }
            };
            return Ok(Permitted::Yes(FleetPermit { _slot: slot, _permit: permit }));
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        model::{Connection, ConnectionUid, Generation, GrantType, Meta, OauthClient, TenantUid, Timestamp},
        provider::Profile,
    };

    /// A connection of an OAuth client at the sandbox or in production: two hosts.
    fn subject(client: u128, environment: &str) -> Subject {
        let profile = Profile::procore();
        let endpoints = profile.environments[environment].clone();
        let now = Timestamp::default();
        let meta = Meta { revision: 1, created_at: now, updated_at: now };
        let client = OauthClient {
            name: "oauthClients/app".parse().unwrap(),
            uid: OauthClientUid(Uuid::from_u128(client)),
            display_name: String::new(),
            provider: profile.name.clone(),
            environment: environment.to_owned(),
            client_id: "client".to_owned(),
            client_credentials_tenants: Vec::new(),
            current_secret: Some(1),
            meta: meta.clone(),
        };
        let connection = Connection {
            name: "tenants/acme/connections/main".parse().unwrap(),
            uid: ConnectionUid(Uuid::nil()),
            tenant_uid: TenantUid(Uuid::nil()),
            display_name: String::new(),
            oauth_client: client.name.clone(),
            grant_type: GrantType::AuthorizationCode,
            account_id: "1".to_owned(),
            max_min_ttl: None,
            generation_floor: Generation(0),
            meta,
        };
        Subject {
            connection,
            client,
            profile: Arc::new(profile),
            endpoints,
            api_base_uri: String::new(),
            request_headers: Vec::new(),
            endpoint: [0; 32],
        }
    }

    fn permits(per_client: u32, per_host: u32, all: u32) -> Permits {
        Permits::new(&config::Refresh {
            in_flight_per_client: per_client,
            in_flight_per_host: per_host,
            in_flight: all,
            ..config::Refresh::default()
        })
    }

    /// One permit is out for client 1 at the sandbox: is there room for these others?
    async fn room(permits: &Permits) -> [bool; 3] {
        let first = permits.acquire(&subject(1, "sandbox"), Urgency::Early).await;
        let mut room = [false; 3];
        for (room, (client, environment)) in
            room.iter_mut().zip([(1, "production"), (2, "sandbox"), (2, "production")])
        {
            *room = permits.acquire(&subject(client, environment), Urgency::Early).await.is_some();
        }
        drop(first);
        assert!(permits.acquire(&subject(1, "sandbox"), Urgency::Early).await.is_some(), "given back");
        room
    }

    #[tokio::test]
    async fn each_cap_is_for_itself() {
        assert_eq!(room(&permits(1, 9, 9)).await, [false, true, true], "of a client");
        assert_eq!(room(&permits(9, 1, 9)).await, [true, false, true], "of a host");
        assert_eq!(room(&permits(9, 9, 1)).await, [false, false, false], "of the process");
    }

    #[tokio::test]
    async fn whoever_waits_at_one_cap_takes_no_place_at_another() {
        let permits = permits(1, 9, 2);
        let sandbox = subject(1, "sandbox");
        let first = permits.acquire(&sandbox, Urgency::Expired).await;
        let mut waiting = std::pin::pin!(permits.acquire(&sandbox, Urgency::Expired));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(permits.acquire(&subject(2, "sandbox"), Urgency::Early).await.is_some());
        drop(first);
        assert!(waiting.await.is_some(), "its turn has come");
    }
}
