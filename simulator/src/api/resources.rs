//! The resources.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::Caller;
use super::rules::errors;
use crate::directory::{Installation, projects_of};
use crate::reply::Reply;
use crate::state::State;

/// The directory user that stands for an app; larger than 32 bits, as Procore's ids may be.
const SERVICE_ACCOUNT: u64 = 562_949_953_421_312;

pub(super) fn me(caller: &Caller<'_>) -> Reply {
    let (id, name) = match caller.token.user {
        Some(user) => (user, format!("user-{user}")),
        None => (SERVICE_ACCOUNT, "service-account".to_owned()),
    };
    Reply::json(StatusCode::OK, &json!({"id": id, "login": format!("{name}@example.com"), "name": name}))
}

/// A person's companies, or those a service account's app is installed in.
pub(super) fn companies(state: &State, caller: &Caller<'_>) -> Reply {
    let environment = caller.call.environment;
    let all = state.directory.companies.get(&environment).into_iter().flatten();
    let list: Vec<_> = all
        .filter(|company| match caller.token.user {
            Some(_) => is_member(state, caller, **company),
            None => state.directory.is_connected(environment, &caller.token.client_id, **company),
        })
        .map(|company| {
            json!({
                "id": company, "name": format!("Company {company}"), "is_active": true, "logo_url": null,
                "pcn_business_experience": null, "my_company": true,
            })
        })
        .collect();
    Reply::json(StatusCode::OK, &list)
}

/// Manages installation and so answers members of companies that the app is not connected to.
pub(super) fn installations(state: &State, caller: &Caller<'_>) -> Result<Reply, Reply> {
    let company = member_company(state, caller)?;
    let found = state.directory.installation(caller.call.environment, &caller.token.client_id, company);
    let list: Vec<_> =
        found.into_iter().map(|installation| installation_json(installation, company)).collect();
    Ok(Reply::json(StatusCode::OK, &list))
}

/// Shows one installation, or first changes its status as the body says.
pub(super) fn installation(
    state: &mut State,
    caller: &Caller<'_>,
    id: &str,
    change: Option<&[u8]>,
) -> Result<Reply, Reply> {
    let company = member_company(state, caller)?;
    let (environment, client) = (caller.call.environment, &caller.token.client_id);
    let named = |state: &State| {
        state
            .directory
            .installation(environment, client, company)
            .cloned()
            .filter(|found| id.parse() == Ok(found.id))
    };
    let found = named(state).ok_or_else(Reply::not_found)?;
    if let Some(body) = change {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let empties = state.knobs.reinstall_empties_projects;
        match body.pointer("/app_installation/status").and_then(Value::as_str) {
            Some("installed") if found.installed => {}
            Some("installed") => state.directory.install(environment, client, company, empties),
            Some("uninstalled") => state.directory.uninstall(environment, client, company),
            _ => return Err(errors(StatusCode::BAD_REQUEST, "status must be installed or uninstalled")),
        }
    }
    let found = named(state).ok_or_else(Reply::not_found)?;
    Ok(Reply::json(StatusCode::OK, &installation_json(&found, company)))
}

pub(super) fn projects(state: &State, caller: &Caller<'_>) -> Result<Reply, Reply> {
    let company = connected_company(state, caller)?;
    let visible = visible_projects(state, caller, company);
    let list: Vec<_> = visible.into_iter().map(|project| project_json(project, company)).collect();
    Ok(Reply::json(StatusCode::OK, &list))
}

/// What the caller may not see does not exist, as Procore prefers to put it.
pub(super) fn project(state: &State, caller: &Caller<'_>, id: &str) -> Result<Reply, Reply> {
    let company = connected_company(state, caller)?;
    let visible = visible_projects(state, caller, company);
    let project = id.parse().ok().filter(|id| visible.contains(id)).ok_or_else(Reply::not_found)?;
    Ok(Reply::json(StatusCode::OK, &project_json(project, company)))
}

fn visible_projects(state: &State, caller: &Caller<'_>, company: u64) -> BTreeSet<u64> {
    if caller.token.user.is_some() {
        return projects_of(company).into();
    }
    let found = state.directory.installation(caller.call.environment, &caller.token.client_id, company);
    found.map(|installation| installation.permitted_projects.clone()).unwrap_or_default()
}

/// The company asked for, if the app is connected to it and the caller belongs there.
fn connected_company(state: &State, caller: &Caller<'_>) -> Result<u64, Reply> {
    let company = required_company(caller)?;
    if !state.directory.is_connected(caller.call.environment, &caller.token.client_id, company) {
        let status = StatusCode::from_u16(state.knobs.not_connected_status).unwrap_or(StatusCode::FORBIDDEN);
        return Err(errors(status, "App is not connected to this company."));
    }
    member_company(state, caller)
}

fn member_company(state: &State, caller: &Caller<'_>) -> Result<u64, Reply> {
    let company = required_company(caller)?;
    if is_member(state, caller, company) {
        return Ok(company);
    }
    Err(errors(StatusCode::FORBIDDEN, "You do not have permission to access this company"))
}

/// Where header and query both name a company, the header counts.
fn required_company(caller: &Caller<'_>) -> Result<u64, Reply> {
    caller.company.ok_or_else(|| errors(StatusCode::BAD_REQUEST, "company_id is missing"))
}

/// A service account belongs wherever its app does.
fn is_member(state: &State, caller: &Caller<'_>, company: u64) -> bool {
    caller.token.user.is_none_or(|user| {
        let companies = state.directory.memberships.get(&(caller.call.environment, user));
        companies.is_some_and(|companies| companies.contains(&company))
    })
}

fn installation_json(installation: &Installation, company: u64) -> Value {
    let status = if installation.installed { "installed" } else { "uninstalled" };
    json!({"id": installation.id, "status": status, "company": {"id": company}})
}

fn project_json(project: u64, company: u64) -> Value {
    json!({"id": project, "name": format!("Project {project}"), "company": {"id": company}})
}
