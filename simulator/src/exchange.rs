//! One request on a login or API host, from its headers to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;

use crate::api;
use crate::call::{Call, Endpoint, Host};
use crate::config::Environment;
use crate::fault::{Fault, FaultKind, Moment, Phase, Script, Stage, enact};
use crate::oauth::{self, Processing};
use crate::presentation::{Arrival, Outcome, Subject};
use crate::reply::Reply;
use crate::shared::{Hold, Shared};
use crate::state::State;

/// How a request is answered.
pub(crate) enum Answer {
    /// By HTTP.
    Reply(Reply),
    /// By taking over the connection.
    Script(Script),
}

/// A listener that stands for one of Procore's hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) environment: Environment,
    pub(crate) host: Host,
}

/// Looks for a fault that meets connections of this listener.
pub(crate) fn connected(shared: &Shared, place: Place) -> Option<Script> {
    let mut state = shared.state();
    let moment =
        Moment { phase: Stage::Connected, environment: place.environment, endpoint: None, subject: None };
    let fault = state.faults.take(&moment)?;
    Some(enact(&fault.kind, None, state.now()))
}

/// Answers a request, or prescribes what becomes of its connection.
pub(crate) async fn exchange(
    shared: &Arc<Shared>,
    place: Place,
    remote: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    let Place { environment, host } = place;
    let (parts, body) = request.into_parts();
    let oauth = host == Host::Login || shared.state().knobs.oauth_on_api_host;
    let endpoint = Endpoint::of(host, oauth, parts.uri.path());
    if let Some(script) = unread(shared, environment, endpoint, remote) {
        return Answer::Script(script);
    }
    let call = Call::read((environment, endpoint), remote, parts, body).await;
    let fault = find_fault(&mut shared.state(), &call);
    let latency = shared.state().knobs.latency_ms;
    let answer = match fault {
        Some(fault) => faulty(shared, call, &fault).await,
        None => Answer::Reply(honest(shared, &call, None).await),
    };
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    answer
}

/// Looks for a fault that does not wait for the body.
fn unread(
    shared: &Shared,
    environment: Environment,
    endpoint: Endpoint,
    remote: SocketAddr,
) -> Option<Script> {
    shared.with(|state| {
        let moment = Moment { phase: Stage::Headers, environment, endpoint: Some(endpoint), subject: None };
        let fault = state.faults.take(&moment)?;
        if endpoint == Endpoint::Token {
            let (at_ms, fault) = (state.now_ms(), Some(fault.to_string()));
            let arrival = Arrival { at_ms, environment, remote, fault, continues: None };
            state.log.append(arrival, Subject::default(), Outcome::Unread, None);
        }
        Some(enact(&fault.kind, None, state.now()))
    })
}

fn find_fault(state: &mut State, call: &Call) -> Option<Fault> {
    let subject = oauth::subject(state, call);
    state.faults.take(&Moment {
        phase: Stage::Read,
        environment: call.environment,
        endpoint: Some(call.endpoint),
        subject: Some(&subject),
    })
}

async fn faulty(shared: &Arc<Shared>, call: Call, fault: &Fault) -> Answer {
    let name = Some(fault.to_string());
    let script = |reply| Answer::Script(enact(&fault.kind, reply, shared.state().now()));
    match (fault.phase, &fault.kind) {
        (Phase::BeforeProcessing, FaultKind::Hang(Some(ms))) => {
            let earlier = log_only(shared, &call, Outcome::Held, name.clone());
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            Answer::Reply(process(shared, &call, name, earlier))
        }
        (Phase::ConsumeOnly, _) => {
            if call.endpoint == Endpoint::Token {
                shared.with(|state| {
                    let arrival = arrival(state, &call, name, None);
                    oauth::process(state, &call, arrival, Processing::Consume)
                });
            }
            script(None)
        }
        (Phase::ProcessLater(ms), _) => {
            let earlier = log_only(shared, &call, Outcome::Held, name.clone());
            // Weak, so that a stopped simulator processes nothing more.
            let later = Arc::downgrade(shared);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                if let Some(shared) = later.upgrade() {
                    process(&shared, &call, name, earlier);
                }
            });
            script(None)
        }
        (Phase::AfterProcessing, _) => script(Some(honest(shared, &call, name).await)),
        _ => {
            log_only(shared, &call, Outcome::NotProcessed, name);
            script(None)
        }
    }
}

/// Processes a request, with the wait that a hold imposes on token requests.
async fn honest(shared: &Shared, call: &Call, fault: Option<String>) -> Reply {
    let hold = if call.endpoint == Endpoint::Token { shared.hold() } else { Hold::Off };
    match hold {
        Hold::Off => process(shared, call, fault, None),
        Hold::AfterProcessing => {
            let reply = process(shared, call, fault, None);
            shared.released().await;
            reply
        }
        Hold::BeforeProcessing => {
            let earlier = log_only(shared, call, Outcome::Held, fault.clone());
            shared.released().await;
            process(shared, call, fault, earlier)
        }
    }
}

/// Only token requests are logged.
fn log_only(shared: &Shared, call: &Call, outcome: Outcome, fault: Option<String>) -> Option<u64> {
    (call.endpoint == Endpoint::Token).then(|| {
        shared.with(|state| {
            let arrival = arrival(state, call, fault, None);
            oauth::process(state, call, arrival, Processing::Only(outcome)).0
        })
    })
}

/// Gives a request its effect; a token request is logged in the same critical section.
fn process(shared: &Shared, call: &Call, fault: Option<String>, continues: Option<u64>) -> Reply {
    shared.with(|state| match call.endpoint {
        Endpoint::Token => {
            let arrival = arrival(state, call, fault, continues);
            let (_, reply) = oauth::process(state, call, arrival, Processing::Full);
            reply.expect("full processing answers")
        }
        Endpoint::Api => api::answer(state, call),
        _ => oauth::answer(state, call),
    })
}

fn arrival(state: &State, call: &Call, fault: Option<String>, continues: Option<u64>) -> Arrival {
    let at_ms = state.now_ms();
    Arrival { at_ms, environment: call.environment, remote: call.remote, fault, continues }
}
