//! An API host: enough REST to see whether tokens, installations and limits behave.

pub(crate) mod limiter;
mod resources;
mod rules;

use http::Method;

use crate::call::Call;
use crate::ledger::AccessToken;
use crate::reply::Reply;
use crate::state::State;

/// A request with a live access token.
struct Caller<'a> {
    call: &'a Call,
    token: AccessToken,
    /// The company of header, query or path.
    company: Option<u64>,
}

/// Answers a request on an API host.
pub(crate) fn answer(state: &mut State, call: &Call) -> Reply {
    let allowance = rules::rate(state, call);
    let reply = match &allowance {
        Some(allowance) if allowance.exceeded => rules::too_many(state, allowance),
        _ => admitted(state, call).unwrap_or_else(|refusal| refusal),
    };
    match allowance {
        Some(allowance) => allowance.headers(reply),
        None => reply,
    }
}

fn admitted(state: &mut State, call: &Call) -> Result<Reply, Reply> {
    let token = rules::authenticate(state, call)?;
    let segments: Vec<_> = call.path.trim_matches('/').split('/').collect();
    let [_, _, resource @ ..] = segments.as_slice() else { return Err(Reply::not_found()) };
    let company = rules::company_header(state, call, &token, resource)?;
    let caller = Caller { call, token, company };
    match (&call.method, resource) {
        (&Method::GET, ["me"]) => Ok(resources::me(&caller)),
        (&Method::GET, ["companies"]) => Ok(resources::companies(state, &caller)),
        (&Method::GET, ["app_installations"]) => resources::installations(state, &caller),
        (&Method::GET, ["app_installations", id]) => resources::installation(state, &caller, id, None),
        (&Method::PATCH, ["app_installations", id]) => {
            resources::installation(state, &caller, id, Some(&call.body))
        }
        (&Method::GET, ["projects"]) => resources::projects(state, &caller),
        (&Method::GET, ["projects", id]) => resources::project(state, &caller, id),
        _ => Err(Reply::not_found()),
    }
}
