//! What a fleet serves: a tenant, apps, and connections whose every token the checker can follow.

use futures_util::{StreamExt as _, stream};
use procore_simulator::{ClientCredentials, ClientRegistration, Environment, Fault, Simulator, Target};
use token_broker_proto::v1::{Connection, ImportConnectionRequest, OAuthClient, connection::GrantType};

use super::{
    Caller, Fleet,
    settings::{PROFILE, SANDBOX},
};

const TENANT: &str = "tenants/faults";
const COMPANY: u64 = 4242;

/// A connection.
#[derive(Clone, Debug)]
pub struct Known {
    /// `tenants/*/connections/*`.
    pub name: String,
    /// What the provider calls its authorisations, and the broker's generation of each one's first pair; oldest first.
    pub grants: Vec<(String, u64)>,
    /// The newest authorisation's first refresh token.
    pub refresh_token: String,
}

/// An app at the provider, and the OAuth client that stands for it.
#[derive(Clone)]
pub struct App {
    /// `tenants/*/oauthClients/*`.
    pub name: String,
    /// What the provider knows it by.
    pub client: ClientCredentials,
}

impl Known {
    /// What the provider calls its newest authorisation.
    pub fn grant_id(&self) -> &str {
        &self.grants.last().expect("authorised once").0
    }

    /// The broker's generation of the newest authorisation's first pair.
    pub fn first(&self) -> u64 {
        self.grants.last().expect("authorised once").1
    }

    /// A fault that meets only this connection's refreshes.
    pub fn meets(&self, fault: Fault) -> Fault {
        fault.on(Target::grant(self.grant_id()))
    }
}

impl Fleet {
    /// The tenant of this fleet.
    pub async fn tenant(&self, caller: &Caller) {
        caller.create_tenant(TENANT.trim_start_matches("tenants/")).await;
    }

    /// An app at the simulator's sandbox, with its OAuth client.
    pub async fn app(&self, caller: &Caller, id: &str) -> App {
        let registration = ClientRegistration { client_credentials: true, ..ClientRegistration::default() };
        let client = self.simulator.register_client(Environment::Sandbox, registration);
        let oauth_client = OAuthClient {
            provider: PROFILE.to_owned(),
            environment: SANDBOX.to_owned(),
            client_id: client.client_id.clone(),
            ..Default::default()
        };
        let name = format!("{TENANT}/oauthClients/{id}");
        caller.create_client(TENANT, id, oauth_client).await;
        caller.add_secret(&name, &client.client_secret).await;
        App { name, client }
    }

    /// So many connections whose access tokens have expired, and whose refresh tokens were never used.
    pub async fn connections(&self, caller: &Caller, app: &App, prefix: &str, count: usize) -> Vec<Known> {
        let known: Vec<_> = stream::iter(0..count)
            .map(|index| connection(&self.simulator, caller, app, format!("{prefix}-{index}")))
            .buffered(8)
            .collect()
            .await;
        self.known.lock().unwrap().extend(known.iter().cloned());
        known
    }

    /// One of them.
    pub async fn connection(&self, caller: &Caller, app: &App, id: &str) -> Known {
        let known = connection(&self.simulator, caller, app, id.to_owned()).await;
        self.known.lock().unwrap().push(known.clone());
        known
    }

    /// A person authorises it anew. `false`: not now.
    pub async fn reauthorise(&self, caller: &Caller, app: &App, name: &str) -> bool {
        let before = self.rows().await.grants[name].clone();
        let Some((refresh_token, (grant_id, answered))) = import(&self.simulator, caller, app, name).await
        else {
            return false;
        };
        // The answer is as the connection is by then: whoever waits for a token may have had it refreshed.
        let first = self.rows().await.grants[name]
            .attempts
            .iter()
            .filter(|attempt| attempt.generation > before.generation)
            .filter(|attempt| !before.attempts.iter().any(|known| known.id == attempt.id))
            .fold(answered, |first, attempt| first.min(attempt.generation));
        let mut known = self.known.lock().unwrap();
        let known = known.iter_mut().find(|known| known.name == name).expect("a connection of this fleet");
        known.grants.push((grant_id, first));
        known.refresh_token = refresh_token;
        true
    }

    /// What the checker will ask about.
    pub fn known(&self) -> Vec<Known> {
        self.known.lock().unwrap().clone()
    }
}

async fn connection(simulator: &Simulator, caller: &Caller, app: &App, id: String) -> Known {
    let name = format!("{TENANT}/connections/{id}");
    let connection = Connection {
        oauth_client: app.name.clone(),
        grant_type: GrantType::AuthorizationCode.into(),
        account_id: COMPANY.to_string(),
        ..Default::default()
    };
    caller.create_connection(TENANT, &id, connection).await;
    let (refresh_token, grant) = import(simulator, caller, app, &name).await.expect("a first import");
    Known { name, grants: vec![grant], refresh_token }
}

async fn import(
    simulator: &Simulator,
    caller: &Caller,
    app: &App,
    name: &str,
) -> Option<(String, (String, u64))> {
    let pair = simulator.grant(Environment::Sandbox, &app.client.client_id, 7, COMPANY);
    let import = ImportConnectionRequest {
        name: name.to_owned(),
        refresh_token: pair.refresh_token.clone(),
        access_token: pair.access_token,
        access_token_expire_time: Some(prost_types::Timestamp { seconds: pair.created_at - 1, nanos: 0 }),
    };
    let first = caller.try_import(import).await.ok()?.generation;
    Some((pair.refresh_token, (pair.grant_id, first)))
}
