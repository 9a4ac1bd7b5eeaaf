//! `[refresh]` and `[breaker]`: the tempo of the protocol and its caps (`docs/refresh.md`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;

/// `[refresh]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refresh {
    /// A token with less life left than this is not handed out while a better one can be had.
    #[serde(with = "duration")]
    pub margin: Duration,
    /// The margin is never more than this share of a token's life.
    pub margin_share: f64,
    /// Past this share of a token's life the next caller starts a renewal behind its back.
    pub renew_after_share: f64,
    /// From the burn to the moment at which the request's body refuses to be sent.
    #[serde(with = "duration")]
    pub body_deadline: Duration,
    /// TCP and TLS to the token endpoint, before the burn.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// From the sending to the end of the answer. A slow success is a success: long on purpose.
    #[serde(with = "duration")]
    pub total_timeout: Duration,
    /// A dispatched attempt older than this has lost its holder (D).
    #[serde(with = "duration")]
    pub holder_lost_after: Duration,
    /// Doubt lasts at least this long before a person must act.
    #[serde(with = "duration")]
    pub doubt_grace: Duration,
    /// A caller without a usable token waits at most this long.
    #[serde(with = "duration")]
    pub caller_wait: Duration,
    /// Refreshes in flight through one OAuth client.
    pub in_flight_per_client: u32,
    /// Refreshes in flight through one OAuth client in all replicas together, where Redis counts them.
    pub in_flight_per_client_fleet: u32,
    /// Refreshes in flight towards one token host: one that hangs leaves room for the others.
    pub in_flight_per_host: u32,
    /// Refreshes in flight altogether: what a crash can cost.
    pub in_flight: u32,
    /// Between two looks for lost holders and doubts to end.
    #[serde(with = "duration")]
    pub sweep_interval: Duration,
    /// After a start more and more early renewals run, and all of them only after this; zero: at once.
    #[serde(with = "duration")]
    pub ramp: Duration,
    /// A replica that waits for another one looks into the database this often where nobody tells it.
    #[serde(with = "duration")]
    pub look_again: Duration,
    /// The same where Redis tells it: in case a message was lost.
    #[serde(with = "duration")]
    pub look_again_told: Duration,
    /// Between two looks into journal and escrow for answers that the database does not have.
    #[serde(with = "duration")]
    pub drain_interval: Duration,
    /// Between two answers to `rejected_generation` that ask the provider, per generation.
    #[serde(with = "duration")]
    pub recheck_interval: Duration,
    /// After a refusal that names no time of its own.
    #[serde(with = "duration")]
    pub refusal_pause: Duration,
}

/// `[breaker]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// From opening to the next trial.
    #[serde(with = "duration")]
    pub open_for: Duration,
    /// Unknown outcomes in a row that open it.
    pub unknowns: u32,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            margin: Duration::from_mins(1),
            margin_share: 0.1,
            renew_after_share: 0.667,
            body_deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(2),
            holder_lost_after: Duration::from_mins(3),
            doubt_grace: Duration::from_mins(10),
            caller_wait: Duration::from_secs(30),
            in_flight_per_client: 4,
            in_flight_per_client_fleet: 8,
            in_flight_per_host: 16,
            in_flight: 32,
            sweep_interval: Duration::from_secs(5),
            ramp: Duration::from_secs(30),
            look_again: Duration::from_secs(1),
            look_again_told: Duration::from_secs(10),
            drain_interval: Duration::from_secs(2),
            recheck_interval: Duration::from_mins(1),
            refusal_pause: Duration::from_secs(5),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self { open_for: Duration::from_secs(30), unknowns: 2 }
    }
}

impl Refresh {
    /// The same protocol in another tempo: every duration times `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let scale = |duration: Duration| duration.mul_f64(factor);
        Self {
            margin: scale(self.margin),
            margin_share: self.margin_share,
            renew_after_share: self.renew_after_share,
            body_deadline: scale(self.body_deadline),
            connect_timeout: scale(self.connect_timeout),
            total_timeout: scale(self.total_timeout),
            holder_lost_after: scale(self.holder_lost_after),
            doubt_grace: scale(self.doubt_grace),
            caller_wait: scale(self.caller_wait),
            in_flight_per_client: self.in_flight_per_client,
            in_flight_per_client_fleet: self.in_flight_per_client_fleet,
            in_flight_per_host: self.in_flight_per_host,
            in_flight: self.in_flight,
            sweep_interval: scale(self.sweep_interval),
            ramp: scale(self.ramp),
            look_again: scale(self.look_again),
            look_again_told: scale(self.look_again_told),
            drain_interval: scale(self.drain_interval),
            recheck_interval: scale(self.recheck_interval),
            refusal_pause: scale(self.refusal_pause),
        }
    }
}

impl Breaker {
    /// See [`Refresh::scaled`].
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { open_for: self.open_for.mul_f64(factor), unknowns: self.unknowns }
    }
}
