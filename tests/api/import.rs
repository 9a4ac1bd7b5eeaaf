//! `ImportConnection`: a refresh token from elsewhere, and the ways in which it could be presented twice.

use procore_simulator::{Fault, FaultKind, Phase, Target};
use token_broker_proto::v1::{
    Connection, DeleteConnectionRequest, ImportConnectionRequest,
    connection::{GrantType, State},
};
use tonic::{Code, Status};

use crate::{
    refusal::{bad_field, reason, refusal},
    world::{CLIENT, MAIN, World, seconds_from_now},
};

const OTHER: &str = "tenants/acme/connections/other";

#[tokio::test]
async fn what_is_no_token_is_refused_and_changes_nothing() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    let before = world.connection(MAIN).await;
    assert_eq!(bad_field(world.import(MAIN, "").await), "refresh_token");
    assert_eq!(bad_field(world.import(MAIN, &"r".repeat(16 * 1024 + 1)).await), "refresh_token");
    let with_access = |access_token: &str, access_token_expire_time| ImportConnectionRequest {
        name: MAIN.to_owned(),
        refresh_token: "refresh".to_owned(),
        access_token: access_token.to_owned(),
        access_token_expire_time,
    };
    let endless = with_access("access", None);
    assert_eq!(bad_field(import(&world, endless).await), "access_token_expire_time");
    let oversized = with_access(&"a".repeat(16 * 1024 + 1), Some(seconds_from_now(60)));
    assert_eq!(bad_field(import(&world, oversized).await), "access_token");
    let no_time = with_access("access", Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }));
    assert_eq!(bad_field(import(&world, no_time).await), "access_token_expire_time");
    let no_time = with_access("access", Some(prost_types::Timestamp { seconds: 0, nanos: -1 }));
    assert_eq!(bad_field(import(&world, no_time).await), "access_token_expire_time");
    assert_eq!(world.connection(MAIN).await, before);
    // The largest that is taken.
    world.import(MAIN, &"r".repeat(16 * 1024)).await.unwrap();
}

#[tokio::test]
async fn a_message_beyond_all_measure_is_refused() {
    let world = World::new().await;
    let status = world.import(MAIN, &"r".repeat(1 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(world.connection(MAIN).await.state(), State::PendingAuthorization);
}

#[tokio::test]
async fn a_token_that_is_held_is_refused_everywhere() {
    let world = two_tenants().await;
    let token = world.authorise().refresh_token;
    world.import(MAIN, &token).await.unwrap();
    known_everywhere(&world, &token).await;
    // The connection that has it keeps it.
    assert_eq!(world.token(MAIN).await.unwrap().generation, 2);
}

#[tokio::test]
async fn a_token_that_was_spent_is_refused_everywhere() {
    let world = two_tenants().await;
    let token = world.authorise().refresh_token;
    world.import(MAIN, &token).await.unwrap();
    for _ in 0..3 {
        world.refresh(MAIN).await.unwrap();
    }
    known_everywhere(&world, &token).await;
    assert_eq!(world.simulator.presentations_of(&token).len(), 1);
}

#[tokio::test]
async fn a_token_that_a_deleted_connection_has_spent_is_refused_everywhere() {
    let world = two_tenants().await;
    let token = world.authorise().refresh_token;
    world.import(MAIN, &token).await.unwrap();
    world.refresh(MAIN).await.unwrap();
    delete(&world, MAIN).await;
    world.create(MAIN, CLIENT, GrantType::AuthorizationCode).await.unwrap();
    known_everywhere(&world, &token).await;
    assert_eq!(world.connection(MAIN).await.state(), State::PendingAuthorization);
    assert_eq!(world.simulator.presentations_of(&token).len(), 1);
}

/// Let go of unspent, it may come back: nobody has presented it, and whoever does is alone.
#[tokio::test]
async fn a_token_that_was_never_spent_is_spent_once_wherever_it_goes() {
    let world = two_tenants().await;
    let (deleted, displaced) = (world.authorise().refresh_token, world.authorise().refresh_token);
    world.import(MAIN, &deleted).await.unwrap();
    delete(&world, MAIN).await;
    world.create(MAIN, CLIENT, GrantType::AuthorizationCode).await.unwrap();
    world.import(OTHER, &displaced).await.unwrap();
    world.import(OTHER, &world.authorise().refresh_token).await.unwrap();
    for (name, token) in [(OTHER, deleted), (FOREIGN, displaced)] {
        world.import(name, &token).await.unwrap();
        world.refresh(name).await.unwrap();
        known_everywhere(&world, &token).await;
        assert_eq!(world.simulator.presentations_of(&token).len(), 1);
    }
}

#[tokio::test]
async fn an_import_replaces_what_there_was() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    let held = world.token(MAIN).await.unwrap();
    let pair = world.import_alive(MAIN, 3600).await;
    let token = world.token(MAIN).await.unwrap();
    assert_eq!((token.access_token, token.generation), (pair.access_token, held.generation + 1));
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn an_import_ends_doubt() {
    let world = World::new().await;
    let lost = world.authorise();
    world.import(MAIN, &lost.refresh_token).await.unwrap();
    let silence = Fault::new(FaultKind::Reset).at(Phase::AfterProcessing);
    world.simulator.inject(silence.on(Target::grant(&lost.grant_id)));
    assert_eq!(reason(world.token(MAIN).await), "REFRESH_IN_DOUBT");
    // Not with the token that is in doubt.
    assert_eq!(reason(world.import(MAIN, &lost.refresh_token).await), "TOKEN_ALREADY_KNOWN");
    assert_eq!(world.connection(MAIN).await.state(), State::InDoubt);
    let imported = world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    assert_eq!((imported.state(), imported.generation), (State::Active, 2));
    assert_eq!(world.token(MAIN).await.unwrap().generation, 3);
    assert_eq!(world.simulator.presentations_of(&lost.refresh_token).len(), 1);
    let outcomes: Vec<_> = world.inspect(MAIN).await.attempts.into_iter().map(|a| a.outcome).collect();
    assert_eq!(outcomes, ["settled", "superseded"]);
}

#[tokio::test]
async fn generations_never_restart() {
    let world = World::new().await;
    let mut last = 0;
    for _ in 0..3 {
        world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
        world.refresh(MAIN).await.unwrap();
        let generation = world.token(MAIN).await.unwrap().generation;
        assert!(generation > last, "{generation} after {last}");
        last = generation;
        let uid = world.connection(MAIN).await.uid;
        delete(&world, MAIN).await;
        assert_eq!(reason(world.token(MAIN).await), "NOT_FOUND");
        let born = world.create(MAIN, CLIENT, GrantType::AuthorizationCode).await.unwrap();
        assert!(born.uid != uid && born.generation >= last, "{} after {last}", born.generation);
        assert_eq!(reason(world.token(MAIN).await), "AUTHORIZATION_PENDING");
    }
}

#[tokio::test]
async fn of_two_connections_that_want_one_token_one_gets_it() {
    let world = two_tenants().await;
    for _ in 0..5 {
        let token = world.authorise().refresh_token;
        let (one, two) = futures_util::join!(world.import(MAIN, &token), world.import(OTHER, &token));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert_eq!(reason(if one.is_err() { one } else { two }), "TOKEN_ALREADY_KNOWN");
    }
}

#[tokio::test]
async fn a_connection_without_refresh_tokens_takes_none() {
    let world = World::new().await;
    world.create(OTHER, CLIENT, GrantType::ClientCredentials).await.unwrap();
    assert_eq!(bad_field(world.import(OTHER, "refresh").await), "name");
    assert_eq!(reason(world.import("tenants/acme/connections/absent", "refresh").await), "NOT_FOUND");
}

/// The tenants `acme` and `globex`, with three connections between them.
async fn two_tenants() -> World {
    let world = World::new().await;
    world.tenant("globex").await;
    world.oauth_client("tenants/globex/oauthClients/app", "procore", &[]).await;
    let grant_type = GrantType::AuthorizationCode;
    world.create(OTHER, CLIENT, grant_type).await.unwrap();
    world.create(FOREIGN, "tenants/globex/oauthClients/app", grant_type).await.unwrap();
    world
}

const FOREIGN: &str = "tenants/globex/connections/main";

async fn known_everywhere(world: &World, token: &str) {
    for name in [MAIN, OTHER, FOREIGN] {
        let before = world.connection(name).await;
        let refused = refusal(world.import(name, token).await);
        assert_eq!(refused.reason, "TOKEN_ALREADY_KNOWN", "{name}");
        assert_eq!(world.connection(name).await, before);
    }
}

async fn import(world: &World, request: ImportConnectionRequest) -> Result<Connection, Status> {
    Ok(world.operator.connections().import_connection(request).await?.into_inner())
}

async fn delete(world: &World, name: &str) {
    let request = DeleteConnectionRequest { name: name.to_owned(), etag: String::new() };
    world.operator.connections().delete_connection(request).await.unwrap();
}
