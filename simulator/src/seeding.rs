//! What administrators and users do: registering, authorizing, installing, revoking.

#![expect(clippy::must_use_candidate, reason = "these calls are made for their effect")]

use std::collections::BTreeSet;

use crate::config::Environment;
use crate::directory::{ClientCredentials, ClientRegistration};
use crate::ledger::TokenPair;
use crate::simulator::Simulator;

impl Simulator {
    /// Registers a client; production and the monthly sandbox share registrations.
    ///
    /// Registering an id again replaces it.
    pub fn register_client(
        &self,
        environment: Environment,
        registration: ClientRegistration,
    ) -> ClientCredentials {
        self.shared.state().register(environment, registration)
    }

    /// Issues the first pair of a new grant, as if the user had authorized the client for this company.
    ///
    /// User and company come into being as needed, and the app is installed there unless it was uninstalled.
    pub fn grant(&self, environment: Environment, client_id: &str, user: u64, company: u64) -> TokenPair {
        self.shared.state().open_grant(environment, client_id, user, company)
    }

    /// Issues an authorization code, as if the user had just allowed it.
    pub fn authorize(
        &self,
        environment: Environment,
        client_id: &str,
        redirect_uri: &str,
        (user, company): (u64, u64),
    ) -> String {
        self.shared.state().issue_code(environment, client_id, redirect_uri, (user, company))
    }

    /// Resets a client's secret: the old one is dead at once, and so are its tokens. None for a stranger.
    pub fn reset_secret(&self, environment: Environment, client_id: &str) -> Option<ClientCredentials> {
        self.shared.state().reset_secret(environment, client_id)
    }

    /// Suspends a client, as Procore may for a breach of policy, or reinstates it. False for a stranger.
    pub fn suspend_client(&self, environment: Environment, client_id: &str, suspended: bool) -> bool {
        let mut state = self.shared.state();
        let client = state.directory.client_mut(environment, client_id);
        client.map(|client| client.suspended = suspended).is_some()
    }

    /// Installs the app in a company; doing so again empties its permitted projects, unless a knob is turned.
    pub fn install(&self, environment: Environment, client_id: &str, company: u64) {
        let mut state = self.shared.state();
        let empties = state.knobs.reinstall_empties_projects;
        state.directory.install(environment, client_id, company, empties);
    }

    /// Uninstalls the app from a company.
    pub fn uninstall(&self, environment: Environment, client_id: &str, company: u64) {
        self.shared.state().directory.uninstall(environment, client_id, company);
    }

    /// Sets the projects that the app's service account may see in a company where it was installed.
    pub fn permit_projects(
        &self,
        environment: Environment,
        client_id: &str,
        company: u64,
        projects: BTreeSet<u64>,
    ) -> bool {
        let mut state = self.shared.state();
        let key = (environment, client_id.to_owned(), company);
        let installation = state.directory.installations.get_mut(&key);
        installation.map(|installation| installation.permitted_projects = projects).is_some()
    }

    /// Ends a user's grants to a client, as "My Connected Apps" does. Returns how many there were.
    pub fn revoke_user(&self, environment: Environment, client_id: &str, user: u64) -> usize {
        self.shared.state().revoke_user(environment, client_id, user)
    }

    /// Overwrites an environment from production, as happens to the monthly sandbox: its grants are gone.
    pub fn wipe_environment(&self, environment: Environment) {
        self.shared.state().wipe(environment);
    }
}
