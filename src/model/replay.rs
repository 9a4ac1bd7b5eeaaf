//! When the token of a doubtful attempt may be presented again: the only decision whose safety rests on time.

use std::time::Duration;

use super::Timestamp;

/// What a provider lets happen with a refresh token that was presented before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplayPolicy {
    /// A second presentation is refused, or ends the grant.
    Never,
    /// The token does not rotate.
    Reusable,
    /// It stays good until its successor is presented.
    UntilSuccessorUsed,
    /// It stays good for a while after its first presentation. A pair can be lost where the provider is slower
    /// than it says.
    TimedWindow {
        /// What the provider promises, less the clocks' difference.
        length: Duration,
    },
}

/// How it is known that the holder of an attempt sends nothing any more. A holder's silence is no proof: a
/// paused process wakes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HolderGone {
    /// The holder itself has given up.
    SaidSo,
    /// Its process is known to have ended.
    ProcessEnded,
}

/// How long a presentation can be under way at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delays {
    /// From the burn to the last moment at which the body lets the token out.
    pub body_deadline: Duration,
    /// Of the whole exchange.
    pub total_timeout: Duration,
    /// The profile's: how long the provider may work on a request that nobody waits for.
    pub longest_processing: Duration,
}

impl Delays {
    /// After this nothing of the presentation is in flight.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.body_deadline.saturating_add(self.total_timeout).saturating_add(self.longest_processing)
    }
}

impl ReplayPolicy {
    /// Until when the token burnt at `burnt_at` may be presented again, if it may at all: the holder is surely
    /// gone, nothing is in flight, and the profile has a window that is still open.
    #[must_use]
    pub fn spend_before(
        self,
        holder: Option<HolderGone>,
        delays: Delays,
        burnt_at: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        holder?;
        let ends = match self {
            Self::Never => return None,
            Self::Reusable | Self::UntilSuccessorUsed => Timestamp::from_micros(i64::MAX),
            Self::TimedWindow { length } => burnt_at.plus(length),
        };
        (now.since(burnt_at) > delays.total() && now < ends).then_some(ends)
    }
}
