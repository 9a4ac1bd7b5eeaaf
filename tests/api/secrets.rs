//! Client secrets: write-only, numbered, proven before they may spend.

use token_broker_proto::v1::{
    AddClientSecretRequest, GetOAuthClientRequest, OAuthClient, PromoteClientSecretRequest,
    connection::State, standing::Breaker,
};
use tonic::Status;

use crate::{
    refusal::{bad_field, reason},
    world::{CLIENT, MAIN, SANDBOX, World, eventually},
};

#[tokio::test]
async fn a_second_secret_waits_for_its_promotion() {
    let world = World::new().await;
    assert_eq!(current(&client(&world).await), [true]);
    let added = add(&world, CLIENT, "the second secret").await.unwrap();
    assert_eq!(current(&added), [true, false]);
    let versions: Vec<_> = added.secret_versions.iter().map(|version| version.version).collect();
    assert_eq!(versions, [1, 2]);
    for unknown in [0, 3, u32::MAX] {
        assert_eq!(bad_field(promote(&world, unknown).await), "version");
    }
    assert_eq!(current(&client(&world).await), [true, false]);
    assert_eq!(current(&promote(&world, 2).await.unwrap()), [false, true]);
    assert_eq!(current(&promote(&world, 1).await.unwrap()), [true, false]);
}

#[tokio::test]
async fn a_secret_out_of_form_is_refused() {
    let world = World::new().await;
    for wrong in [String::new(), "s".repeat(4097)] {
        assert_eq!(bad_field(add(&world, CLIENT, &wrong).await), "client_secret");
    }
    assert_eq!(reason(add(&world, "oauthClients/absent", "secret").await), "NOT_FOUND");
    assert_eq!(client(&world).await.secret_versions.len(), 1);
}

#[tokio::test]
async fn a_wrong_secret_costs_no_refresh_token() {
    let world = World::new().await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    add(&world, CLIENT, "wrong").await.unwrap();
    promote(&world, 2).await.unwrap();
    for _ in 0..3 {
        assert_eq!(reason(world.token(MAIN).await), "OAUTH_CLIENT_REJECTED");
    }
    let standing = client(&world).await.standing.unwrap();
    assert_eq!((standing.breaker(), standing.cause.as_str()), (Breaker::Open, "invalid_client"));
    assert_eq!(world.simulator.presentations_of(&pair.refresh_token).len(), 0);
    // The right one again, and nothing was lost.
    promote(&world, 1).await.unwrap();
    let token = eventually("a token", async || world.token(MAIN).await.ok()).await;
    assert_eq!(token.generation, 2);
    assert_eq!(client(&world).await.standing.unwrap().breaker(), Breaker::Closed);
}

#[tokio::test]
async fn a_secret_that_was_reset_is_replaced_without_losing_more() {
    let world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    world.simulator.knobs(|knobs| {
        knobs.secret_reset_kills_refresh_tokens = false;
        knobs.consume_on_failed_refresh.clear();
    });
    let reset = world.simulator.reset_secret(SANDBOX, &world.app.client_id).unwrap();
    assert_eq!(reason(world.token(MAIN).await), "OAUTH_CLIENT_REJECTED");
    assert_eq!(world.connection(MAIN).await.state(), State::Active);
    add(&world, CLIENT, &reset.client_secret).await.unwrap();
    promote(&world, 2).await.unwrap();
    let token = eventually("a token", async || world.token(MAIN).await.ok()).await;
    assert_eq!((token.generation, world.refreshes()), (2, 1));
}

#[tokio::test]
async fn a_client_without_a_secret_says_so() {
    let world = World::bare(|_| {}).await;
    world.tenant("acme").await;
    let request = token_broker_proto::v1::CreateOAuthClientRequest {
        parent: "tenants/acme".to_owned(),
        oauth_client_id: "app".to_owned(),
        oauth_client: Some(OAuthClient {
            provider: "procore".to_owned(),
            environment: "sandbox".to_owned(),
            client_id: world.app.client_id.clone(),
            ..Default::default()
        }),
    };
    let made = world.operator.clients().create_o_auth_client(request).await.unwrap().into_inner();
    assert_eq!((made.secret_versions.len(), made.standing), (0, None));
    let grant_type = token_broker_proto::v1::connection::GrantType::AuthorizationCode;
    world.create(MAIN, CLIENT, grant_type).await.unwrap();
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    assert_eq!(reason(world.token(MAIN).await), "OAUTH_CLIENT_REJECTED");
    assert_eq!(world.simulator.log().len(), 0);
    let added = add(&world, CLIENT, &world.app.client_secret).await.unwrap();
    assert_eq!(current(&added), [true]);
    let token = eventually("a token", async || world.token(MAIN).await.ok()).await;
    assert_eq!(token.generation, 2);
}

async fn client(world: &World) -> OAuthClient {
    let request = GetOAuthClientRequest { name: CLIENT.to_owned() };
    world.operator.clients().get_o_auth_client(request).await.unwrap().into_inner()
}

async fn add(world: &World, name: &str, secret: &str) -> Result<OAuthClient, Status> {
    let request = AddClientSecretRequest { name: name.to_owned(), client_secret: secret.to_owned() };
    Ok(world.operator.clients().add_client_secret(request).await?.into_inner())
}

async fn promote(world: &World, version: u32) -> Result<OAuthClient, Status> {
    let request = PromoteClientSecretRequest { name: CLIENT.to_owned(), version };
    Ok(world.operator.clients().promote_client_secret(request).await?.into_inner())
}

fn current(client: &OAuthClient) -> Vec<bool> {
    client.secret_versions.iter().map(|version| version.current).collect()
}
