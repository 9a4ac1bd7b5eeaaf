//! The endpoints of a login host.

mod authorize;
mod client_credentials;
mod code;
mod consent;
mod info;
mod refresh;
mod refusal;
mod revoke;
mod token;

use http::Method;

use crate::call::{Call, Endpoint};
use crate::reply::Reply;
use crate::state::State;

pub(crate) use token::{Processing, process, subject};

/// Answers everything on a login host but the token endpoint.
pub(crate) fn answer(state: &mut State, call: &Call) -> Reply {
    match (call.endpoint, &call.method) {
        (Endpoint::Authorize, &Method::GET) if call.path.ends_with("/native") => consent::native(call),
        (Endpoint::Authorize, &Method::GET) => authorize::ask(state, call),
        (Endpoint::Authorize, &Method::POST) => authorize::decide(state, call),
        (Endpoint::TokenInfo, &Method::GET) => info::answer(state, call),
        (Endpoint::Revoke, &Method::POST) => revoke::answer(state, call),
        (Endpoint::Unknown, _) => Reply::not_found(),
        _ => Reply::method_not_allowed(),
    }
}
