//! One connection that is there, or is being made: calls never wait for it to come back. Those to one server that
//! come close together travel together.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Cmd, FromRedisValue, Value};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    time::{sleep, timeout},
};

use super::{
    away::{Away, State, Why},
    findings::Findings,
    pace::Pace,
    servers::{self, Connection},
    together::{Asked, together},
};
use crate::{clock::Clock, config};

/// How often an idle connection is asked whether it is alive.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// A connection to Redis that is made again whenever it is lost.
#[derive(Clone)]
pub(super) struct Link(Arc<Shared>);

struct Shared {
    settings: config::Redis,
    clock: Clock,
    status: watch::Sender<Status>,
    pace: Mutex<Pace>,
    /// Where calls wait for company; None: each goes by itself.
    queue: Option<UnboundedSender<Asked>>,
}

struct Status {
    /// Which connection this is: what is told of an earlier one is old.
    serial: u64,
    connection: Option<Connection>,
    state: State,
    findings: Findings,
    refused: Option<Why>,
}

impl Link {
    /// No connection yet; [`Self::keep`] makes it. Calls that come close together travel together.
    pub(super) fn new(settings: config::Redis, clock: Clock) -> Self {
        let queue = together(settings.response_timeout);
        Self::with_queue(settings, clock, Some(queue))
    }

    /// One on which each call goes by itself: a WAIT would hold back the answers to all that travel with it.
    pub(super) fn alone(settings: config::Redis, clock: Clock) -> Self {
        Self::with_queue(settings, clock, None)
    }

    fn with_queue(settings: config::Redis, clock: Clock, queue: Option<UnboundedSender<Asked>>) -> Self {
        let state = State::Away { since: clock.now(), why: Why::Connecting };
        let findings = Findings::default();
        let status = Status { serial: 0, connection: None, state, findings, refused: None };
        let (status, pace) = (watch::Sender::new(status), Mutex::default());
        Self(Arc::new(Shared { settings, clock, status, pace, queue }))
    }

    /// Whether there is a connection.
    pub(super) fn state(&self) -> State {
        self.0.status.borrow().state.clone()
    }

    /// What the servers say of themselves, and the last command that they refused.
    pub(super) fn findings(&self) -> (Findings, Option<Why>) {
        let status = self.0.status.borrow();
        (status.findings.clone(), status.refused.clone())
    }

    /// Sends a command. An answer comes within the response time-out or counts as none: a lost answer says nothing
    /// of what was done.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let value = self.ask(vec![command.clone()]).await?.pop().ok_or(Away(Why::Unreadable))?;
        T::from_redis_value(value).map_err(|_| Away(Why::Unreadable))
    }

    /// Sends commands one behind the other, and does not wait in between. They have one response time-out.
    pub(super) async fn call_all(&self, commands: Vec<Cmd>) -> Result<(), Away> {
        self.ask(commands).await.map(drop)
    }

    /// An answer to each, or the first error.
    async fn ask(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, Away> {
        self.with(async |connection| match (&self.0.queue, &connection) {
            (Some(queue), Connection::Single(connection)) => Asked::send(queue, connection, commands).await,
            _ => connection.send_all(&commands).await.map_err(|error| Why::of(&error)),
        })
        .await
    }

    async fn with<T>(&self, ask: impl AsyncFnOnce(&mut Connection) -> Result<T, Why>) -> Result<T, Away> {
        let (serial, connection) = {
            let status = self.0.status.borrow();
            if let State::Away { why, .. } = &status.state {
                return Err(Away(why.clone()));
            }
            (status.serial, status.connection.clone())
        };
        let Some(mut connection) = connection else { return Err(Away(Why::Connecting)) };
        let answer = timeout(self.0.settings.response_timeout, ask(&mut connection)).await;
        let why = match answer {
            Ok(Ok(value)) => {
                self.pace().answered();
                return Ok(value);
            }
            Ok(Err(why)) => why,
            Err(_) => Why::Slow,
        };
        self.failed(serial, &connection, &why);
        Err(Away(why))
    }

    fn failed(&self, serial: u64, connection: &Connection, why: &Why) {
        // A cluster's connection mends itself where one of its servers fails; the others go on.
        let single = matches!(connection, Connection::Single(_));
        let given_up = match why {
            why if why.ends_connection() && single => true,
            Why::Refused(_) | Why::Unreadable => {
                self.pace().answered();
                self.0.status.send_modify(|status| status.refused = Some(why.clone()));
                false
            }
            _ => self.pace().timed_out(),
        };
        if given_up {
            self.lose(serial, why);
        }
    }

    /// Makes the connection, watches it, and makes it again; for ever.
    pub(super) async fn keep(self) {
        loop {
            let deadline = self.0.settings.connect_timeout;
            let made = timeout(deadline, self.connect()).await.unwrap_or(Err(Why::Slow));
            match made {
                Ok((connection, findings)) => {
                    self.found(connection, findings);
                    self.watch().await;
                }
                Err(why) => {
                    let serial = self.0.status.borrow().serial;
                    self.lose(serial, &why);
                }
            }
            let pause = self.pace().pause(self.0.clock.since_boot(), rand::random());
            sleep(pause).await;
        }
    }

    async fn connect(&self) -> Result<(Connection, Findings), Why> {
        let mut connection = servers::connect(&self.0.settings).await?;
        connection.ping().await?;
        let findings = Findings::of(&mut connection).await;
        Ok((connection, findings))
    }

    fn found(&self, connection: Connection, findings: Findings) {
        findings.report();
        self.pace().connected(self.0.clock.since_boot());
        self.0.status.send_modify(|status| {
            status.serial += 1;
            status.connection = Some(connection);
            status.state = State::Connected;
            status.findings = findings;
            status.refused = None;
        });
        tracing::info!("coordination.connected");
    }

    /// Once per connection, and once per reason.
    fn lose(&self, serial: u64, why: &Why) {
        let now = self.0.clock.now();
        let told = self.0.status.send_if_modified(|status| {
            let since = match &status.state {
                _ if status.serial != serial => return false,
                State::Away { why: known, .. } if known == why => return false,
                State::Away { since, .. } => *since,
                State::Connected => now,
            };
            status.connection = None;
            status.state = State::Away { since, why: why.clone() };
            true
        });
        if told {
            tracing::warn!(%why, "coordination.away");
        }
    }

    /// Until the connection is lost.
    async fn watch(&self) {
        let mut status = self.0.status.subscribe();
        while timeout(HEARTBEAT, status.wait_for(|status| status.connection.is_none())).await.is_err() {
            let _ = self.with(Connection::ping).await;
        }
    }

    /// Waits for a connection.
    pub(super) async fn connected(&self) {
        let mut status = self.0.status.subscribe();
        // The sender is in `self`.
        let _ = status.wait_for(|status| status.connection.is_some()).await;
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.state()).finish()
    }
}
