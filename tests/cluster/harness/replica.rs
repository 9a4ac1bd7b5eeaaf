//! One broker of a fleet, and what was done to it.

use std::{path::PathBuf, time::SystemTime};
use token_broker::clock::Clock;

use super::{Broker, Launch, settings::CREDENTIAL};

/// What was done to a broker that may cost what it was at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// SIGKILL.
    Killed,
    /// A task of it panicked.
    Panicked,
    /// SIGTERM, with a grace that was too short.
    Hurried,
}

/// Something that explains a loss.
#[derive(Clone, Debug)]
pub struct Mishap {
    /// What attempts call it.
    pub replica: String,
    /// What was done.
    pub fate: Fate,
    /// Microseconds since the epoch.
    pub at: i64,
}

/// A place for a broker: its name, configuration and journal outlive its process.
pub struct Replica {
    /// What attempts call it.
    pub name: String,
    /// Its configuration, journal and log.
    pub folder: PathBuf,
    pub(super) broker: Option<Broker>,
}

impl Replica {
    /// Starts it.
    pub async fn start(&mut self, launch: &Launch) {
        assert!(self.broker.is_none(), "{} runs", self.name);
        self.broker = Some(Broker::start(&self.folder, CREDENTIAL, launch).await);
    }

    /// Its process.
    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// Its process, to be ended in an orderly way: nothing that it is at may be lost.
    pub fn ending(&mut self) -> Broker {
        self.broker.take().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// Ends it, if there is a process; it was at nothing.
    pub async fn abandon(&mut self) {
        if let Some(broker) = self.broker.take() {
            broker.kill().await;
        }
    }

    /// Whether there is a process.
    pub const fn runs(&self) -> bool {
        self.broker.is_some()
    }

    /// Where its failpoint reports.
    pub fn failpoint_log(&self) -> PathBuf {
        self.folder.join("failpoint.log")
    }

    /// Launched so, refreshes are held at a failpoint until [`Self::let_go`].
    pub fn holding_at(&self, point: &str) -> Launch {
        Launch::holding_at(point, self.failpoint_log())
    }

    /// How many refreshes came to the failpoint.
    pub fn reached(&self) -> usize {
        std::fs::read_to_string(self.failpoint_log()).unwrap_or_default().lines().count()
    }

    /// Lets everything go that is held at the failpoint, now and later.
    pub fn let_go(&self) {
        std::fs::write(self.failpoint_log().with_extension("go"), "").unwrap();
    }
}

/// Microseconds since the epoch.
pub fn now() -> i64 {
    Clock::System.now().as_micros()
}
