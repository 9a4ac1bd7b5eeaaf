//! A world for one test: a simulated provider and a broker in this process, with folder and ports of their own.

use std::{future::Future, net::SocketAddr, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};

use procore_simulator::{ClientCredentials, ClientRegistration, Environment, Simulator, TokenPair};
use tempfile::TempDir;
use token_broker::{
    app::App,
    cache::wire_time,
    clock::Clock,
    config::{Config, Identity, Role, StaticIdentity},
    provider::{self, Profile},
    seal::KeyEncryptionKeys,
};
use token_broker_proto::v1::{
    AddClientSecretRequest, Connection, CreateConnectionRequest, CreateOAuthClientRequest,
    CreateTenantRequest, GetAccessTokenRequest, GetAccessTokenResponse, GetConnectionRequest,
    ImportConnectionRequest, InspectConnectionRequest, InspectConnectionResponse, OAuthClient,
    RefreshConnectionRequest, connection::GrantType,
};
use tonic::Status;

use crate::{caller::Caller, child::Serving};

/// Where everything happens at the provider.
pub(crate) const SANDBOX: Environment = Environment::Sandbox;
/// The company that installed the app.
pub(crate) const COMPANY: u64 = 4_242;
/// An operator's credential.
pub(crate) const OPERATOR: &str = "operator-credential-of-these-tests";
/// The credential of a consumer of the tenant `acme`.
pub(crate) const CONSUMER: &str = "consumer-credential-of-these-tests";
/// The OAuth client of the tenant `acme`.
pub(crate) const CLIENT: &str = "tenants/acme/oauthClients/app";
/// A connection of the tenant `acme`.
pub(crate) const MAIN: &str = "tenants/acme/connections/main";
/// A guard against hanging, never a measure.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that a test has.
pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) app: ClientCredentials,
    pub(crate) place: TempDir,
    pub(crate) config: Config,
    pub(crate) operator: Caller,
    pub(crate) consumer: Caller,
    broker: Option<Broker>,
}

/// Where the broker runs.
enum Broker {
    Here(App),
    Child(Serving),
}

impl World {
    /// A broker that knows its callers and nothing else.
    pub(crate) async fn bare(settings: impl FnOnce(&mut Config)) -> Self {
        Self::run(settings, async |config, _| Broker::Here(App::start(config).await.unwrap())).await
    }

    /// The same with a broker in a process of its own.
    pub(crate) async fn child(settings: impl FnOnce(&mut Config)) -> Self {
        Self::run(settings, async |config, place| Broker::Child(Serving::start(&config, place).await)).await
    }

    async fn run(
        settings: impl FnOnce(&mut Config),
        start: impl AsyncFnOnce(Config, &Path) -> Broker,
    ) -> Self {
        let place = tempfile::tempdir().unwrap();
        let simulator = Simulator::start(procore_simulator::Config { seed: 11, ..Default::default() });
        let simulator = simulator.await.unwrap();
        let app = simulator.register_client(SANDBOX, ClientRegistration::default());
        simulator.install(SANDBOX, &app.client_id, COMPANY);
        let mut config = config(place.path());
        config.profiles = vec![
            table(&profile(&simulator)),
            // Nobody can be asked about a token of this one.
            table(&adapted(&profile(&simulator), "mute", |sandbox| sandbox.token_info = None)),
        ];
        settings(&mut config);
        let broker = start(config.clone(), place.path()).await;
        let (operator, consumer) = callers(broker.grpc());
        Self { simulator, app, place, config, operator, consumer, broker: Some(broker) }
    }

    /// With the tenant `acme`, its OAuth client, and a connection that was never authorised.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same under other settings.
    pub(crate) async fn with(settings: impl FnOnce(&mut Config)) -> Self {
        let world = Self::bare(settings).await;
        world.furnish().await;
        world
    }

    pub(crate) async fn furnish(&self) {
        self.tenant("acme").await;
        self.oauth_client(CLIENT, "procore", &[]).await;
        self.create(MAIN, CLIENT, GrantType::AuthorizationCode).await.unwrap();
    }

    /// Stops the broker, and starts another one on the same folder.
    pub(crate) async fn restart(&mut self, between: impl AsyncFnOnce(&mut Config)) {
        self.stop().await;
        between(&mut self.config).await;
        let broker = App::start(self.config.clone()).await.unwrap();
        (self.operator, self.consumer) = callers(broker.grpc);
        self.broker = Some(Broker::Here(broker));
    }

    pub(crate) async fn stop(&mut self) {
        match self.broker.take().unwrap() {
            Broker::Here(app) => soon("the broker stops", app.stop()).await.unwrap(),
            Broker::Child(serving) => serving.stop().await,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.as_ref().unwrap().grpc()
    }

    // === what operators do ===

    pub(crate) async fn tenant(&self, id: &str) {
        let request = CreateTenantRequest { tenant_id: id.to_owned(), tenant: None };
        self.operator.tenants().create_tenant(request).await.unwrap();
    }

    /// An OAuth client with the registered app's credentials.
    pub(crate) async fn oauth_client(&self, name: &str, provider: &str, tenants: &[&str]) {
        let (parent, id) = split(name, "oauthClients/");
        let request = CreateOAuthClientRequest {
            parent,
            oauth_client_id: id,
            oauth_client: Some(OAuthClient {
                provider: provider.to_owned(),
                environment: "sandbox".to_owned(),
                client_id: self.app.client_id.clone(),
                client_credentials_tenants: tenants.iter().map(|&tenant| tenant.to_owned()).collect(),
                ..Default::default()
            }),
        };
        self.operator.clients().create_o_auth_client(request).await.unwrap();
        let client_secret = self.app.client_secret.clone();
        let request = AddClientSecretRequest { name: name.to_owned(), client_secret };
        self.operator.clients().add_client_secret(request).await.unwrap();
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        client: &str,
        grant_type: GrantType,
    ) -> Result<Connection, Status> {
        let (parent, connection_id) = split(name, "connections/");
        let connection = Connection {
            oauth_client: client.to_owned(),
            grant_type: grant_type.into(),
            account_id: COMPANY.to_string(),
            ..Default::default()
        };
        let request = CreateConnectionRequest { parent, connection_id, connection: Some(connection) };
        Ok(self.operator.connections().create_connection(request).await?.into_inner())
    }

    /// A pair, as if a user had authorised the app just now.
    pub(crate) fn authorise(&self) -> TokenPair {
        self.simulator.grant(SANDBOX, &self.app.client_id, 7, COMPANY)
    }

    pub(crate) async fn import(&self, name: &str, refresh_token: &str) -> Result<Connection, Status> {
        let (name, refresh_token) = (name.to_owned(), refresh_token.to_owned());
        let request = ImportConnectionRequest { name, refresh_token, ..Default::default() };
        Ok(self.operator.connections().import_connection(request).await?.into_inner())
    }

    /// Imports a new pair whose access token lives for so many seconds more.
    pub(crate) async fn import_alive(&self, name: &str, seconds: i64) -> TokenPair {
        let pair = self.authorise();
        let request = ImportConnectionRequest {
            name: name.to_owned(),
            refresh_token: pair.refresh_token.clone(),
            access_token: pair.access_token.clone(),
            access_token_expire_time: Some(seconds_from_now(seconds)),
        };
        self.operator.connections().import_connection(request).await.unwrap();
        pair
    }

    pub(crate) async fn refresh(&self, name: &str) -> Result<Connection, Status> {
        let request = RefreshConnectionRequest { name: name.to_owned() };
        Ok(self.operator.connections().refresh_connection(request).await?.into_inner())
    }

    pub(crate) async fn connection(&self, name: &str) -> Connection {
        let request = GetConnectionRequest { name: name.to_owned() };
        self.operator.connections().get_connection(request).await.unwrap().into_inner()
    }

    pub(crate) async fn inspect(&self, name: &str) -> InspectConnectionResponse {
        let request = InspectConnectionRequest { name: name.to_owned() };
        self.operator.connections().inspect_connection(request).await.unwrap().into_inner()
    }

    /// The events of a connection, oldest first.
    pub(crate) async fn events(&self, name: &str) -> Vec<String> {
        self.inspect(name).await.events.into_iter().rev().map(|event| event.kind).collect()
    }

    // === what consumers do ===

    pub(crate) async fn token(&self, name: &str) -> Result<GetAccessTokenResponse, Status> {
        self.ask(GetAccessTokenRequest { name: name.to_owned(), ..Default::default() }).await
    }

    pub(crate) async fn rejected(
        &self,
        name: &str,
        generation: u64,
    ) -> Result<GetAccessTokenResponse, Status> {
        let (name, rejected_generation) = (name.to_owned(), Some(generation));
        self.ask(GetAccessTokenRequest { name, rejected_generation, ..Default::default() }).await
    }

    pub(crate) async fn lasting(&self, name: &str, seconds: i64) -> Result<GetAccessTokenResponse, Status> {
        let min_ttl = Some(prost_types::Duration { seconds, nanos: 0 });
        self.ask(GetAccessTokenRequest { name: name.to_owned(), min_ttl, ..Default::default() }).await
    }

    pub(crate) async fn ask(&self, request: GetAccessTokenRequest) -> Result<GetAccessTokenResponse, Status> {
        Ok(self.consumer.tokens().get_access_token(request).await?.into_inner())
    }

    // === what the provider saw ===

    /// How often a refresh token was presented.
    pub(crate) fn refreshes(&self) -> usize {
        self.requests("refresh_token")
    }

    /// How often a token was asked for by this grant type.
    pub(crate) fn requests(&self, grant_type: &str) -> usize {
        let log = self.simulator.log();
        let asked = |entry: &&procore_simulator::Presentation| {
            entry.continues.is_none() && entry.grant_type.as_deref() == Some(grant_type)
        };
        log.iter().filter(asked).count()
    }
}

impl Broker {
    const fn grpc(&self) -> SocketAddr {
        match self {
            Self::Here(app) => app.grpc,
            Self::Child(serving) => serving.grpc,
        }
    }
}

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(PATIENCE, future).await else { panic!("in vain: {what}") };
    done
}

/// Asks again and again, until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            match probe().await {
                Some(answer) => break answer,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    soon(what, asking).await
}

pub(crate) fn seconds_from_now(seconds: i64) -> prost_types::Timestamp {
    let now = wire_time(Clock::System.now());
    prost_types::Timestamp { seconds: now.seconds + seconds, ..now }
}

/// A file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

fn callers(broker: SocketAddr) -> (Caller, Caller) {
    (Caller::of(broker, Some(OPERATOR)), Caller::of(broker, Some(CONSUMER)))
}

/// Parent and id of a name.
fn split(name: &str, collection: &str) -> (String, String) {
    let (parent, id) = name.rsplit_once(collection).unwrap();
    (parent.trim_end_matches('/').to_owned(), id.to_owned())
}

/// A configuration on a new folder, with free ports.
pub(crate) fn config(place: &Path) -> Config {
    let mut config =
        Config { environment: "test".to_owned(), replica: "test".to_owned(), ..Config::default() };
    config.listen.grpc.set_port(0);
    config.listen.probes.set_port(0);
    config.database.path = place.join("broker.db");
    config.keys.file = place.join("broker.keys");
    KeyEncryptionKeys::generate().save_new(&config.keys.file).unwrap();
    config.egress.allow_private = vec!["127.0.0.0/8".parse().unwrap()];
    config.refresh.sweep_interval = Duration::from_millis(50);
    config.refresh.ramp = Duration::ZERO;
    config.refresh.refusal_pause = Duration::from_millis(100);
    config.breaker.open_for = Duration::from_millis(100);
    let known = |principal: &str, credential: &str, role| {
        let token_file = place.join(format!("{principal}.credential"));
        write_private(&token_file, credential);
        let principal = principal.parse().unwrap();
        StaticIdentity { principal, token_file: Some(token_file), token_sha256: None, roles: vec![role] }
    };
    let acme = Role::Consumer { tenants: vec!["acme".parse().unwrap()] };
    config.identity = Identity {
        allow_static_on_loopback: true,
        r#static: vec![known("olga", OPERATOR, Role::Operator), known("billing", CONSUMER, acme)],
    };
    config
}

/// The built-in profile with the simulator's hosts.
pub(crate) fn profile(simulator: &Simulator) -> Profile {
    let (oauth, api) = (simulator.oauth_base(SANDBOX), simulator.api_base(SANDBOX));
    let sandbox = provider::Environment {
        token_endpoint: format!("{oauth}/oauth/token").parse().unwrap(),
        api_base_uri: api.parse().unwrap(),
        token_info: Some(format!("{oauth}/oauth/token/info").parse().unwrap()),
        revoke: Some(format!("{oauth}/oauth/revoke").parse().unwrap()),
    };
    Profile { environments: [("sandbox".to_owned(), sandbox)].into(), ..Profile::procore() }
}

/// Another profile, with another sandbox.
pub(crate) fn adapted(
    profile: &Profile,
    name: &str,
    change: impl FnOnce(&mut provider::Environment),
) -> Profile {
    let mut profile = Profile { name: name.to_owned(), ..profile.clone() };
    change(profile.environments.get_mut("sandbox").unwrap());
    profile
}

pub(crate) fn table(profile: &Profile) -> toml::Table {
    toml::Table::try_from(profile).unwrap()
}
