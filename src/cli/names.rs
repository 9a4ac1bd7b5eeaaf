//! Short forms of names: `acme` for `tenants/acme`, `acme/main` for `tenants/acme/connections/main`.

use crate::model::{ConnectionName, InvalidName, OauthClientName, TenantName};

/// `acme`, or in full.
pub(super) fn tenant(text: &str) -> Result<TenantName, InvalidName> {
    if text.contains('/') { text.parse() } else { format!("tenants/{text}").parse() }
}

/// `acme/main`, or in full.
pub(super) fn connection(text: &str) -> Result<ConnectionName, InvalidName> {
    match pair(text) {
        Some((tenant, connection)) => format!("tenants/{tenant}/connections/{connection}").parse(),
        None => text.parse().map_err(|error| match error {
            InvalidName::Form(_) => InvalidName::Form("{tenant}/{connection}"),
            InvalidName::Id => error,
        }),
    }
}

/// `procore` for a shared one, `acme/procore` for a tenant's own, or in full.
pub(super) fn oauth_client(text: &str) -> Result<OauthClientName, InvalidName> {
    match pair(text) {
        Some(("oauthClients", _)) => text.parse(),
        Some((tenant, client)) => format!("tenants/{tenant}/oauthClients/{client}").parse(),
        None if text.contains('/') => text.parse(),
        None => format!("oauthClients/{text}").parse(),
    }
}

/// Two segments, unless they begin a full name: `tenants/acme` names a tenant.
fn pair(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(first, second)| *first != "tenants" && !second.contains('/'))
}
