//! The faults that wait for their requests.

use super::{Fault, Phase, Target};
use crate::call::Endpoint;
use crate::config::Environment;
use crate::presentation::Subject;

/// Names an injected fault.
pub type FaultId = u64;

#[derive(Debug)]
struct Armed {
    id: FaultId,
    fault: Fault,
}

#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    armed: Vec<Armed>,
    injected: FaultId,
}

/// What is known of a request when a fault is looked for.
pub(crate) struct Moment<'a> {
    pub(crate) phase: Stage,
    pub(crate) environment: Environment,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) subject: Option<&'a Subject>,
}

/// The three points at which faults are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connected,
    Headers,
    Read,
}

impl FaultPlan {
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        self.injected += 1;
        self.armed.push(Armed { id: self.injected, fault });
        self.injected
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The faults that are not used up, oldest first.
    pub(crate) fn pending(&self) -> Vec<(FaultId, Fault)> {
        self.armed.iter().map(|armed| (armed.id, armed.fault.clone())).collect()
    }

    /// Takes the oldest fault that meets the request now.
    pub(crate) fn take(&mut self, moment: &Moment<'_>) -> Option<Fault> {
        let met =
            |armed: &Armed| armed.fault.phase.stage() == moment.phase && armed.fault.target.meets(moment);
        let mut found = None;
        for (index, armed) in self.armed.iter_mut().enumerate() {
            if !met(armed) {
                continue;
            }
            if armed.fault.target.skip == 0 {
                found = Some(index);
                break;
            }
            armed.fault.target.skip -= 1;
        }
        let index = found?;
        let fault = self.armed[index].fault.clone();
        match &mut self.armed[index].fault.times {
            Some(times) if *times > 1 => *times -= 1,
            Some(_) => drop(self.armed.remove(index)),
            None => {}
        }
        Some(fault)
    }
}

impl Target {
    fn meets(&self, moment: &Moment<'_>) -> bool {
        let subject_agrees = |wanted: &Option<String>, found: fn(&Subject) -> &Option<String>| {
            wanted.is_none() || moment.subject.is_some_and(|subject| found(subject) == wanted)
        };
        self.environment.is_none_or(|environment| environment == moment.environment)
            && (moment.endpoint.is_none() || self.endpoint.is_none() || self.endpoint == moment.endpoint)
            && subject_agrees(&self.client_id, |subject| &subject.client_id)
            && subject_agrees(&self.grant_id, |subject| &subject.grant_id)
    }
}

impl Phase {
    fn stage(self) -> Stage {
        match self {
            Self::OnConnect => Stage::Connected,
            Self::BeforeBody => Stage::Headers,
            _ => Stage::Read,
        }
    }
}
