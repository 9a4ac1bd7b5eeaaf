//! The demo tenant: one imported connection, one by client credentials. Through the public API, as anybody would.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;
use token_broker_proto::v1::{
    AddClientSecretRequest, Connection, CreateConnectionRequest, CreateOAuthClientRequest,
    CreateTenantRequest, GetAccessTokenRequest, GetAccessTokenResponse, GetOAuthClientRequest,
    ImportConnectionRequest, OAuthClient, RefreshConnectionRequest, Tenant, connection::GrantType,
    connection_service_client::ConnectionServiceClient,
    o_auth_client_service_client::OAuthClientServiceClient, tenant_service_client::TenantServiceClient,
    token_service_client::TokenServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::{
    folder::Folder,
    provider::{COMPANY, Provider},
};

/// The connection with a refresh token.
pub(super) const IMPORTED: &str = "tenants/demo/connections/main";
/// The connection with a client-credentials token.
pub(super) const SERVICE: &str = "tenants/demo/connections/service";
const CLIENT: &str = "tenants/demo/oauthClients/procore";

/// What there is after seeding.
pub(super) struct Seeded {
    /// A line about the first token of each connection.
    pub(super) tokens: Vec<String>,
}

/// A caller of a broker.
#[derive(Clone)]
pub(super) struct Caller {
    channel: Channel,
    credential: MetadataValue<Ascii>,
}

impl Caller {
    pub(super) async fn connect(broker: SocketAddr, credential: &Path) -> anyhow::Result<Self> {
        let credential = std::fs::read_to_string(credential)?;
        Ok(Self {
            channel: Channel::from_shared(format!("http://{broker}"))?.connect().await?,
            credential: format!("Bearer {credential}").parse()?,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.credential.clone());
        request
    }

    pub(super) async fn token(&self, name: &str) -> Result<GetAccessTokenResponse, Status> {
        let request = self.request(GetAccessTokenRequest { name: name.to_owned(), ..Default::default() });
        Ok(TokenServiceClient::new(self.channel.clone()).get_access_token(request).await?.into_inner())
    }

    pub(super) async fn refresh(&self, name: &str) -> Result<Connection, Status> {
        let request = self.request(RefreshConnectionRequest { name: name.to_owned() });
        Ok(ConnectionServiceClient::new(self.channel.clone()).refresh_connection(request).await?.into_inner())
    }

    pub(super) async fn import(&self, provider: &Provider) -> Result<Connection, Status> {
        let pair = provider.authorise();
        let request = self.request(ImportConnectionRequest {
            name: IMPORTED.to_owned(),
            refresh_token: pair.refresh_token,
            ..Default::default()
        });
        Ok(ConnectionServiceClient::new(self.channel.clone()).import_connection(request).await?.into_inner())
    }

    async fn create(&self, provider: &Provider) -> Result<(), Status> {
        let tenant = self.request(CreateTenantRequest {
            tenant_id: "demo".to_owned(),
            tenant: Some(Tenant { display_name: "Demo tenant".to_owned(), ..Default::default() }),
        });
        or_exists(TenantServiceClient::new(self.channel.clone()).create_tenant(tenant).await)?;
        let mut clients = OAuthClientServiceClient::new(self.channel.clone());
        let client = self.request(CreateOAuthClientRequest {
            parent: "tenants/demo".to_owned(),
            oauth_client_id: "procore".to_owned(),
            oauth_client: Some(OAuthClient {
                provider: "procore".to_owned(),
                environment: "sandbox".to_owned(),
                client_id: provider.client.client_id.clone(),
                ..Default::default()
            }),
        });
        or_exists(clients.create_o_auth_client(client).await)?;
        let client = self.request(GetOAuthClientRequest { name: CLIENT.to_owned() });
        if clients.get_o_auth_client(client).await?.into_inner().secret_versions.is_empty() {
            let client_secret = provider.client.client_secret.clone();
            let secret = self.request(AddClientSecretRequest { name: CLIENT.to_owned(), client_secret });
            clients.add_client_secret(secret).await?;
        }
        for (id, grant_type) in
            [("main", GrantType::AuthorizationCode), ("service", GrantType::ClientCredentials)]
        {
            let connection = self.request(CreateConnectionRequest {
                parent: "tenants/demo".to_owned(),
                connection_id: id.to_owned(),
                connection: Some(Connection {
                    oauth_client: CLIENT.to_owned(),
                    grant_type: grant_type.into(),
                    account_id: COMPANY.to_string(),
                    ..Default::default()
                }),
            });
            or_exists(
                ConnectionServiceClient::new(self.channel.clone()).create_connection(connection).await,
            )?;
        }
        Ok(())
    }
}

/// Seeds a broker. The simulator forgets everything between runs, so its tokens are brought in anew each time.
pub(super) async fn seed(broker: SocketAddr, folder: &Folder, provider: &Provider) -> anyhow::Result<Seeded> {
    let operator = Caller::connect(broker, &folder.operator_token_file()).await?;
    operator.create(provider).await.context("creating the demo tenant")?;
    operator.import(provider).await.context("importing the demo connection")?;
    operator.refresh(SERVICE).await.context("asking for the client-credentials token")?;
    let consumer = Caller::connect(broker, &folder.consumer_token_file()).await?;
    let mut tokens = Vec::new();
    for name in [IMPORTED, SERVICE] {
        tokens.push(facts(name, &consumer.token(name).await.context("the first token")?));
    }
    Ok(Seeded { tokens })
}

/// What may be said of a token without saying the token.
pub(super) fn facts(name: &str, token: &GetAccessTokenResponse) -> String {
    let seconds = |time: Option<prost_types::Timestamp>| time.map_or(0, |time| time.seconds);
    let now = crate::cache::wire_time(crate::clock::Clock::System.now()).seconds;
    format!(
        "{name}: generation {}, {} token of {} bytes, lives {} s, is renewed from {} s on",
        token.generation,
        token.token_type,
        token.access_token.len(),
        seconds(token.expire_time) - now,
        seconds(token.renew_time) - now,
    )
}

fn or_exists<T>(result: Result<T, Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.code() != Code::AlreadyExists => Err(status),
        _ => Ok(()),
    }
}
