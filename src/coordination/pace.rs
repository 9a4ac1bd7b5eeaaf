//! When a connection is given up, and when the next one is tried. Pure.

use std::time::Duration;

/// Time-outs in a row after which a connection is given up: from then on nobody waits for it.
const TIMEOUTS: u32 = 3;
/// The pause after the first failure; it doubles up to the longest.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// A connection that lived this long was a good one: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(10);

/// Counts failures. Times are of one clock that never goes back.
#[derive(Debug, Default)]
pub(super) struct Pace {
    timeouts: u32,
    failures: u32,
    connected_at: Option<Duration>,
}

impl Pace {
    /// There is a connection.
    pub(super) fn connected(&mut self, now: Duration) {
        self.timeouts = 0;
        self.connected_at = Some(now);
    }

    /// A command was answered.
    pub(super) fn answered(&mut self) {
        self.timeouts = 0;
    }

    /// A command was not answered in time. `true`: give the connection up.
    pub(super) fn timed_out(&mut self) -> bool {
        self.timeouts += 1;
        self.timeouts >= TIMEOUTS
    }

    /// How long to wait before the next connection. `jitter` is between 0 and 1: replicas that lost the same server
    /// do not return in one moment.
    pub(super) fn pause(&mut self, now: Duration, jitter: f64) -> Duration {
        if self.connected_at.take().is_some_and(|at| now.saturating_sub(at) >= STEADY) {
            self.failures = 0;
        }
        let doubled = SHORTEST.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        doubled.min(LONGEST).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn three_timeouts_in_a_row_give_a_connection_up() {
        let mut pace = Pace::default();
        assert!(!pace.timed_out() && !pace.timed_out());
        pace.answered();
        assert!(!pace.timed_out() && !pace.timed_out());
        assert!(pace.timed_out(), "and it stays given up");
        assert!(pace.timed_out());
        pace.connected(NOW);
        assert!(!pace.timed_out(), "the next one begins anew");
    }

    #[test]
    fn pauses_double_and_end() {
        let mut pace = Pace::default();
        assert_eq!([0.0, 1.0].map(|jitter| Pace::default().pause(NOW, jitter)), [SHORTEST / 2, SHORTEST]);
        let pauses: Vec<_> = (0..40).map(|_| pace.pause(NOW, 1.0)).collect();
        assert_eq!(pauses[..3], [SHORTEST, SHORTEST * 2, SHORTEST * 4]);
        assert!(pauses.is_sorted() && pauses[39] == LONGEST);
    }

    #[test]
    fn only_a_connection_that_lasted_counts_as_good() {
        let mut pace = Pace::default();
        let _ = [(); 4].map(|()| pace.pause(NOW, 1.0));
        pace.connected(NOW);
        assert_eq!(pace.pause(NOW + STEADY / 2, 1.0), SHORTEST * 16, "it answers a PING and nothing else");
        pace.connected(NOW);
        assert_eq!(pace.pause(NOW + STEADY, 1.0), SHORTEST);
        assert_eq!(pace.pause(NOW + STEADY, 1.0), SHORTEST * 2, "once");
    }
}
