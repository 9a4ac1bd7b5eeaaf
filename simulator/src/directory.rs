//! Clients, companies and installations: what an administrator sees.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::Environment;

/// What a developer enters for an app.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientRegistration {
    /// Name on the consent page.
    pub name: String,
    /// Exact redirect URIs; by default `http://localhost` and the out-of-band URN.
    pub redirect_uris: Vec<String>,
    /// Whether the app has a Data Connector component, hence may use `client_credentials`.
    pub client_credentials: bool,
    /// A fixed client id instead of a minted one.
    pub client_id: Option<String>,
    /// A fixed secret instead of a minted one.
    pub client_secret: Option<String>,
}

/// A client's pair, as shown once in the developer portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCredentials {
    /// Public identifier.
    pub client_id: String,
    /// The current secret.
    pub client_secret: String,
}

/// The out-of-band redirect URI, which shows the code on a page (`oauth_auth_grant_flow`).
pub const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) service_account: bool,
    pub(crate) secret: String,
    pub(crate) suspended: bool,
}

/// An app's state in one company.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Installation {
    pub(crate) id: u64,
    pub(crate) installed: bool,
    /// Projects the app's service account may see.
    pub(crate) permitted_projects: BTreeSet<u64>,
}

/// Environment, client id, company id.
pub(crate) type InstallationKey = (Environment, String, u64);

#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Keyed by credential store and client id.
    pub(crate) clients: BTreeMap<(Environment, String), Client>,
    pub(crate) companies: BTreeMap<Environment, BTreeSet<u64>>,
    /// Companies of each user.
    pub(crate) memberships: BTreeMap<(Environment, u64), BTreeSet<u64>>,
    pub(crate) installations: BTreeMap<InstallationKey, Installation>,
    minted_installations: u64,
}

impl Default for ClientRegistration {
    fn default() -> Self {
        Self {
            name: "Simulated App".to_owned(),
            redirect_uris: vec!["http://localhost".to_owned(), OUT_OF_BAND.to_owned()],
            client_credentials: true,
            client_id: None,
            client_secret: None,
        }
    }
}

impl Directory {
    pub(crate) fn client(&self, environment: Environment, client_id: &str) -> Option<&Client> {
        self.clients.get(&(environment.credential_store(), client_id.to_owned()))
    }

    pub(crate) fn client_mut(&mut self, environment: Environment, client_id: &str) -> Option<&mut Client> {
        self.clients.get_mut(&(environment.credential_store(), client_id.to_owned()))
    }

    /// Whether the pair is right and the client in good standing.
    pub(crate) fn authenticates(&self, environment: Environment, client_id: &str, secret: &str) -> bool {
        self.client(environment, client_id).is_some_and(|client| !client.suspended && client.secret == secret)
    }

    /// Makes the user a member of the company, and installs the app there unless that was ever decided.
    pub(crate) fn enrol(&mut self, environment: Environment, client_id: &str, user: u64, company: u64) {
        self.memberships.entry((environment, user)).or_default().insert(company);
        if self.installation(environment, client_id, company).is_none() {
            self.install(environment, client_id, company, false);
        }
    }

    pub(crate) fn installation(
        &self,
        environment: Environment,
        client_id: &str,
        company: u64,
    ) -> Option<&Installation> {
        self.installations.get(&(environment, client_id.to_owned(), company))
    }

    /// Installs the app; a first installation permits every project, a further one as `empties` says.
    pub(crate) fn install(&mut self, environment: Environment, client_id: &str, company: u64, empties: bool) {
        self.companies.entry(environment).or_default().insert(company);
        self.minted_installations += 1;
        let id = self.minted_installations;
        self.installations
            .entry((environment, client_id.to_owned(), company))
            .and_modify(|installation| {
                installation.installed = true;
                if empties {
                    installation.permitted_projects.clear();
                }
            })
            .or_insert_with(|| Installation {
                id,
                installed: true,
                permitted_projects: projects_of(company).into(),
            });
    }

    pub(crate) fn uninstall(&mut self, environment: Environment, client_id: &str, company: u64) {
        if self.installation(environment, client_id, company).is_none() {
            self.install(environment, client_id, company, false);
        }
        let key = (environment, client_id.to_owned(), company);
        self.installations.get_mut(&key).expect("installed just above").installed = false;
    }

    pub(crate) fn is_connected(&self, environment: Environment, client_id: &str, company: u64) -> bool {
        self.installation(environment, client_id, company).is_some_and(|installation| installation.installed)
    }

    /// Makes `to` a copy of `from` in companies, members and installations.
    pub(crate) fn copy_environment(&mut self, from: Environment, to: Environment) {
        self.companies.insert(to, self.companies.get(&from).cloned().unwrap_or_default());
        recopy(&mut self.memberships, |key| key.0 == from, |key| key.0 == to, |key| (to, key.1));
        recopy(
            &mut self.installations,
            |key| key.0 == from,
            |key| key.0 == to,
            |key| (to, key.1.clone(), key.2),
        );
    }
}

/// Replaces the entries whose keys are `stale` by copies of those whose keys are `source`, under new keys.
fn recopy<K: Ord, V: Clone>(
    map: &mut BTreeMap<K, V>,
    source: impl Fn(&K) -> bool,
    stale: impl Fn(&K) -> bool,
    rekey: impl Fn(&K) -> K,
) {
    map.retain(|key, _| !stale(key));
    let copies: Vec<_> =
        map.iter().filter(|(key, _)| source(key)).map(|(key, value)| (rekey(key), value.clone())).collect();
    map.extend(copies);
}

/// The two projects every company has.
pub(crate) fn projects_of(company: u64) -> [u64; 2] {
    [company.wrapping_mul(10) + 1, company.wrapping_mul(10) + 2]
}
