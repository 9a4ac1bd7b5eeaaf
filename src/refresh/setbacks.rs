//! Flights that failed a moment ago: who asks again at once is told the same, and the provider is left alone.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::Destination;
use crate::{error::Refusal, model::Timestamp};

/// From this many on, old failures are cleared out whenever one is added.
const SWEEP_ABOVE: usize = 4096;

/// Recent failures, by destination.
#[derive(Debug, Default)]
pub(super) struct Setbacks {
    recent: Mutex<HashMap<Destination, (Timestamp, Refusal)>>,
}

impl Setbacks {
    /// The refusal of a flight that failed, while its pause lasts.
    pub(super) fn current(&self, destination: &Destination, now: Timestamp) -> Option<Refusal> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, refusal) = recent.get(destination)?;
        if *until <= now {
            recent.remove(destination);
            return None;
        }
        Some(Refusal { retry_after: Some(until.since(now)), ..refusal.clone() })
    }

    /// Remembers a failure for as long as it says itself.
    pub(super) fn note(&self, destination: Destination, refusal: &Refusal, now: Timestamp) {
        let Some(pause) = refusal.retry_after else { return };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= SWEEP_ABOVE {
            recent.retain(|_, (until, _)| *until > now);
        }
        recent.insert(destination, (now.plus(pause), refusal.clone()));
    }

    /// Forgets: something has changed (a new secret, an import, an operator's wish).
    pub(super) fn clear(&self, destination: &Destination) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).remove(destination);
    }
}
