//! A broker with a simulated provider and one connection, set up through the public API.

use std::path::Path;

use anyhow::Context as _;
use procore_simulator::{ClientRegistration, Environment, Simulator};
use token_broker::{
    config::{Config, Identity},
    provider::Profile,
    seal::KeyEncryptionKeys,
};
use token_broker_proto::v1::{
    AddClientSecretRequest, Connection, CreateConnectionRequest, CreateOAuthClientRequest,
    CreateTenantRequest, ImportConnectionRequest, OAuthClient, Tenant, connection::GrantType,
    connection_service_client::ConnectionServiceClient,
    o_auth_client_service_client::OAuthClientServiceClient, tenant_service_client::TenantServiceClient,
};
use tonic::{Request, transport::Channel};

use crate::{caller, child::Server};

pub(crate) const CONNECTION: &str = "tenants/bench/connections/main";
pub(crate) const CONSUMER: &str = "the-consumer-of-the-benchmarks";
const OPERATOR: &str = "the-operator-of-the-benchmarks";
const CLIENT: &str = "tenants/bench/oauthClients/procore";
const COMPANY: u64 = 4_242;

/// A running broker and what it depends on.
pub(crate) struct House {
    pub(crate) simulator: Simulator,
    pub(crate) broker: Server,
}

impl House {
    /// Starts a broker, under another program where there is one, with a connection whose tokens live so long.
    pub(crate) async fn open(under: &[&str], token_life: u64, place: &Path) -> anyhow::Result<Self> {
        let place = place.join("broker");
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place)?;
        let simulator = Simulator::start(procore_simulator::Config::default()).await?;
        simulator.knobs(|knobs| knobs.access_ttl = token_life);
        let registered = simulator.register_client(Environment::Sandbox, ClientRegistration::default());
        simulator.install(Environment::Sandbox, &registered.client_id, COMPANY);

        let (file, addresses) = (place.join("config.toml"), place.join("addresses.json"));
        std::fs::write(&file, config(&simulator, &place)?.summary()?)?;
        let words = [file.to_str(), addresses.to_str()].map(|path| path.context("a path that is text"));
        let [file, address_file] = words;
        let program = [env!("CARGO_BIN_EXE_token-broker"), "serve", "--config", file?, "--address-file"];
        let program = [&program[..], &[address_file?]].concat();
        let broker = Server::start(under, &program, &addresses).await?;

        let pair = simulator.grant(Environment::Sandbox, &registered.client_id, 7, COMPANY);
        let client = (registered.client_id.as_str(), registered.client_secret.as_str());
        furnish(caller::connect(broker.address).await?, client, &pair.refresh_token)
            .await
            .with_context(|| broker.said())?;
        Ok(Self { simulator, broker })
    }

    /// Stops everything, and returns what the broker said on its standard error.
    pub(crate) async fn close(self) -> anyhow::Result<String> {
        let said = self.broker.stop().await?;
        self.simulator.stop().await;
        Ok(said)
    }
}

fn config(simulator: &Simulator, place: &Path) -> anyhow::Result<Config> {
    let keys = place.join("keys");
    KeyEncryptionKeys::generate().save_new(&keys)?;
    let mut config = Config::default();
    config.listen.grpc.set_port(0);
    config.listen.probes.set_port(0);
    config.database.path = place.join("broker.db");
    config.keys.file = keys;
    config.egress.allow_private = vec!["127.0.0.0/8".parse()?];
    config.identity = identity(place)?;

    let mut profile = Profile::procore();
    let base = simulator.oauth_base(Environment::Sandbox);
    for environment in profile.environments.values_mut() {
        environment.token_endpoint = format!("{base}/oauth/token").parse()?;
        environment.token_info = Some(format!("{base}/oauth/token/info").parse()?);
        environment.revoke = Some(format!("{base}/oauth/revoke").parse()?);
    }
    config.profiles = vec![toml::Table::try_from(profile)?];
    Ok(config)
}

fn identity(place: &Path) -> anyhow::Result<Identity> {
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

/// A tenant, its OAuth client with a secret, and a connection with a refresh token.
async fn furnish(channel: Channel, client: (&str, &str), refresh_token: &str) -> anyhow::Result<()> {
    let tenant = Some(Tenant::default());
    let tenant = CreateTenantRequest { tenant_id: "bench".to_owned(), tenant };
    TenantServiceClient::new(channel.clone()).create_tenant(operator(tenant)).await?;

    let mut clients = OAuthClientServiceClient::new(channel.clone());
    let oauth_client = OAuthClient {
        provider: "procore".to_owned(),
        environment: "sandbox".to_owned(),
        client_id: client.0.to_owned(),
        ..OAuthClient::default()
    };
    let create = CreateOAuthClientRequest {
        parent: "tenants/bench".to_owned(),
        oauth_client_id: "procore".to_owned(),
        oauth_client: Some(oauth_client),
    };
    clients.create_o_auth_client(operator(create)).await?;
    let secret = AddClientSecretRequest { name: CLIENT.to_owned(), client_secret: client.1.to_owned() };
    clients.add_client_secret(operator(secret)).await?;

    let mut connections = ConnectionServiceClient::new(channel);
    let connection = Connection {
        oauth_client: CLIENT.to_owned(),
        grant_type: GrantType::AuthorizationCode.into(),
        account_id: COMPANY.to_string(),
        ..Connection::default()
    };
    let create = CreateConnectionRequest {
        parent: "tenants/bench".to_owned(),
        connection_id: "main".to_owned(),
        connection: Some(connection),
    };
    connections.create_connection(operator(create)).await?;
    let import = ImportConnectionRequest {
        name: CONNECTION.to_owned(),
        refresh_token: refresh_token.to_owned(),
        ..ImportConnectionRequest::default()
    };
    connections.import_connection(operator(import)).await?;
    Ok(())
}

fn operator<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {OPERATOR}").parse().expect("ASCII"));
    request
}
