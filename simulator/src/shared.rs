//! What listeners, control API and library calls share.

use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::state::State;

/// Whether token requests wait for a release before they are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// They do not wait.
    #[default]
    Off,
    /// They are logged as held, and processed when released.
    BeforeProcessing,
    /// They have had their effect; the answers wait.
    AfterProcessing,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    hold: watch::Sender<Hold>,
    /// Length of the log.
    logged: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), hold: watch::Sender::default(), logged: watch::Sender::default() }
    }

    /// Locks the state; never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the log can no longer be written")
    }

    /// Does something to the state and tells whoever waits for the log.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = act(&mut state);
        let length = state.log.entries().len();
        drop(state);
        self.logged.send_if_modified(|known| std::mem::replace(known, length) != length);
        result
    }

    pub(crate) fn set_hold(&self, hold: Hold) {
        self.hold.send_replace(hold);
    }

    pub(crate) fn hold(&self) -> Hold {
        *self.hold.borrow()
    }

    pub(crate) async fn released(&self) {
        let released = self.hold.subscribe().wait_for(|hold| *hold == Hold::Off).await.is_ok();
        debug_assert!(released, "the sender lives as long as self");
    }

    /// Waits until the state satisfies `done`, asked whenever the log grows.
    pub(crate) async fn wait_until(&self, done: impl Fn(&State) -> bool) {
        let mut logged = self.logged.subscribe();
        while !done(&self.state()) {
            logged.changed().await.expect("the sender lives as long as self");
        }
    }
}
