//! Counting requests in windows of an hour and of ten seconds (`rate_limiting`).

use std::collections::HashMap;

use http::HeaderName;

use crate::reply::Reply;

const HOUR_MS: i64 = 3_600_000;
const SPIKE_MS: i64 = 10_000;

/// What is left of the limit that would be hit first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Unix seconds.
    pub(crate) reset: i64,
    pub(crate) exceeded: bool,
}

/// Windows by key and length.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    windows: HashMap<(String, i64), Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    ends_ms: i64,
    used: u32,
}

impl Limiter {
    /// Counts a request against both limits. Refused requests count as well.
    pub(crate) fn both(&mut self, key: &str, hourly: u32, spike: u32, now_ms: i64) -> Allowance {
        let hour = self.count(key, HOUR_MS, hourly, now_ms);
        let spike = self.count(key, SPIKE_MS, spike, now_ms);
        match (hour.exceeded, spike.exceeded) {
            (true, _) => hour,
            (false, true) => spike,
            (false, false) => std::cmp::min_by_key(spike, hour, |allowance| allowance.remaining),
        }
    }

    /// Counts a request against the ten-second limit alone.
    pub(crate) fn spike(&mut self, key: &str, limit: u32, now_ms: i64) -> Allowance {
        self.count(key, SPIKE_MS, limit, now_ms)
    }

    fn count(&mut self, key: &str, length_ms: i64, limit: u32, now_ms: i64) -> Allowance {
        let fresh = Window { ends_ms: now_ms + length_ms, used: 0 };
        let window = self.windows.entry((key.to_owned(), length_ms)).or_insert(fresh);
        if window.ends_ms <= now_ms {
            *window = fresh;
        }
        window.used = window.used.saturating_add(1);
        Allowance {
            limit,
            remaining: limit.saturating_sub(window.used),
            reset: window.ends_ms.div_euclid(1000) + 1,
            exceeded: window.used > limit,
        }
    }
}

impl Allowance {
    /// Adds the headers that every answer of an API host has.
    pub(crate) fn headers(self, reply: Reply) -> Reply {
        reply
            .with(HeaderName::from_static("x-rate-limit-limit"), &self.limit.to_string())
            .with(HeaderName::from_static("x-rate-limit-remaining"), &self.remaining.to_string())
            .with(HeaderName::from_static("x-rate-limit-reset"), &self.reset.to_string())
    }
}
