//! What a test plays in: a simulated provider, a broker's folder, and the connections that the checker will ask
//! about.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use procore_simulator::{ClientCredentials, ClientRegistration, Environment, Presentation, Simulator};
use tempfile::TempDir;
use token_broker::{
    config::{Config, Identity, LogFormat, Role, StaticIdentity},
    provider::{self, Profile},
    seal::KeyEncryptionKeys,
};
use token_broker_proto::v1::{Connection, ImportConnectionRequest, OAuthClient, connection::GrantType};

use super::{Broker, Caller, Launch, Rows};

/// The profile that leads to the simulator.
pub const PROFILE: &str = "procore";
/// Its environment.
pub const SANDBOX: &str = "sandbox";
const TENANT: &str = "tenants/faults";
const CREDENTIAL: &str = "an-operator-of-the-fault-tests";

/// A provider, and a broker's folder.
pub struct World {
    /// The provider.
    pub simulator: Arc<Simulator>,
    folder: TempDir,
    known: Mutex<Vec<Known>>,
}

/// A connection whose every token the checker can follow.
#[derive(Clone, Debug)]
pub struct Known {
    pub(super) name: String,
    pub(super) grant_id: String,
    /// The broker's generation of the grant's first pair.
    pub(super) first: u64,
    /// Where it was authorised.
    pub(super) at: usize,
    /// Whether its token endpoint ever answers.
    pub(super) reachable: bool,
    /// Its first refresh token.
    pub refresh_token: String,
}

/// An app at a provider, and the OAuth client that stands for it.
#[derive(Clone)]
pub struct App {
    /// `tenants/*/oauthClients/*`.
    pub name: String,
    /// What the provider knows it by.
    pub client: ClientCredentials,
    simulator: Arc<Simulator>,
    reachable: bool,
}

/// A profile with the simulator as its sandbox.
pub fn profile(simulator: &Simulator) -> Profile {
    let oauth = simulator.oauth_base(Environment::Sandbox);
    let at = |path: &str| format!("{oauth}{path}").parse().unwrap();
    let sandbox = provider::Environment {
        token_endpoint: at("/oauth/token"),
        api_base_uri: simulator.api_base(Environment::Sandbox).parse().unwrap(),
        token_info: Some(at("/oauth/token/info")),
        revoke: Some(at("/oauth/revoke")),
    };
    Profile { environments: [(SANDBOX.to_owned(), sandbox)].into(), ..Profile::procore() }
}

impl World {
    /// A world whose broker is configured as `change` says.
    pub async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let simulator = start_simulator().await;
        let profile = profile(&simulator);
        Self::with(simulator, vec![profile], change)
    }

    /// A world with other profiles than the simulator's own.
    pub fn with(simulator: Arc<Simulator>, profiles: Vec<Profile>, change: impl FnOnce(&mut Config)) -> Self {
        // What SIGKILL leaves is what the kernel has: a disk would add nothing but waiting.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let mut config = config(folder.path());
        config.profiles =
            profiles.into_iter().map(|profile| toml::Table::try_from(profile).unwrap()).collect();
        change(&mut config);
        KeyEncryptionKeys::generate().save_new(&config.keys.file).unwrap();
        std::fs::write(folder.path().join("operator.token"), CREDENTIAL).unwrap();
        std::fs::write(folder.path().join("config.toml"), config.summary().unwrap()).unwrap();
        Self { simulator, folder, known: Mutex::default() }
    }

    /// A file of the broker's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A broker.
    pub async fn start(&self) -> Broker {
        self.launch(&Launch::default()).await
    }

    /// A broker, as told.
    pub async fn launch(&self, launch: &Launch) -> Broker {
        Broker::start(self.folder.path(), CREDENTIAL, launch).await
    }

    /// The database as it is now.
    pub async fn rows(&self) -> Rows {
        Rows::read(&self.file("token-broker.db")).await
    }

    /// The app `id` at the simulator's sandbox, with its OAuth client, in the tenant of this world.
    pub async fn app(&self, caller: &Caller, id: &str) -> App {
        self.app_at(caller, &self.simulator, id, (PROFILE, SANDBOX), true).await
    }

    /// The app `id`, reached through a profile and environment, and authorised at a simulator's sandbox.
    pub async fn app_at(
        &self,
        caller: &Caller,
        simulator: &Arc<Simulator>,
        id: &str,
        (provider, environment): (&str, &str),
        client_credentials: bool,
    ) -> App {
        let client = simulator.register_client(
            Environment::Sandbox,
            ClientRegistration { client_credentials, ..ClientRegistration::default() },
        );
        let oauth_client = OAuthClient {
            provider: provider.to_owned(),
            environment: environment.to_owned(),
            client_id: client.client_id.clone(),
            ..Default::default()
        };
        let name = format!("{TENANT}/oauthClients/{id}");
        caller.create_client(TENANT, id, oauth_client).await;
        caller.add_secret(&name, &client.client_secret).await;
        App { name, client, simulator: simulator.clone(), reachable: true }
    }

    /// The tenant of this world.
    pub async fn tenant(&self, caller: &Caller) {
        caller.create_tenant(TENANT.trim_start_matches("tenants/")).await;
    }

    /// A connection whose access token has expired, and whose refresh token was never used.
    pub async fn connection(&self, caller: &Caller, app: &App, id: &str) -> Known {
        let company = 4242;
        let pair = app.simulator.grant(Environment::Sandbox, &app.client.client_id, 7, company);
        let name = format!("{TENANT}/connections/{id}");
        let connection = Connection {
            oauth_client: app.name.clone(),
            grant_type: GrantType::AuthorizationCode.into(),
            account_id: company.to_string(),
            ..Default::default()
        };
        caller.create_connection(TENANT, id, connection).await;
        let import = ImportConnectionRequest {
            name: name.clone(),
            refresh_token: pair.refresh_token.clone(),
            access_token: pair.access_token,
            access_token_expire_time: Some(prost_types::Timestamp { seconds: pair.created_at - 1, nanos: 0 }),
        };
        let first = caller.import(import).await.generation;
        let at = Arc::as_ptr(&app.simulator).addr();
        let reachable = app.reachable;
        let known =
            Known { name, grant_id: pair.grant_id, first, at, reachable, refresh_token: pair.refresh_token };
        self.known.lock().unwrap().push(known.clone());
        known
    }

    /// So many of them; their names.
    pub async fn connections(&self, caller: &Caller, app: &App, prefix: &str, count: usize) -> Vec<String> {
        stream::iter(0..count)
            .map(|index| async move { self.connection(caller, app, &format!("{prefix}-{index}")).await.name })
            .buffered(8)
            .collect()
            .await
    }

    /// What the checker will ask about.
    pub fn known(&self) -> Vec<Known> {
        self.known.lock().unwrap().clone()
    }

    /// The presentations of refresh tokens so far.
    pub fn presentations(&self) -> Vec<Presentation> {
        presentations(&self.simulator)
    }
}

impl Known {
    /// `tenants/*/connections/*`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the provider calls the authorisation.
    pub fn grant_id(&self) -> &str {
        &self.grant_id
    }

    /// The broker's generation of the first pair.
    pub const fn first(&self) -> u64 {
        self.first
    }
}

impl App {
    /// The same app; its token endpoint never answers.
    pub fn unreachable(self) -> Self {
        Self { reachable: false, ..self }
    }
}

/// A simulator with tokens that live long: no test here waits for an expiry.
pub async fn start_simulator() -> Arc<Simulator> {
    let simulator = Simulator::start(procore_simulator::Config { seed: 7, ..Default::default() }).await;
    let simulator = simulator.unwrap();
    simulator.knobs(|knobs| knobs.access_ttl = 86_400);
    Arc::new(simulator)
}

/// The presentations of refresh tokens at a simulator; processing one later adds none.
pub fn presentations(simulator: &Simulator) -> Vec<Presentation> {
    let mut log = simulator.log();
    log.retain(|seen| seen.grant_type.as_deref() == Some("refresh_token") && seen.continues.is_none());
    log
}

/// Everything ten times faster than the defaults; the grace of a doubt a hundred times.
fn config(folder: &Path) -> Config {
    let mut config =
        Config { environment: "faults".to_owned(), replica: "faults".to_owned(), ..Config::default() };
    config.listen.grpc.set_port(0);
    config.listen.probes.set_port(0);
    config.database.path = folder.join("token-broker.db");
    config.keys.file = folder.join("kek.toml");
    config.egress.allow_private = vec!["127.0.0.1/32".parse().unwrap()];
    config.log.format = LogFormat::Text;
    config.refresh = config.refresh.scaled(0.1);
    // On a busy machine half a second may pass between a burn and its send.
    config.refresh.body_deadline = Duration::from_secs(5);
    config.refresh.doubt_grace = Duration::from_secs(6);
    config.breaker = config.breaker.scaled(0.1);
    config.identity = Identity {
        allow_static_on_loopback: true,
        r#static: vec![StaticIdentity {
            principal: "operator".parse().unwrap(),
            token_file: Some(folder.join("operator.token")),
            token_sha256: None,
            roles: vec![Role::Operator],
        }],
    };
    config
}
