//! What a broker must know before it is measured, set up through its public API.

use std::path::Path;

use token_broker::config::Identity;
use token_broker_proto::v1::{
    AddClientSecretRequest, Connection, CreateConnectionRequest, CreateOAuthClientRequest,
    CreateTenantRequest, ImportConnectionRequest, OAuthClient, Tenant, connection::GrantType,
    connection_service_client::ConnectionServiceClient,
    o_auth_client_service_client::OAuthClientServiceClient, tenant_service_client::TenantServiceClient,
};
use tonic::{Request, transport::Channel};

/// The connection that everything is about where there is only one.
pub(crate) const CONNECTION: &str = "tenants/bench/connections/main";
pub(crate) const CONSUMER: &str = "the-consumer-of-the-benchmarks";
const OPERATOR: &str = "the-operator-of-the-benchmarks";
const CLIENT: &str = "tenants/bench/oauthClients/procore";
pub(crate) const COMPANY: u64 = 4_242;

/// Who may call.
pub(crate) fn identity(place: &Path) -> anyhow::Result<Identity> {
    for (name, token) in [("operator", OPERATOR), ("consumer", CONSUMER)] {
        std::fs::write(place.join(name), token)?;
    }
    let place = place.display();
    Ok(toml::from_str(&format!(
        r#"
        allow_static_on_loopback = true
        static = [
            {{ principal = "operator", token_file = "{place}/operator", roles = ["operator"] }},
            {{ principal = "consumer", token_file = "{place}/consumer", roles = [{{ consumer = {{ tenants = ["bench"] }} }}] }},
        ]"#
    ))?)
}

/// A tenant, and its OAuth client with a secret.
pub(crate) async fn client(channel: &Channel, (id, secret): (&str, &str)) -> anyhow::Result<()> {
    let tenant = CreateTenantRequest { tenant_id: "bench".to_owned(), tenant: Some(Tenant::default()) };
    TenantServiceClient::new(channel.clone()).create_tenant(operator(tenant)).await?;

    let mut clients = OAuthClientServiceClient::new(channel.clone());
    let oauth_client = OAuthClient {
        provider: "procore".to_owned(),
        environment: "sandbox".to_owned(),
        client_id: id.to_owned(),
        ..OAuthClient::default()
    };
    let create = CreateOAuthClientRequest {
        parent: "tenants/bench".to_owned(),
        oauth_client_id: "procore".to_owned(),
        oauth_client: Some(oauth_client),
    };
    clients.create_o_auth_client(operator(create)).await?;
    let secret = AddClientSecretRequest { name: CLIENT.to_owned(), client_secret: secret.to_owned() };
    clients.add_client_secret(operator(secret)).await?;
    Ok(())
}

/// A connection with a refresh token.
pub(crate) async fn connection(channel: &Channel, id: &str, refresh_token: &str) -> anyhow::Result<()> {
    let mut connections = ConnectionServiceClient::new(channel.clone());
    let connection = Connection {
        oauth_client: CLIENT.to_owned(),
        grant_type: GrantType::AuthorizationCode.into(),
        account_id: COMPANY.to_string(),
        ..Connection::default()
    };
    let create = CreateConnectionRequest {
        parent: "tenants/bench".to_owned(),
        connection_id: id.to_owned(),
        connection: Some(connection),
    };
    connections.create_connection(operator(create)).await?;
    let import = ImportConnectionRequest {
        name: name(id),
        refresh_token: refresh_token.to_owned(),
        ..ImportConnectionRequest::default()
    };
    connections.import_connection(operator(import)).await?;
    Ok(())
}

/// A connection's resource name.
pub(crate) fn name(id: &str) -> String {
    format!("tenants/bench/connections/{id}")
}

fn operator<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {OPERATOR}").parse().expect("ASCII"));
    request
}
