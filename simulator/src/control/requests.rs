//! What each control request does.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Mistake, ok, table};
use crate::config::{ClientSeed, Environment};
use crate::fault::{Fault, FaultId};
use crate::ledger::GrantState;
use crate::reply::Reply;
use crate::shared::{Hold, Shared};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientName {
    environment: Environment,
    client_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Suspension {
    environment: Environment,
    client_id: String,
    #[serde(default = "yes")]
    suspended: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrant {
    environment: Environment,
    client_id: String,
    user: u64,
    company: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserName {
    environment: Environment,
    client_id: String,
    user: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompanyChange {
    environment: Environment,
    client_id: String,
    /// For `projects` alone.
    #[serde(default)]
    projects: BTreeSet<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvironmentName {
    environment: Environment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldRequest {
    hold: Hold,
}

pub(super) fn log(shared: &Shared, query: &[(String, String)]) -> Result<Reply, Mistake> {
    let given = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let since: u64 = given("since")
        .map_or(Ok(0), str::parse)
        .map_err(|_| Mistake::bad("since must be the number of an entry"))?;
    let state = shared.state();
    let entries: Vec<_> = state.log.entries().iter().filter(|entry| entry.seq > since).collect();
    match given("format").unwrap_or("json") {
        "json" => Ok(ok(&entries)),
        "table" => Ok(Reply::new(StatusCode::OK, "text/plain; charset=utf-8", table::render(&entries))),
        _ => Err(Mistake::bad("format must be json or table")),
    }
}

/// Replaces the members that the patch names.
pub(super) fn patch_knobs(shared: &Shared, patch: Map<String, Value>) -> Result<Reply, Mistake> {
    let mut state = shared.state();
    let mut knobs = serde_json::to_value(&state.knobs).expect("knobs have only string keys");
    knobs.as_object_mut().expect("knobs are an object").extend(patch);
    state.knobs = serde_json::from_value(knobs).map_err(|error| Mistake::bad(error.to_string()))?;
    Ok(ok(&state.knobs))
}

pub(super) fn state(shared: &Shared) -> Reply {
    let state = shared.state();
    let grants: Vec<GrantState> =
        state.ledger.grants.keys().filter_map(|id| state.ledger.grant_state(id)).collect();
    let clients: Vec<_> = state
        .directory
        .clients
        .iter()
        .map(|((environment, id), client)| {
            json!({
                "environment": environment, "client_id": id, "name": client.name,
                "suspended": client.suspended,
            })
        })
        .collect();
    let installations: Vec<_> = state
        .directory
        .installations
        .iter()
        .map(|((environment, client_id, company), installation)| {
            json!({
                "environment": environment, "client_id": client_id, "company": company,
                "installation": installation,
            })
        })
        .collect();
    ok(&json!({
        "clients": clients, "grants": grants, "installations": installations, "hold": shared.hold(),
        "presentations": state.log.entries().len(),
    }))
}

pub(super) fn register(shared: &Shared, seed: ClientSeed) -> Reply {
    Reply::json(StatusCode::CREATED, &shared.state().register(seed.environment, seed.client))
}

pub(super) fn suspend(shared: &Shared, change: &Suspension) -> Result<Reply, Mistake> {
    let mut state = shared.state();
    let client = state.directory.client_mut(change.environment, &change.client_id);
    client.ok_or_else(|| Mistake::unknown("client"))?.suspended = change.suspended;
    Ok(ok(&json!({"suspended": change.suspended})))
}

pub(super) fn reset_secret(shared: &Shared, client: &ClientName) -> Result<Reply, Mistake> {
    let reset = shared.state().reset_secret(client.environment, &client.client_id);
    reset.map(|credentials| ok(&credentials)).ok_or_else(|| Mistake::unknown("client"))
}

pub(super) fn grant(shared: &Shared, new: &NewGrant) -> Result<Reply, Mistake> {
    let mut state = shared.state();
    if state.directory.client(new.environment, &new.client_id).is_none() {
        return Err(Mistake::unknown("client"));
    }
    let pair = state.open_grant(new.environment, &new.client_id, new.user, new.company);
    Ok(Reply::json(StatusCode::CREATED, &pair))
}

pub(super) fn grant_state(shared: &Shared, id: &str) -> Result<Reply, Mistake> {
    shared.state().ledger.grant_state(id).map(|grant| ok(&grant)).ok_or_else(|| Mistake::unknown("grant"))
}

pub(super) fn revoke_user(shared: &Shared, who: &UserName) -> Reply {
    ok(&json!({"grants": shared.state().revoke_user(who.environment, &who.client_id, who.user)}))
}

pub(super) fn company(
    shared: &Shared,
    company: &str,
    action: &str,
    change: CompanyChange,
) -> Result<Reply, Mistake> {
    let company = company.parse().map_err(|_| Mistake::bad("the company must be a number"))?;
    let CompanyChange { environment, client_id, projects } = change;
    let mut state = shared.state();
    let empties = state.knobs.reinstall_empties_projects;
    match action {
        "install" => state.directory.install(environment, &client_id, company, empties),
        "uninstall" => state.directory.uninstall(environment, &client_id, company),
        "projects" => {
            let key = (environment, client_id.clone(), company);
            let installation = state.directory.installations.get_mut(&key);
            installation.ok_or_else(|| Mistake::unknown("installation"))?.permitted_projects = projects;
        }
        _ => return Err(Mistake::bad("the action must be install, uninstall or projects")),
    }
    Ok(ok(&state.directory.installation(environment, &client_id, company)))
}

pub(super) fn wipe(shared: &Shared, name: &EnvironmentName) -> Reply {
    shared.state().wipe(name.environment);
    ok(&json!({"wiped": name.environment}))
}

pub(super) fn faults(shared: &Shared) -> Vec<(FaultId, Fault)> {
    shared.state().faults.pending()
}

pub(super) fn inject(shared: &Shared, fault: Fault) -> Reply {
    Reply::json(StatusCode::CREATED, &json!({"id": shared.state().faults.inject(fault)}))
}

pub(super) fn hold(shared: &Shared, request: &HoldRequest) -> Reply {
    shared.set_hold(request.hold);
    ok(&json!({"hold": request.hold}))
}

fn yes() -> bool {
    true
}
