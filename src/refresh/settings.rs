//! The protocol's durations and caps, all of them scalable (refresh-protocol defaults).

use std::time::Duration;

/// Settings of the heart.
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshSettings {
    /// With less than this left a token is not handed out while a better one can be had.
    pub margin: Duration,
    /// The margin of short tokens, as a share of their life.
    pub margin_share: f64,
    /// The share of a token's life after which it is renewed behind the callers.
    pub renew_after_share: f64,
    /// After the burn, the request's body refuses to leave once this has passed.
    pub body_deadline: Duration,
    /// From the first byte sent to the last byte read. Long: timing out turns a slow success into a loss.
    pub total_timeout: Duration,
    /// D: a dispatched attempt older than this has lost its holder.
    pub holder_lost_after: Duration,
    /// How long doubt lasts at least before a person is asked.
    pub doubt_grace: Duration,
    /// How long a caller waits for a refresh.
    pub caller_wait: Duration,
    /// Refreshes in flight per OAuth client: what a crash can cost at most.
    pub in_flight_per_client: usize,
    /// Refreshes in flight per token host, so that one that hangs leaves room for the others.
    pub in_flight_per_host: usize,
    /// Refreshes in flight altogether.
    pub in_flight: usize,
    /// Between two sweeps.
    pub sweep_interval: Duration,
    /// A rejected generation is looked into once per this.
    pub recheck_interval: Duration,
    /// Patience after a refusal whose answer names none, and after a renewal that failed.
    pub refusal_pause: Duration,
    /// How long a breaker stays open before one trial.
    pub breaker_open_for: Duration,
    /// Unknown outcomes in a row that open a breaker.
    pub breaker_unknowns: u32,
}

impl Default for RefreshSettings {
    fn default() -> Self {
        Self {
            margin: Duration::from_secs(60),
            margin_share: 0.1,
            renew_after_share: 2.0 / 3.0,
            body_deadline: Duration::from_secs(5),
            total_timeout: Duration::from_secs(120),
            holder_lost_after: Duration::from_secs(180),
            doubt_grace: Duration::from_secs(600),
            caller_wait: Duration::from_secs(30),
            in_flight_per_client: 4,
            in_flight_per_host: 16,
            in_flight: 32,
            sweep_interval: Duration::from_secs(5),
            recheck_interval: Duration::from_secs(60),
            refusal_pause: Duration::from_secs(5),
            breaker_open_for: Duration::from_secs(30),
            breaker_unknowns: 2,
        }
    }
}
