//! Callers, over gRPC like anybody else.

#![allow(dead_code, reason = "shared with tests/cluster, which uses another part")]

use std::{net::SocketAddr, time::Duration};

use token_broker_proto::v1::{
    AddClientSecretRequest, Connection, CreateConnectionRequest, CreateOAuthClientRequest,
    CreateTenantRequest, GetAccessTokenRequest, GetAccessTokenResponse, GetOAuthClientRequest,
    ImportConnectionRequest, InspectConnectionRequest, InspectConnectionResponse, OAuthClient,
    PromoteClientSecretRequest, RefreshConnectionRequest, Standing, Tenant,
    connection_service_client::ConnectionServiceClient,
    o_auth_client_service_client::OAuthClientServiceClient, tenant_service_client::TenantServiceClient,
    token_service_client::TokenServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt as _;

/// A caller with an HTTP/2 connection; clones share it.
#[derive(Clone)]
pub struct Caller {
    channel: Channel,
    credential: MetadataValue<Ascii>,
}

/// `ErrorInfo.reason`; the gRPC code where there is none.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason.clone())
}

impl Caller {
    /// Connects.
    pub async fn connect(broker: SocketAddr, credential: &str) -> Self {
        let channel = Channel::from_shared(format!("http://{broker}")).unwrap().connect().await.unwrap();
        Self { channel, credential: format!("Bearer {credential}").parse().unwrap() }
    }

    /// Connects, if somebody is there.
    pub async fn try_connect(broker: SocketAddr, credential: &str) -> Option<Self> {
        let endpoint = Channel::from_shared(format!("http://{broker}")).unwrap();
        let channel = endpoint.connect_timeout(Duration::from_secs(1)).connect().await.ok()?;
        Some(Self { channel, credential: format!("Bearer {credential}").parse().unwrap() })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.credential.clone());
        request
    }

    fn connections(&self) -> ConnectionServiceClient<Channel> {
        ConnectionServiceClient::new(self.channel.clone())
    }

    fn clients(&self) -> OAuthClientServiceClient<Channel> {
        OAuthClientServiceClient::new(self.channel.clone())
    }

    /// `GetAccessToken`.
    pub async fn token(&self, name: &str) -> Result<GetAccessTokenResponse, Status> {
        let request = self.request(GetAccessTokenRequest { name: name.to_owned(), ..Default::default() });
        Ok(TokenServiceClient::new(self.channel.clone()).get_access_token(request).await?.into_inner())
    }

    /// `GetAccessToken` with a deadline.
    pub async fn token_within(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<GetAccessTokenResponse, Status> {
        let message = GetAccessTokenRequest { name: name.to_owned(), ..Default::default() };
        let mut request = self.request(message);
        request.set_timeout(deadline);
        Ok(TokenServiceClient::new(self.channel.clone()).get_access_token(request).await?.into_inner())
    }

    /// `RefreshConnection`.
    pub async fn refresh(&self, name: &str) -> Result<Connection, Status> {
        let request = self.request(RefreshConnectionRequest { name: name.to_owned() });
        Ok(self.connections().refresh_connection(request).await?.into_inner())
    }

    /// `InspectConnection`.
    pub async fn inspect(&self, name: &str) -> InspectConnectionResponse {
        let request = self.request(InspectConnectionRequest { name: name.to_owned() });
        self.connections().inspect_connection(request).await.unwrap().into_inner()
    }

    /// The grant's state, e.g. `in_doubt`.
    pub async fn state(&self, name: &str) -> String {
        self.inspect(name).await.grant_state
    }

    /// Where the OAuth client's current secret stands.
    pub async fn standing(&self, client: &str) -> Standing {
        let request = self.request(GetOAuthClientRequest { name: client.to_owned() });
        let client = self.clients().get_o_auth_client(request).await.unwrap().into_inner();
        client.standing.unwrap()
    }

    /// Adds a secret version and makes it the current one.
    pub async fn rotate_secret(&self, client: &str, secret: &str) {
        let request = AddClientSecretRequest { name: client.to_owned(), client_secret: secret.to_owned() };
        let added = self.clients().add_client_secret(self.request(request)).await.unwrap().into_inner();
        let version = added.secret_versions.iter().map(|version| version.version).max().unwrap();
        let request = PromoteClientSecretRequest { name: client.to_owned(), version };
        self.clients().promote_client_secret(self.request(request)).await.unwrap();
    }

    pub(super) async fn create_tenant(&self, id: &str) {
        let tenant = Tenant { display_name: id.to_owned(), ..Default::default() };
        let request = CreateTenantRequest { tenant_id: id.to_owned(), tenant: Some(tenant) };
        TenantServiceClient::new(self.channel.clone()).create_tenant(self.request(request)).await.unwrap();
    }

    pub(super) async fn create_client(&self, parent: &str, id: &str, client: OAuthClient) {
        let request = CreateOAuthClientRequest {
            parent: parent.to_owned(),
            oauth_client_id: id.to_owned(),
            oauth_client: Some(client),
        };
        self.clients().create_o_auth_client(self.request(request)).await.unwrap();
    }

    pub(super) async fn add_secret(&self, client: &str, secret: &str) {
        let request = AddClientSecretRequest { name: client.to_owned(), client_secret: secret.to_owned() };
        self.clients().add_client_secret(self.request(request)).await.unwrap();
    }

    pub(super) async fn create_connection(&self, parent: &str, id: &str, connection: Connection) {
        let request = CreateConnectionRequest {
            parent: parent.to_owned(),
            connection_id: id.to_owned(),
            connection: Some(connection),
        };
        self.connections().create_connection(self.request(request)).await.unwrap();
    }

    pub(super) async fn import(&self, import: ImportConnectionRequest) -> Connection {
        self.try_import(import).await.unwrap()
    }

    /// `ImportConnection`.
    pub async fn try_import(&self, import: ImportConnectionRequest) -> Result<Connection, Status> {
        Ok(self.connections().import_connection(self.request(import)).await?.into_inner())
    }
}
