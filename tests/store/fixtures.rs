//! A tenant, an OAuth client, connections, tokens: everything from small numbers.

use std::time::Duration;

use tempfile::TempDir;
use token_broker::{
    clock::Clock,
    config::Durability,
    model::{
        AccessToken, Attempt, AttemptId, Burn, Connection, ConnectionName, ConnectionUid, Epoch, EventKind,
        Fingerprint, Generation, GrantType, Meta, Nonce, OauthClient, OauthClientName, OauthClientUid,
        Outcome, Reauthorise, RefreshToken, Sealed, State, Successor, Tenant, TenantName, TenantUid,
        Timestamp, Tokens,
    },
    store::{
        Store, Written,
        memory::Memory,
        postgres::{Postgres, Settings},
        sqlite::Sqlite,
    },
};
use uuid::Uuid;

use crate::servers::{
    pgbouncer::PgBouncer,
    postgres::{Database, shared},
};

pub(crate) const HOLDER_LOST_AFTER: Duration = Duration::from_mins(3);

/// Of everything here.
pub(crate) const TENANT: TenantUid = TenantUid(Uuid::from_u128(1));

/// A store and what must outlive it.
pub(crate) struct Fixture<S> {
    pub(crate) store: S,
    _directory: Option<TempDir>,
}

pub(crate) async fn memory() -> Fixture<Memory> {
    std::future::ready(Fixture { store: Memory::default(), _directory: None }).await
}

pub(crate) async fn sqlite() -> Fixture<Sqlite> {
    let directory = directory();
    let store = Sqlite::open(&directory.path().join("broker.db")).await.unwrap();
    Fixture { store, _directory: Some(directory) }
}

pub(crate) async fn postgres() -> Fixture<Postgres> {
    let database = shared().database().await;
    Fixture { store: serving(&database).await, _directory: None }
}

/// Through `PgBouncer`, which assigns servers by transaction.
pub(crate) async fn pooled() -> Fixture<Postgres> {
    static POOLER: tokio::sync::OnceCell<PgBouncer> = tokio::sync::OnceCell::const_new();
    let database = shared().database().await;
    let pooler = POOLER.get_or_init(|| PgBouncer::start(shared())).await;
    let settings = Settings {
        url: pooler.serving_url(&database),
        direct_url: Some(database.serving_url()),
        prepared_statements: false,
        ..settings(&database)
    };
    Fixture { store: Postgres::open(&settings, Clock::System).await.unwrap(), _directory: None }
}

/// As the user that serves.
pub(crate) async fn serving(database: &Database) -> Postgres {
    Postgres::open(&settings(database), Clock::System).await.unwrap()
}

pub(crate) fn settings(database: &Database) -> Settings {
    Settings {
        url: database.serving_url(),
        direct_url: None,
        pool: 4,
        prepared_statements: true,
        durability: Durability::Single,
    }
}

/// In memory where the machine has such a file system: fsync is what it is, and free.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

pub(crate) fn meta(revision: u64) -> Meta {
    Meta { revision, created_at: at(0), updated_at: at(i64::try_from(revision).unwrap()) }
}

pub(crate) fn tenant(n: u128) -> Tenant {
    let name: TenantName = format!("tenants/t{n}").parse().unwrap();
    Tenant { name, uid: TenantUid(Uuid::from_u128(n)), display_name: format!("Tenant {n}"), meta: meta(1) }
}

pub(crate) fn client(name: &str, n: u128) -> OauthClient {
    OauthClient {
        name: name.parse::<OauthClientName>().unwrap(),
        uid: OauthClientUid(Uuid::from_u128(n)),
        display_name: "App".to_owned(),
        provider: "procore".to_owned(),
        environment: "sandbox".to_owned(),
        client_id: "client".to_owned(),
        client_credentials_tenants: vec![tenant(1).name],
        current_secret: None,
        meta: meta(1),
    }
}

/// Of `tenants/t1`, through `oauthClients/app`.
pub(crate) fn connection(name: &str, n: u128) -> Connection {
    Connection {
        name: format!("tenants/t1/connections/{name}").parse::<ConnectionName>().unwrap(),
        uid: ConnectionUid(Uuid::from_u128(n)),
        tenant_uid: tenant(1).uid,
        display_name: "Connection".to_owned(),
        oauth_client: client("oauthClients/app", 1).name,
        grant_type: GrantType::AuthorizationCode,
        account_id: "4711".to_owned(),
        max_min_ttl: Some(Duration::from_mins(1)),
        generation_floor: Generation(0),
        meta: meta(1),
    }
}

/// `tenants/t1` and `oauthClients/app`.
pub(crate) async fn furnish(store: &impl Store) {
    assert_eq!(store.create_tenant(&tenant(1)).await.unwrap(), Written::Done);
    let app = client("oauthClients/app", 1);
    assert_eq!(store.create_oauth_client(&app).await.unwrap(), Written::Done);
}

/// A connection with its first pair: generation 1, refresh token 1 of `n`.
pub(crate) async fn connected(store: &impl Store, n: u128) -> ConnectionUid {
    let connection = connection(&format!("c{n}"), n);
    assert_eq!(store.create_connection(&connection).await.unwrap(), Written::Done);
    let first = new_pair(1, 0, token(u8::try_from(n).unwrap() * 10 + 1));
    store.reauthorise(TENANT, connection.uid, first, at(0)).await.unwrap();
    connection.uid
}

pub(crate) fn attempt(n: u128) -> AttemptId {
    AttemptId(Uuid::from_u128(n))
}

pub(crate) const fn nonce(n: u8) -> Nonce {
    Nonce([n; 32])
}

pub(crate) fn burn(n: u8, generation: u64) -> Burn {
    Burn {
        attempt: attempt(n.into()),
        generation: Generation(generation),
        nonce: nonce(n).hash(),
        replica: "replica".to_owned(),
        cause: "test".to_owned(),
    }
}

pub(crate) fn token(n: u8) -> RefreshToken {
    RefreshToken { sealed: Sealed(vec![n; 24]), fingerprint: Fingerprint([n; 32]) }
}

pub(crate) fn access(n: u8, expires_at: Timestamp) -> AccessToken {
    AccessToken { sealed: Sealed(vec![n, n]), issued_at: at(0), expires_at }
}

pub(crate) fn rotated(n: u8) -> Tokens {
    Tokens { access: Some(access(n, at(5400))), refresh: Successor::Rotated(token(n)) }
}

pub(crate) fn new_pair(generation: u64, epoch: u64, refresh: RefreshToken) -> Reauthorise {
    Reauthorise {
        generation: Generation(generation),
        epoch: Epoch(epoch),
        access: Some(access(refresh.fingerprint.0[0], at(5400))),
        refresh,
        endpoint: [7; 32],
        holder_lost_after: HOLDER_LOST_AFTER,
    }
}

pub(crate) async fn state(store: &impl Store, connection: ConnectionUid) -> State {
    store.grant(TENANT, connection).await.unwrap().unwrap().state
}

/// The newest outcome first.
pub(crate) async fn outcomes(store: &impl Store, connection: ConnectionUid) -> Vec<Option<Outcome>> {
    store.attempts(TENANT, connection, 100).await.unwrap().iter().map(Attempt::outcome).collect()
}

/// The oldest event first.
pub(crate) async fn told(store: &impl Store, connection: ConnectionUid) -> Vec<(u64, EventKind)> {
    let events = store.events(TENANT, connection, 100).await.unwrap();
    events.iter().rev().map(|event| (event.generation.0, event.kind)).collect()
}
