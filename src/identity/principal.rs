//! Callers, and how they are recognised.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::Access;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// As it appears in the audit table, e.g. `static:billing`.
    pub name: String,
    /// Stands for the name where it is compared often: a hash of it, never 0.
    pub id: u64,
    /// What it may do.
    pub role: Role,
}

/// What a principal may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Operator,
    /// Gets tokens of these tenants (their ids), and nothing else.
    Consumer(HashSet<String>),
}

/// A caller known by the hash of a bearer credential: for `dev`, and on loopback by an explicit setting.
#[derive(Clone, Debug)]
pub struct StaticIdentity {
    /// SHA-256 of the credential: the configuration holds nothing that could be presented.
    pub credential_sha256: [u8; 32],
    /// Who that is.
    pub principal: Principal,
}

/// Recognises callers. Workload identity (mutual TLS, Kubernetes tokens) plugs in here, as further variants.
#[derive(Clone, Debug, Default)]
pub enum Authenticator {
    /// Nobody is known: the default.
    #[default]
    DenyAll,
    /// Static credentials.
    Static(HashMap<[u8; 32], Arc<Principal>>),
}

impl Principal {
    /// A caller of this name.
    #[must_use]
    pub fn new(name: String, role: Role) -> Self {
        let hash = Sha256::digest(&name);
        let id = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self { name, id: id | 1, role }
    }

    /// Whether this principal may call a method of that kind at all.
    #[must_use]
    pub fn may(&self, access: Access) -> bool {
        match access {
            Access::Public | Access::Consumer => true,
            Access::Operator => self.role == Role::Operator,
        }
    }

    /// Whether it may have tokens of this tenant.
    #[must_use]
    pub fn may_consume(&self, tenant: &str) -> bool {
        match &self.role {
            Role::Operator => true,
            Role::Consumer(tenants) => tenants.contains(tenant),
        }
    }
}

impl Authenticator {
    /// Knows these callers and nobody else.
    #[must_use]
    pub fn of(identities: impl IntoIterator<Item = StaticIdentity>) -> Self {
        let known: HashMap<_, _> = identities
            .into_iter()
            .map(|identity| (identity.credential_sha256, Arc::new(identity.principal)))
            .collect();
        if known.is_empty() { Self::DenyAll } else { Self::Static(known) }
    }

    /// Whose credential this is. The lookup is by hash: its timing tells nothing about the credential.
    #[must_use]
    pub fn authenticate(&self, headers: &http::HeaderMap) -> Option<&Arc<Principal>> {
        let Self::Static(known) = self else { return None };
        let credential = headers.get(http::header::AUTHORIZATION)?.as_bytes();
        let (scheme, credential) = credential.split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return None;
        }
        known.get(&<[u8; 32]>::from(Sha256::digest(credential)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn known() -> Authenticator {
        let principal = Principal::new("static:billing".into(), Role::Consumer(["acme".into()].into()));
        Authenticator::of([StaticIdentity { credential_sha256: Sha256::digest(b"right").into(), principal }])
    }

    fn with(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::header::AUTHORIZATION, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn only_the_right_credential_is_recognised() {
        assert_eq!(known().authenticate(&with("Bearer right")).unwrap().name, "static:billing");
        assert!(known().authenticate(&with("bearer right")).is_some());
        for wrong in
            ["Bearer wrong", "Bearer ", "Bearer", "right", "Basic right", "Bearer  right", "Bearer right "]
        {
            assert!(known().authenticate(&with(wrong)).is_none(), "{wrong:?}");
        }
        assert!(known().authenticate(&HeaderMap::new()).is_none());
        assert!(Authenticator::default().authenticate(&with("Bearer right")).is_none());
    }

    #[test]
    fn a_consumer_gets_tokens_of_its_tenants_and_nothing_else() {
        let known = known();
        let principal = known.authenticate(&with("Bearer right")).unwrap();
        assert!(principal.may_consume("acme") && !principal.may_consume("other"));
        assert!(principal.may(Access::Consumer) && !principal.may(Access::Operator));
    }
}
