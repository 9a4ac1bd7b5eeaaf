//! Time, as a parameter: the only place that reads the system's clocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::model::Timestamp;

/// Where `now` comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// A clock that tests drive.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A manual clock that stands at `start`.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_micros())))
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system_now(),
            Self::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Since boot, suspended time included: a deadline by it holds over a paused machine, where
    /// `Instant` (`CLOCK_MONOTONIC`) may stand still.
    #[must_use]
    pub fn since_boot(&self) -> Duration {
        match self {
            Self::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(
                    u64::try_from(time.tv_sec).unwrap_or(0),
                    u32::try_from(time.tv_nsec).unwrap_or(0),
                )
            }
            Self::Manual(micros) => {
                Duration::from_micros(u64::try_from(micros.load(Ordering::SeqCst)).unwrap_or(0))
            }
        }
    }

    /// Moves a manual clock forward; the system's cannot be moved.
    pub fn advance(&self, duration: Duration) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_now() -> Timestamp {
    SystemTime::now().into()
}
