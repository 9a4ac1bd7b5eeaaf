//! Client credentials: one token per OAuth client, shared by those whom the client names.

use token_broker_proto::v1::{
    DeleteConnectionRequest, GetAccessTokenRequest, OAuthClient, UpdateOAuthClientRequest,
    connection::{GrantType, State},
};

use crate::{
    caller::Caller,
    refusal::{bad_field, reason},
    world::{MAIN, OPERATOR, SANDBOX, World, soon},
};

const SHARED: &str = "oauthClients/shared";

#[tokio::test]
async fn one_token_for_all_who_may_have_it() {
    let world = shared(&["acme", "globex"]).await;
    let calls = (0..90).map(|index| get(&world, index));
    let tokens = soon("the tokens", futures_util::future::join_all(calls)).await;
    let first = tokens[0].as_ref().unwrap();
    assert!(tokens.iter().all(|token| token.as_ref().unwrap().access_token == first.access_token));
    assert_eq!((first.generation, world.simulator.log().len()), (1, 1));
    for index in 0..3 {
        let inspected = world.inspect(&name(index)).await;
        assert_eq!(inspected.connection.unwrap().state(), State::Active);
        // Nothing was burnt: there is nothing that could be.
        assert_eq!((inspected.grant_state.as_str(), inspected.attempts.len()), ("", 0));
    }
}

#[tokio::test]
async fn a_tenant_that_the_client_does_not_name_gets_no_connection() {
    let world = shared(&["acme"]).await;
    let created = world.create(&name(1), SHARED, GrantType::ClientCredentials).await;
    assert_eq!(bad_field(created), "connection.oauth_client");
    // The user's own authorisation is another matter.
    world.create(&name(1), SHARED, GrantType::AuthorizationCode).await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_named_no_more_gets_nothing_although_it_is_in_memory() {
    let mut world = shared(&["acme", "globex"]).await;
    for index in 0..2 {
        get(&world, index).await.unwrap();
    }
    allow(&world, &["globex"]).await;
    assert_eq!(reason(get(&world, 0).await), "PERMISSION_DENIED");
    assert_eq!(reason(world.refresh(&name(0)).await), "PERMISSION_DENIED");
    get(&world, 1).await.unwrap();
    assert_eq!(world.simulator.log().len(), 1);
    // Nor after a restart, from the database.
    world.restart(async |_| {}).await;
    assert_eq!(reason(get(&world, 0).await), "PERMISSION_DENIED");
    get(&world, 1).await.unwrap();
    assert_eq!(world.simulator.log().len(), 1);
}

#[tokio::test]
async fn an_expired_token_is_replaced_once_for_all() {
    let world = shared(&["acme", "globex"]).await;
    world.simulator.knobs(|knobs| knobs.access_ttl = 1);
    get(&world, 0).await.unwrap();
    world.simulator.knobs(|knobs| knobs.access_ttl = 5400);
    tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
    let calls = (0..90).map(|index| get(&world, index));
    let tokens = soon("the tokens", futures_util::future::join_all(calls)).await;
    assert!(tokens.into_iter().all(|token| token.unwrap().generation == 2));
    assert_eq!(world.simulator.log().len(), 2);
}

#[tokio::test]
async fn reports_of_a_bad_token_cost_one_request_per_interval() {
    let world = shared(&["acme", "globex"]).await;
    get(&world, 0).await.unwrap();
    for generation in [1, 2] {
        let calls = (0..30).map(|index| ask(&world, name(index), Some(generation)));
        for token in soon("the tokens", futures_util::future::join_all(calls)).await {
            assert_eq!(token.unwrap().generation, 2);
        }
    }
    assert_eq!(world.simulator.log().len(), 2);
}

#[tokio::test]
async fn generations_grow_over_deletion() {
    let world = shared(&["acme", "globex"]).await;
    get(&world, 0).await.unwrap();
    let before = world.refresh(&name(0)).await.unwrap().generation;
    let request = DeleteConnectionRequest { name: name(0), etag: String::new() };
    world.operator.connections().delete_connection(request).await.unwrap();
    world.create(&name(0), SHARED, GrantType::ClientCredentials).await.unwrap();
    let after = get(&world, 0).await.unwrap().generation;
    assert!(after > before, "{after} after {before}");
}

#[tokio::test]
async fn a_proof_that_ends_the_earlier_token_leaves_nobody_with_it() {
    let mut world = shared(&["acme", "globex"]).await;
    world.simulator.knobs(|knobs| knobs.client_credentials_revokes_previous = true);
    world.create(MAIN, SHARED, GrantType::AuthorizationCode).await.unwrap();
    let held = get(&world, 0).await.unwrap();
    // A new process trusts no secret before it has seen it work: the refresh is preceded by a proof.
    world.restart(async |_| {}).await;
    assert_eq!(get(&world, 0).await.unwrap().access_token, held.access_token);
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    world.token(MAIN).await.unwrap();
    assert_eq!(world.requests("client_credentials"), 2);
    for index in 0..3 {
        let token = get(&world, index).await.unwrap();
        assert_eq!(token.generation, held.generation + 1);
        assert!(alive(&world, &token.access_token).await);
        assert!(!alive(&world, &held.access_token).await);
    }
}

/// A client that names these tenants, and three connections of two of them where it may have them.
async fn shared(tenants: &[&str]) -> World {
    let world = World::bare(|_| {}).await;
    let names: Vec<_> = tenants.iter().map(|tenant| format!("tenants/{tenant}")).collect();
    for tenant in ["acme", "globex"] {
        world.tenant(tenant).await;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    world.oauth_client(SHARED, "procore", &names).await;
    for index in (0..3).filter(|index| tenants.contains(&tenant(*index))) {
        world.create(&name(index), SHARED, GrantType::ClientCredentials).await.unwrap();
    }
    world
}

fn tenant(index: usize) -> &'static str {
    if index % 3 == 1 { "globex" } else { "acme" }
}

fn name(index: usize) -> String {
    format!("tenants/{}/connections/service-{}", tenant(index), index % 3)
}

async fn get(
    world: &World,
    index: usize,
) -> Result<token_broker_proto::v1::GetAccessTokenResponse, tonic::Status> {
    ask(world, name(index), None).await
}

async fn ask(
    world: &World,
    name: String,
    rejected_generation: Option<u64>,
) -> Result<token_broker_proto::v1::GetAccessTokenResponse, tonic::Status> {
    let request = GetAccessTokenRequest { name, rejected_generation, ..Default::default() };
    Ok(Caller::of(world.address(), Some(OPERATOR)).tokens().get_access_token(request).await?.into_inner())
}

async fn allow(world: &World, tenants: &[&str]) {
    let client_credentials_tenants = tenants.iter().map(|tenant| format!("tenants/{tenant}")).collect();
    let client = OAuthClient { name: SHARED.to_owned(), client_credentials_tenants, ..Default::default() };
    let paths = vec!["client_credentials_tenants".to_owned()];
    let update_mask = Some(prost_types::FieldMask { paths });
    let request = UpdateOAuthClientRequest { oauth_client: Some(client), update_mask };
    world.operator.clients().update_o_auth_client(request).await.unwrap();
}

/// Whether the provider says that this token is good.
async fn alive(world: &World, token: &str) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = world.simulator.oauth_base(SANDBOX);
    let host = host.trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!(
        "GET /oauth/token/info HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.starts_with("HTTP/1.1 200")
}
