//! The in-memory hot path: a fresh token is answered without network, database, lock or decryption. A reply
//! is encoded once, when its token arrives.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use secrecy::{ExposeSecret as _, SecretString};
use token_broker_proto::v1;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    model::{Generation, OauthClientUid, State, Timestamp},
    refresh::{Advice, Life, Recipients, Subject},
};

/// An access token in memory.
#[derive(Debug)]
pub struct Entry {
    /// Whose.
    pub subject: Arc<Subject>,
    /// Which.
    pub generation: Generation,
    /// From when to when.
    pub life: Life,
    /// The grant's state when the token was read.
    pub state: State,
    /// The bearer token, for the provider's token-info endpoint and for replies with advice.
    pub token: SecretString,
    /// As the provider named it.
    pub token_type: String,
    /// Scopes granted, where the provider names them.
    pub scopes: Vec<String>,
    /// An encoded `GetAccessTokenResponse` without advice, zeroed when the last reference goes.
    pub reply: Bytes,
    /// Who is known to have been given it.
    pub recipients: Recipients,
    /// Not before this the next renewal behind a served token is tried (microseconds): a renewal that failed
    /// is not tried again by every call.
    renew_not_before: AtomicI64,
}

impl Entry {
    /// Encodes the reply.
    #[must_use]
    pub fn new(
        subject: Arc<Subject>,
        generation: Generation,
        life: Life,
        state: State,
        (token, token_type, scopes): (SecretString, String, Vec<String>),
    ) -> Self {
        let mut entry = Self {
            renew_not_before: AtomicI64::new(life.renew_at.as_micros()),
            subject,
            generation,
            life,
            state,
            token,
            token_type,
            scopes,
            reply: Bytes::new(),
            recipients: Recipients::default(),
        };
        let reply = Zeroizing::new(entry.response(None).encode_to_vec());
        entry.reply = Bytes::from_owner(reply);
        entry
    }

    /// The largest `min_ttl` that may be asked for.
    #[must_use]
    pub fn max_min_ttl(&self) -> Duration {
        self.subject.connection.max_min_ttl.unwrap_or_else(|| self.life.default_max_min_ttl())
    }

    /// The reply, with advice where there is some.
    #[must_use]
    pub fn response(&self, advice: Option<&Advice>) -> v1::GetAccessTokenResponse {
        v1::GetAccessTokenResponse {
            access_token: self.token.expose_secret().to_owned(),
            token_type: self.token_type.clone(),
            expire_time: Some(wire_time(self.life.expires_at)),
            renew_time: Some(wire_time(self.life.renew_at)),
            generation: self.generation.0,
            scopes: self.scopes.clone(),
            api_base_uri: self.subject.api_base_uri.clone(),
            request_headers: self.subject.request_headers.iter().cloned().collect(),
            advice: advice.map(Advice::to_wire),
        }
    }

    /// Whether a renewal behind this token is due. `true` once per `pause`, to one of all callers.
    pub fn claim_renewal(&self, now: Timestamp, pause: Duration) -> bool {
        let due = self.renew_not_before.load(Ordering::Relaxed);
        now.as_micros() >= due
            && self
                .renew_not_before
                .compare_exchange(due, now.plus(pause).as_micros(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// A protobuf timestamp.
#[must_use]
pub fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

/// Counters of what was forgotten: enough that unrelated names seldom meet.
const SHARDS: usize = 1024;

/// Tokens by connection name.
#[derive(Debug)]
pub struct Cache {
    entries: papaya::HashMap<String, Arc<Entry>>,
    /// The names of connections that were ever here.
    names: papaya::HashMap<Uuid, String>,
    forgotten: Vec<AtomicU64>,
    hasher: RandomState,
}

/// Taken before the store is read for an entry: an entry whose ticket has run out was perhaps revoked
/// meanwhile, and is not kept.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    name: (usize, u64),
    subject: Option<(usize, u64)>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: papaya::HashMap::new(),
            names: papaya::HashMap::new(),
            forgotten: (0..SHARDS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Cache {
    /// The token of a connection, by `tenants/{tenant}/connections/{connection}`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries.pin().get(name).cloned()
    }

    /// To be taken before the connection is read.
    #[must_use]
    pub fn ticket(&self, name: &str) -> Ticket {
        Ticket { name: self.count(name), subject: None }
    }

    /// To be taken before its grant is read: others name it by its uid.
    #[must_use]
    pub fn ticket_for(&self, ticket: Ticket, subject: Uuid) -> Ticket {
        Ticket { subject: Some(self.count(subject)), ..ticket }
    }

    /// Puts a token in, unless a newer one is there: an answer that was long on its way must not hide its
    /// successor.
    pub fn put(&self, ticket: Ticket, entry: &Arc<Entry>) {
        let connection = &entry.subject.connection;
        let name = connection.name.to_string();
        self.names.pin().get_or_insert_with(connection.uid.0, || name.clone());
        let entries = self.entries.pin();
        entries.update_or_insert_with(
            name.clone(),
            |present| {
                let same = present.subject.connection.uid == connection.uid;
                if same && present.generation > entry.generation { present.clone() } else { entry.clone() }
            },
            || entry.clone(),
        );
        let good = |(shard, count): (usize, u64)| self.forgotten[shard].load(Ordering::SeqCst) == count;
        if !good(ticket.name) || !ticket.subject.is_none_or(good) {
            entries.remove(&name);
        }
    }

    /// Forgets a connection: the next call reads the store.
    pub fn remove(&self, name: &str) {
        self.forget(name);
        self.entries.pin().remove(name);
    }

    /// Another replica has this generation of a connection, or of an OAuth client's lease, or has changed its state.
    pub fn overtaken(&self, subject: Uuid, generation: Generation) {
        self.forget(subject);
        let Some(name) = self.names.pin().get(&subject).cloned() else {
            return self.remove_where(|cached| cached.is_lease_of(OauthClientUid(subject)));
        };
        let entries = self.entries.pin();
        let old =
            |entry: &Arc<Entry>| entry.subject.connection.uid.0 == subject && entry.generation <= generation;
        let _ = entries.remove_if(&name, |_, entry| old(entry));
    }

    /// Forgets every connection that the predicate names.
    pub fn remove_where(&self, mut which: impl FnMut(&Subject) -> bool) {
        self.forgotten.iter().for_each(|count| _ = count.fetch_add(1, Ordering::SeqCst));
        self.entries.pin().retain(|_, entry| !which(&entry.subject));
    }

    /// What is in memory at some moment of the call.
    #[must_use]
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.pin().values().cloned().collect()
    }

    fn shard(&self, key: impl Hash) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    fn count(&self, key: impl Hash) -> (usize, u64) {
        let shard = self.shard(key);
        (shard, self.forgotten[shard].load(Ordering::SeqCst))
    }

    fn forget(&self, key: impl Hash) {
        self.forgotten[self.shard(key)].fetch_add(1, Ordering::SeqCst);
    }
}
