//! Faults: which request meets one, when, and what it then sees.

mod bodies;
mod enact;
mod kind;
mod plan;
mod script;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::call::Endpoint;
use crate::config::Environment;

pub(crate) use enact::enact;
pub use kind::{Cut, FaultKind, RetryHint, TornEnd};
pub use plan::FaultId;
pub(crate) use plan::{FaultPlan, Moment, Stage};
pub(crate) use script::Script;

/// A fault to inject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests it meets; by default any token request.
    #[serde(default)]
    pub target: Target,
    /// How many requests it meets before it is used up; none never ends.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// When it strikes.
    #[serde(default)]
    pub phase: Phase,
    /// What the client sees.
    pub kind: FaultKind,
}

/// Which requests a fault meets: all that agree with every member given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Only this environment's hosts.
    pub environment: Option<Environment>,
    /// Only this endpoint; [`Endpoint::Token`] by default. Ignored by [`Phase::OnConnect`].
    pub endpoint: Option<Endpoint>,
    /// Only requests of this client. Unknown before the body is read.
    pub client_id: Option<String>,
    /// Only requests that present a token of this grant. Unknown before the body is read.
    pub grant_id: Option<String>,
    /// Matching requests to let pass first.
    pub skip: u32,
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// When a connection was accepted, before a byte of it is read.
    OnConnect,
    /// When the headers were read, and nothing of the body.
    BeforeBody,
    /// When the request was read. It changes nothing; above all, its refresh token stays good.
    BeforeProcessing,
    /// As before processing, except that the presented refresh token is spent and nothing issued.
    ConsumeOnly,
    /// When the request has had its effect: the answer alone is harmed.
    #[default]
    AfterProcessing,
    /// The client sees the fault at once, and the request has its effect so many milliseconds later.
    ProcessLater(u64),
}

impl Fault {
    /// Harms the answer to the next token request, which has had its effect.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { target: Target::default(), times: once(), phase: Phase::default(), kind }
    }

    /// Strikes in another phase.
    #[must_use]
    pub fn at(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// Meets other requests.
    #[must_use]
    pub fn on(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// Meets so many requests; none never ends.
    #[must_use]
    pub fn times(self, times: impl Into<Option<u32>>) -> Self {
        Self { times: times.into(), ..self }
    }
}

impl Default for Target {
    fn default() -> Self {
        Self { environment: None, endpoint: Some(Endpoint::Token), client_id: None, grant_id: None, skip: 0 }
    }
}

impl Target {
    /// Token requests that present a token of this grant.
    #[must_use]
    pub fn grant(grant_id: &str) -> Self {
        Self { grant_id: Some(grant_id.to_owned()), ..Self::default() }
    }

    /// Any request at this endpoint.
    #[must_use]
    pub fn endpoint(endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..Self::default() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.kind, self.phase)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the member's type")]
fn once() -> Option<u32> {
    Some(1)
}
