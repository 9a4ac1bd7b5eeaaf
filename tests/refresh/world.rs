//! A refresher over a real database file and a simulated provider.

use std::{sync::Arc, time::Duration};

use procore_simulator::{ClientCredentials, ClientRegistration, Environment, Simulator};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use token_broker::{
    cache::{Cache, Entry},
    clock::Clock,
    config,
    error::Refusal,
    failpoint::Failpoints,
    journal::Journal,
    model::{
        Connection, ConnectionName, ConnectionUid, Generation, GrantType, Meta, OauthClient, OauthClientUid,
        SecretVersion, Tenant, TenantUid, Timestamp,
    },
    provider::{self, Egress, EgressSettings, Profile},
    refresh::{Demand, Directory, Fleet, Import, Life, Parts, Refresher},
    seal::{KeyEncryptionKeys, Keyring},
    store::{Connections as _, OauthClients as _, Store, Tenants as _, sqlite::Sqlite},
};
use tokio::task::JoinHandle;
use uuid::Uuid;

const SANDBOX: Environment = Environment::Sandbox;
/// A guard against hanging, not a measure.
const GUARD: Duration = Duration::from_mins(1);
/// Long enough for what must not happen to happen.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);

/// Everything that a test has.
pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) app: ClientCredentials,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) journal: Journal,
    /// The database past the broker.
    console: SqliteConnection,
    _folder: TempDir,
}

impl World {
    /// Connections `one` and `two` of one OAuth client and `elsewhere` of another: refresh tokens alone, nothing to
    /// serve. `shared` has the first client's own token.
    pub(crate) async fn new(change: impl FnOnce(&mut config::Refresh)) -> Self {
        Self::with(change, false).await
    }

    /// The same with a journal beside the database.
    pub(crate) async fn with_journal() -> Self {
        Self::with(|_| {}, true).await
    }

    async fn with(change: impl FnOnce(&mut config::Refresh), second_medium: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broker.db");
        let sqlite = Sqlite::open(&path).await.unwrap();
        let console = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await;
        let simulator = Simulator::start(procore_simulator::Config { seed: 5, ..Default::default() }).await;
        let simulator = simulator.unwrap();
        let app = simulator.register_client(
            SANDBOX,
            ClientRegistration { client_credentials: true, ..ClientRegistration::default() },
        );
        let mut settings = config::Refresh {
            refusal_pause: Duration::from_millis(10),
            ramp: Duration::ZERO,
            ..Default::default()
        };
        change(&mut settings);
        let journal = config::Journal { path: folder.path().join("journal"), ..config::Journal::default() };
        let (journal, _) = Journal::open(&journal, "test", Clock::System).await.unwrap();
        let fleet = Fleet { journal: second_medium.then(|| journal.clone()), ..Fleet::default() };
        let cache = Arc::new(Cache::default());
        let refresher = refresher(sqlite, &simulator, &app, settings, fleet, cache.clone()).await;
        let console = console.unwrap();
        let world = Self { simulator, app, refresher, cache, journal, console, _folder: folder };
        for name in ["one", "two", "elsewhere"] {
            let pair = world.simulator.grant(SANDBOX, &world.app.client_id, 7, 42);
            let import = Import { refresh_token: SecretString::from(pair.refresh_token), access: None };
            world.refresher.import(&connection(name), import).await.unwrap();
        }
        world
    }

    /// A caller of its own that wants a token; the generation that it gets.
    pub(crate) fn caller(&self, name: &str) -> JoinHandle<Result<Generation, Refusal>> {
        let token = self.token(name);
        tokio::spawn(async move { Ok(token.await?.generation) })
    }

    /// What a caller gets.
    pub(crate) fn token(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Arc<Entry>, Refusal>> + Send + use<> {
        let (refresher, name) = (self.refresher.clone(), connection(name));
        async move { Ok(refresher.access_token(&name, &Demand::default()).await?.entry) }
    }

    /// From now on memory has what came before that token, and has ended.
    pub(crate) fn still_has_the_one_before(&self, next: &Entry) {
        let (subject, generation) = (next.subject.clone(), Generation(next.generation.0 - 1));
        let ended = Life::new(Timestamp::default(), Timestamp::default(), &config::Refresh::default());
        let facts = (next.token.clone(), next.token_type.clone(), next.scopes.clone());
        let name = subject.connection.name.to_string();
        self.cache.remove(&name);
        let old = Arc::new(Entry::new(subject, generation, ended, next.state, facts));
        self.cache.put(self.cache.ticket(&name), &old);
    }

    /// An operator who wants a refresh.
    pub(crate) fn operator(&self, name: &str) -> JoinHandle<Result<Generation, Refusal>> {
        let (refresher, name) = (self.refresher.clone(), connection(name));
        tokio::spawn(async move { refresher.refresh_now(&name).await })
    }

    /// How often a refresh token was presented.
    pub(crate) fn presented(&self) -> usize {
        presented(&self.simulator.log())
    }

    /// Waits for so many presentations.
    pub(crate) async fn until_presented(&self, count: usize) {
        soon(self.simulator.wait_for_log(|log| presented(log) >= count)).await;
    }

    /// State and generation of a grant, as committed.
    pub(crate) async fn row(&mut self, name: &str) -> (String, i64) {
        let row = sqlx::query_as(
            "SELECT g.state, g.generation FROM grants g JOIN connections c ON c.uid = g.connection_uid
            WHERE c.name = ?1",
        );
        row.bind(connection(name).to_string()).fetch_one(&mut self.console).await.unwrap()
    }

    /// From now on the database answers an update of a grant with `raise` where `condition` holds.
    pub(crate) async fn sabotage(&mut self, condition: &str, raise: &str) {
        self.heal().await;
        let trigger = format!(
            "CREATE TRIGGER sabotage BEFORE UPDATE ON grants WHEN {condition} BEGIN SELECT RAISE({raise}); END"
        );
        self.console.execute(AssertSqlSafe(trigger)).await.unwrap();
    }

    /// The database does what it is told again.
    pub(crate) async fn heal(&mut self) {
        self.console.execute("DROP TRIGGER IF EXISTS sabotage").await.unwrap();
    }
}

/// What must come.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.expect("it never came")
}

fn presented(log: &[procore_simulator::Presentation]) -> usize {
    let refresh = |seen: &&procore_simulator::Presentation| {
        seen.continues.is_none() && seen.grant_type.as_deref() == Some("refresh_token")
    };
    log.iter().filter(refresh).count()
}

fn connection(name: &str) -> ConnectionName {
    format!("tenants/acme/connections/{name}").parse().unwrap()
}

async fn refresher(
    sqlite: Sqlite,
    simulator: &Simulator,
    app: &ClientCredentials,
    settings: config::Refresh,
    fleet: Fleet,
    cache: Arc<Cache>,
) -> Arc<Refresher> {
    let meta = Meta { revision: 1, created_at: Timestamp::default(), updated_at: Timestamp::default() };
    let tenant = Tenant {
        name: "tenants/acme".parse().unwrap(),
        uid: TenantUid(Uuid::from_u128(1)),
        display_name: String::new(),
        meta: meta.clone(),
    };
    sqlite.create_tenant(&tenant).await.unwrap();
    let client = OauthClient {
        name: "oauthClients/app".parse().unwrap(),
        uid: OauthClientUid(Uuid::from_u128(2)),
        display_name: String::new(),
        provider: "procore".to_owned(),
        environment: "sandbox".to_owned(),
        client_id: app.client_id.clone(),
        client_credentials_tenants: vec![tenant.name.clone()],
        current_secret: Some(1),
        meta: meta.clone(),
    };
    let other = OauthClient {
        name: "oauthClients/other".parse().unwrap(),
        uid: OauthClientUid(Uuid::from_u128(5)),
        ..client.clone()
    };
    for client in [&client, &other] {
        sqlite.create_oauth_client(client).await.unwrap();
    }
    for (uid, name, client, grant_type) in [
        (3, "one", &client, GrantType::AuthorizationCode),
        (4, "two", &client, GrantType::AuthorizationCode),
        (6, "elsewhere", &other, GrantType::AuthorizationCode),
        (7, "shared", &client, GrantType::ClientCredentials),
    ] {
        let connection = Connection {
            name: connection(name),
            uid: ConnectionUid(Uuid::from_u128(uid)),
            tenant_uid: tenant.uid,
            display_name: String::new(),
            oauth_client: client.name.clone(),
            grant_type,
            account_id: "42".to_owned(),
            max_min_ttl: None,
            generation_floor: Generation(0),
            meta: meta.clone(),
        };
        sqlite.create_connection(&connection).await.unwrap();
    }
    let store: Arc<dyn Store> = Arc::new(sqlite);
    let egress = EgressSettings { allow_private: vec!["127.0.0.0/8".parse().unwrap()], ..Default::default() };
    let refresher = Refresher::new(Parts {
        store: store.clone(),
        directory: Directory::new(store.clone(), [profile(simulator)]),
        keyring: Arc::new(Keyring::new(KeyEncryptionKeys::generate(), store.clone(), "test".to_owned())),
        egress: Egress::new(egress).unwrap(),
        cache,
        clock: Clock::System,
        settings,
        breaker: config::Breaker::default(),
        replica: "test".to_owned(),
        fleet,
        failpoints: Failpoints::default(),
    });
    let secret = SecretString::from(app.client_secret.clone());
    for client in [&client, &other] {
        let sealed = refresher.vault().seal_secret(client, 1, &secret).await.unwrap();
        let version = SecretVersion { version: 1, created_at: Timestamp::default() };
        store.add_secret(client.uid, &version, &sealed).await.unwrap();
    }
    refresher
}

/// The built-in profile with the simulator's hosts.
fn profile(simulator: &Simulator) -> Profile {
    let oauth = simulator.oauth_base(SANDBOX);
    let at = |path: &str| format!("{oauth}{path}").parse().unwrap();
    let sandbox = provider::Environment {
        token_endpoint: at("/oauth/token"),
        api_base_uri: simulator.api_base(SANDBOX).parse().unwrap(),
        token_info: Some(at("/oauth/token/info")),
        revoke: Some(at("/oauth/revoke")),
    };
    Profile { environments: [("sandbox".to_owned(), sandbox)].into(), ..Profile::procore() }
}
