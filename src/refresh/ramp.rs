//! After a start nobody's renewal is urgent: they come back over a while, not all at once.

use std::time::Duration;

use rand::RngExt as _;

use super::vault;
use crate::clock::Clock;

/// How far a replica has come since its start.
#[derive(Debug)]
pub(super) struct Ramp {
    clock: Clock,
    started: Duration,
    length: Duration,
}

impl Ramp {
    pub(super) fn new(clock: Clock, length: Duration) -> Self {
        Self { started: clock.since_boot(), clock, length }
    }

    /// Whether an early renewal may run now; more and more of them may.
    pub(super) fn lets_through(&self) -> bool {
        let passed = self.clock.since_boot().saturating_sub(self.started);
        share(passed, self.length) >= 1.0 || vault::random().random::<f64>() < share(passed, self.length)
    }
}

/// How many of all early renewals run, so long after the start.
fn share(passed: Duration, length: Duration) -> f64 {
    if length.is_zero() { 1.0 } else { (passed.as_secs_f64() / length.as_secs_f64()).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_to_all() {
        let length = Duration::from_mins(1);
        assert!(share(Duration::ZERO, length) < f64::EPSILON);
        assert!((share(Duration::from_secs(30), length) - 0.5).abs() < f64::EPSILON);
        assert!(share(Duration::from_secs(90), length) >= 1.0);
        assert!(share(Duration::ZERO, Duration::ZERO) >= 1.0, "none is wanted");
    }
}
