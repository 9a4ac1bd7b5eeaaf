//! Pure decisions about a token's life: no I/O, `now` passed in.

use std::time::Duration;

use crate::{config, model::Timestamp};

/// From when to when a token is good, and when to be ahead of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it was issued, by our clock.
    pub issued_at: Timestamp,
    /// When it ends, by our clock.
    pub expires_at: Timestamp,
    /// From here on a renewal runs behind the served token.
    pub renew_at: Timestamp,
    /// With less than this left, callers wait for the next one.
    pub margin: Duration,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The least remaining life.
    pub min_ttl: Duration,
    /// "The provider's API answered 401 to this generation."
    pub rejected_generation: Option<u64>,
}

/// What to do for a caller, given the token at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Hand it out.
    Serve,
    /// Hand it out, and renew behind it.
    ServeAndRenew,
    /// Wait for the next one.
    Renew,
}

impl Life {
    /// A token's life under these settings.
    #[must_use]
    pub fn new(issued_at: Timestamp, expires_at: Timestamp, settings: &config::Refresh) -> Self {
        let whole = expires_at.since(issued_at);
        Self {
            issued_at,
            expires_at,
            renew_at: issued_at.plus(whole.mul_f64(settings.renew_after_share)),
            margin: settings.margin.min(whole.mul_f64(settings.margin_share)),
        }
    }

    /// What is left.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.expires_at.since(now)
    }

    /// The largest `min_ttl` that makes sense where the connection does not say: a third of the life.
    #[must_use]
    pub fn default_max_min_ttl(&self) -> Duration {
        self.expires_at.since(self.issued_at) / 3
    }

    /// Section 1.3 step 1 of the protocol.
    #[must_use]
    pub fn course(&self, min_ttl: Duration, now: Timestamp) -> Course {
        if self.remaining(now) <= self.margin.max(min_ttl) {
            Course::Renew
        } else if now >= self.renew_at {
            Course::ServeAndRenew
        } else {
            Course::Serve
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_token_is_served_then_renewed_behind_then_waited_for() {
        let life = Life::new(at(0), at(5400), &config::Refresh::default());
        let none = Duration::ZERO;
        assert_eq!(life.course(none, at(3600)), Course::Serve);
        assert_eq!(life.course(none, at(3602)), Course::ServeAndRenew);
        assert_eq!(life.course(none, at(5339)), Course::ServeAndRenew);
        assert_eq!(life.course(none, at(5340)), Course::Renew, "the margin is 60 s");
        assert_eq!(life.course(Duration::from_mins(30), at(3602)), Course::Renew, "min_ttl beats the margin");
    }

    #[test]
    fn the_margin_of_a_short_token_is_a_tenth_of_its_life() {
        let life = Life::new(at(0), at(100), &config::Refresh::default());
        assert_eq!(life.margin, Duration::from_secs(10));
        assert_eq!(life.default_max_min_ttl(), Duration::from_secs(100) / 3);
    }

    #[test]
    fn a_token_without_life_is_never_served() {
        let life = Life::new(at(10), at(10), &config::Refresh::default());
        assert_eq!(life.course(Duration::ZERO, at(10)), Course::Renew);
    }
}
