//! THE HEART: the refresh protocol (`docs/refresh.md`), on one screen in [`Refresher::refresh`]. Decisions are
//! pure and beside it (`decide`, `standing`, `crate::model`); helpers hide mechanism, never a decision.
//! It knows no gRPC, no SQL and no HTTP.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cache::{Cache, Entry},
    clock::Clock,
    config,
    error::{Reason, Refusal},
    failpoint::Failpoints,
    model::{ConnectionName, ConnectionUid, Generation, GrantType, OauthClientUid, Timestamp},
    provider::{Egress, classify},
    seal::Keyring,
    store::Store,
};

mod advice;
mod conclude;
mod copies;
mod decide;
mod drain;
mod evidence;
mod fair;
mod fleet;
mod flights;
mod hear;
mod import;
mod issued;
mod lease;
mod lineage;
mod permits;
mod ramp;
mod recheck;
mod serve;
mod setbacks;
mod spend;
mod standing;
mod subject;
mod sweep;
mod turn;
mod vault;
mod wakes;
mod witnessed;

pub use advice::{Advice, Cause as AdviceCause};
pub use decide::{Course, Demand, Life};
pub use evidence::{Evidence, Medium};
pub use fleet::Fleet;
pub use import::Import;
pub use issued::Recipients;
pub use lineage::Lineage;
pub use permits::Urgency;
pub use serve::Vended;
pub use standing::{Standing, Standings};
pub use subject::{Directory, Subject};
pub use vault::Vault;

use self::turn::Turn;

/// Spends refresh tokens, each once, and serves what comes back.
pub struct Refresher {
    store: Arc<dyn Store>,
    directory: Directory,
    vault: Vault,
    egress: Egress,
    cache: Arc<Cache>,
    clock: Clock,
    settings: config::Refresh,
    replica: String,
    failpoints: Failpoints,
    permits: permits::Permits,
    ramp: ramp::Ramp,
    standings: Standings,
    setbacks: setbacks::Setbacks,
    rechecks: recheck::Rechecks,
    flights: flights::Flights<Destination, Landing>,
    wakes: wakes::Wakes,
    fleet: Fleet,
    tasks: TaskTracker,
    draining: CancellationToken,
}

/// What a flight is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Destination {
    /// The next generation of a grant.
    Grant(ConnectionUid),
    /// The next client-credentials token of an OAuth client.
    Lease(OauthClientUid),
}

impl Destination {
    const fn of(subject: &Subject) -> Self {
        match subject.connection.grant_type {
            GrantType::AuthorizationCode => Self::Grant(subject.connection.uid),
            GrantType::ClientCredentials => Self::Lease(subject.client.uid),
        }
    }
}

/// How a flight ended, for all who waited for it.
#[derive(Clone, Debug)]
enum Landing {
    /// There is a newer token, or there was one already.
    Done,
    /// This is the newer token: durable, though the database may have it last of all.
    Brought(Arc<Entry>),
    /// An early renewal that found no room: whoever needs the token now starts again.
    Skipped,
    /// No token.
    Refused(Refusal),
}

/// Why a refresh runs, and which generation it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Why {
    cause: Cause,
    generation: Generation,
}

/// What caused a refresh; kept in its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// A caller waits: the token is past its margin.
    Expired,
    /// The token is past two thirds of its life, and still served.
    Due,
    /// A consumer reported a 401, and the provider's token-info endpoint agreed.
    Rejected,
    /// An operator asked.
    Operator,
}

impl Refresher {
    /// One refresh from start to end, on the task tracker, never on a caller's future: tonic drops a handler
    /// when its client goes away, and a drop between the provider's answer and its commit loses the grant.
    async fn refresh(self: &Arc<Self>, name: ConnectionName, why: Why) -> Result<Landing, Refusal> {
        self.reach("started").await;
        let subject = self.directory.subject(&name).await?;
        let (due, _turn) = match self.turn(&subject, why).await? {
            Turn::Ours(due, permit, lease) => (due, (permit, lease)), // nothing is sent in vain, not even the secret's proof
            Turn::MovedOn => return Ok(self.moved_on(&name)),
            Turn::Elsewhere => return Ok(Landing::Skipped),
        };
        self.reach("permitted").await;
        let mut pass = self.admit(&subject).await?; // the client secret is proven, or this refresh is its trial
        self.reach("admitted").await;
        let ready = self.ready(&subject, &due, &mut pass).await?; // keys, media, connection, TLS: a failure costs nothing
        self.reach("connected").await;
        self.refuse_while_draining()?;
        pass.still_good()?;
        let Some(spend) = self.burn(&subject, ready, why).await? else { return self.beaten(&subject).await };
        let spend = self.cleared(&subject, spend).await?; // burnt, and witnessed: from here nobody else may send
        self.reach("before_send").await;
        let (held, answer) = spend.send().await; // once
        self.reach("answered").await;
        let outcome = classify(&subject.profile, &answer, self.clock.now());
        self.learn(&subject, &mut pass, outcome.breaker());
        self.keep_raw(&subject, &held, &answer, &outcome).await;
        let landing = self.conclude(&subject, &held, outcome).await; // durable before anyone sees it
        self.reach("before_wake").await;
        landing
    }

    /// Everything it needs, ready to run.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            store,
            directory,
            keyring,
            egress,
            cache,
            clock,
            settings,
            breaker,
            replica,
            fleet,
            failpoints,
        } = parts;
        Arc::new(Self {
            vault: Vault::new(keyring, store.clone(), settings.clone()),
            permits: permits::Permits::new(&settings),
            ramp: ramp::Ramp::new(clock.clone(), settings.ramp),
            standings: Standings::new(breaker, clock.clone()),
            setbacks: setbacks::Setbacks::default(),
            rechecks: recheck::Rechecks::default(),
            flights: flights::Flights::default(),
            wakes: wakes::Wakes::default(),
            fleet,
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            store,
            directory,
            egress,
            cache,
            clock,
            settings,
            replica,
            failpoints,
        })
    }

    /// Starts nothing new, and finishes what is in flight: nothing stays only in memory.
    pub async fn drain(&self) {
        self.draining.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(redis) = &self.fleet.redis {
            redis.release_slots().await;
        }
    }

    /// By this process's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends with the drain.
    #[must_use]
    pub const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Whether nothing new is started any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The standings of client secrets, for show.
    #[must_use]
    pub const fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Seals and opens, for whoever manages secrets.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Looks up what a refresh must know.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// There is a newer generation than the one that was to be replaced: memory must not hide it.
    fn moved_on(&self, name: &ConnectionName) -> Landing {
        self.cache.remove(&name.to_string());
        Landing::Done
    }

    fn refuse_while_draining(&self) -> Result<(), Refusal> {
        if self.draining.is_cancelled() {
            return Err(Refusal::retry(Reason::RefreshInProgress, self.settings.refusal_pause));
        }
        Ok(())
    }

    async fn reach(&self, point: &'static str) {
        self.failpoints.reach(point).await;
    }
}

/// What a [`Refresher`] is made of.
#[expect(missing_docs, reason = "named by their types")]
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub directory: Directory,
    pub keyring: Arc<Keyring>,
    pub egress: Egress,
    pub cache: Arc<Cache>,
    pub clock: Clock,
    pub settings: config::Refresh,
    pub breaker: config::Breaker,
    pub replica: String,
    pub fleet: Fleet,
    pub failpoints: Failpoints,
}

impl Why {
    const fn urgency(self) -> Urgency {
        match self.cause {
            Cause::Due => Urgency::Early,
            Cause::Expired | Cause::Rejected | Cause::Operator => Urgency::Expired,
        }
    }
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Due => "due",
            Self::Rejected => "rejected_generation",
            Self::Operator => "operator",
        }
    }
}
