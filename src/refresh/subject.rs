//! Everything about a connection that a refresh must know, read at one moment.

use std::{collections::HashMap, sync::Arc};

use secrecy::SecretString;

use crate::{
    error::{Reason, Refusal},
    model::{Connection, ConnectionName, GrantType, OauthClient, OauthClientUid},
    provider::{ClientCredentials, Environment, Profile, Rotation},
    seal,
    store::{KeyScope, Store},
};

/// A connection with its OAuth client and where its provider lives.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The connection.
    pub connection: Connection,
    /// What it goes through.
    pub client: OauthClient,
    /// How the provider behaves.
    pub profile: Arc<Profile>,
    /// Where the provider lives in this client's environment.
    pub endpoints: Environment,
    /// For replies.
    pub api_base_uri: String,
    /// For replies: what the provider wants beside the bearer token.
    pub request_headers: Vec<(String, String)>,
    /// Keyed hash of (token endpoint, client id): a refresh token goes nowhere else.
    pub endpoint: [u8; 32],
}

impl Subject {
    /// The tenant's id, for bindings.
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        self.connection.name.tenant.tenant.as_str()
    }

    /// The host that is asked for tokens.
    #[must_use]
    pub fn token_host(&self) -> String {
        self.endpoints.token_endpoint.origin().ascii_serialization()
    }

    /// Whether the provider replaces refresh tokens.
    #[must_use]
    pub fn rotates(&self) -> bool {
        self.profile.rotation == Rotation::Rotating
    }

    /// What the client says of itself, with its current secret.
    #[must_use]
    pub fn credentials(&self, secret: SecretString) -> ClientCredentials {
        ClientCredentials { id: self.client.client_id.clone(), secret }
    }

    /// Whose keys seal this connection's tokens.
    #[must_use]
    pub const fn key_scope(&self) -> KeyScope {
        KeyScope::Tenant(self.connection.tenant_uid)
    }

    /// Whether this connection shares the lease of that client.
    #[must_use]
    pub fn is_lease_of(&self, client: OauthClientUid) -> bool {
        self.connection.grant_type == GrantType::ClientCredentials && self.client.uid == client
    }

    /// Whether this tenant may have the client's client-credentials token (P3). It reaches every company that
    /// installed the app: nobody gets it without being named.
    #[must_use]
    pub fn may_share_lease(&self) -> bool {
        let tenant = &self.connection.name.tenant;
        self.client.name.tenant.as_ref() == Some(tenant)
            || self.client.client_credentials_tenants.contains(tenant)
    }
}

/// Looks subjects up.
#[derive(Clone)]
pub struct Directory {
    store: Arc<dyn Store>,
    profiles: Arc<HashMap<String, Arc<Profile>>>,
}

impl Directory {
    /// Of these profiles, by name.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, profiles: impl IntoIterator<Item = Profile>) -> Self {
        let profiles =
            profiles.into_iter().map(|profile| (profile.name.clone(), Arc::new(profile))).collect();
        Self { store, profiles: Arc::new(profiles) }
    }

    /// A profile with the endpoints of one of its environments.
    #[must_use]
    pub fn provider(&self, name: &str, environment: &str) -> Option<(Arc<Profile>, Environment)> {
        let profile = self.profiles.get(name)?;
        let endpoints = profile.environments.get(environment)?.clone();
        Some((profile.clone(), endpoints))
    }

    /// Reads a connection with what it depends on. Absent ones are `NotFound`; who may know that is the
    /// caller's business.
    pub async fn subject(&self, name: &ConnectionName) -> Result<Subject, Refusal> {
        let (connection, client) =
            self.store.connection_and_client(name).await?.ok_or(Refusal::new(Reason::NotFound))?;
        let Some((profile, endpoints)) = self.provider(&client.provider, &client.environment) else {
            tracing::error!(provider = client.provider, environment = client.environment, "profile.missing");
            return Err(Refusal::new(Reason::EndpointChanged));
        };
        let request_headers = profile
            .request_headers(&connection.account_id)
            .map_err(|error| Refusal::because(Reason::EndpointChanged, &error))?;
        Ok(Subject {
            endpoint: seal::endpoint_binding(endpoints.token_endpoint.as_str(), &client.client_id),
            api_base_uri: endpoints.api_base_uri.as_str().trim_end_matches('/').to_owned(),
            request_headers,
            endpoints,
            profile,
            client,
            connection,
        })
    }
}
