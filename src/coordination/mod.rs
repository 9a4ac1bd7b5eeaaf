//! Redis: leases, wake-ups, a second opinion (witness) and a second copy (escrow). Absent or lying it makes things
//! slower, never wrong: what makes them true is the database's one-way record (`docs/refresh.md`).
//!
//! Every call ends within the response time-out. A connection on which three calls in a row were not answered is given
//! up, and until there is another every call ends at once. After a failover of Redis (Sentinel, Cluster) the promoted
//! server may lack the last writes: a lease may be granted twice and a slot too many; a witness may be lower than what
//! was raised, which only `wait_for_replicas` makes rarer. A lower witness lets nothing pass that the database knows to be
//! spent.

mod away;
mod escrow;
mod findings;
mod held;
mod keys;
mod lease;
mod link;
mod pace;
mod servers;
mod signal;
mod signals;
mod slots;
mod together;
mod witness;

use std::sync::Arc;

use redis::{Cmd, FromRedisValue};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

pub use away::{Away, State, Why};
pub use escrow::{Cursor, Escrowed};
pub use lease::{Lease, LeaseOutcome};
pub use signal::{Message, Signal};
pub use slots::{Slot, SlotOutcome};

use self::{keys::Keys, link::Link, signals::Announcer, slots::Spare};
use crate::{clock::Clock, config};

/// Redis, from one replica. Clones share one connection; the last one to go ends it.
#[derive(Clone, Debug)]
pub struct Coordination(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: config::Redis,
    clock: Clock,
    keys: Keys,
    link: Link,
    /// For witness and escrow: WAIT holds up everything behind it on its connection.
    records: Link,
    announcer: Announcer,
    spare: Spare,
    signals: broadcast::Sender<Signal>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// How Redis is, for probes and operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it answers.
    pub state: State,
    /// The `maxmemory-policy` of a server that may forget witnesses and escrow to make room.
    pub evicts: Option<String>,
    /// Whether a restart of Redis keeps most of what it has; `None` where it does not tell.
    pub persistent: Option<bool>,
    /// The last command that was refused on this connection: permissions, memory.
    pub refused: Option<Why>,
}

impl Coordination {
    /// Connects in the background, for as long as it takes. Nothing here fails: what is wrong with a file or a server is
    /// told by [`Self::state`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn new(settings: &config::Redis, environment: &str, clock: Clock) -> Self {
        let keys = Keys::new(&settings.prefix, environment);
        let link = Link::new(settings.clone(), clock.clone());
        let mut tasks = vec![spawn(link.clone().keep())];
        let records = if settings.wait_for_replicas == 0 {
            link.clone()
        } else {
            let records = Link::alone(settings.clone(), clock.clone());
            tasks.push(spawn(records.clone().keep()));
            records
        };
        let (signals, _) = broadcast::channel(signals::BACKLOG);
        let (announcer, announcing) = signals::announcer(link.clone(), keys.signals());
        tasks.push(spawn(announcing));
        tasks.push(spawn(signals::listen(
            settings.clone(),
            link.clone(),
            keys.signals(),
            announcer.sender(),
            signals.clone(),
        )));
        let spare = Spare::new(signals.clone());
        tasks.push(spawn(spare.clone().clear()));
        let settings = settings.clone();
        Self(Arc::new(Inner {
            settings,
            clock,
            keys,
            link,
            records,
            announcer,
            spare,
            signals,
            _tasks: tasks,
        }))
    }

    /// Whether Redis answers.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.link.state()
    }

    /// All that is known of it.
    #[must_use]
    pub fn health(&self) -> Health {
        let (findings, refused) = self.0.link.findings();
        Health { state: self.state(), evicts: findings.evicts, persistent: findings.persistent, refused }
    }

    /// Waits until Redis answers; for ever, where it does not.
    pub async fn connected(&self) {
        self.0.link.connected().await;
        self.0.records.connected().await;
    }

    /// Writes something that must not be forgotten, and waits for the replicas that the settings ask for.
    async fn record<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let written = self.0.records.call(command).await?;
        self.replicated().await?;
        Ok(written)
    }

    async fn replicated(&self) -> Result<(), Away> {
        let wanted = self.0.settings.wait_for_replicas;
        if wanted == 0 {
            return Ok(());
        }
        // Less than the response time-out, so that the server answers before it is given up.
        let patience = (self.0.settings.response_timeout / 2).as_millis().max(1);
        let patience = u64::try_from(patience).unwrap_or(u64::MAX);
        let reached: u32 = self.0.records.call(redis::cmd("WAIT").arg(wanted).arg(patience)).await?;
        if reached >= wanted { Ok(()) } else { Err(Away(Why::Replicas)) }
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// A script over one key: atomic, wherever the key is. Sent whole, so that no server needs to know it.
fn script(body: &str, key: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(body).arg(1).arg(key);
    command
}
