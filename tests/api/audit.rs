//! Who did what: an intent before each change, an outcome after it, in the name of whoever asked.

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use token_broker_proto::v1::{
    Connection, DeleteConnectionRequest, DeleteOAuthClientRequest, DeleteTenantRequest, OAuthClient,
    PromoteClientSecretRequest, Tenant, UpdateConnectionRequest, UpdateOAuthClientRequest,
    UpdateTenantRequest,
};

use crate::world::{CLIENT, MAIN, World};

#[tokio::test]
async fn every_change_leaves_its_two_lines() {
    let world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    world.refresh(MAIN).await.unwrap();
    world.oauth_client("oauthClients/shared", "procore", &[]).await;
    let (mut tenants, mut clients) = (world.operator.tenants(), world.operator.clients());
    let mut connections = world.operator.connections();
    let connection = Some(Connection { name: MAIN.to_owned(), ..Default::default() });
    let update = UpdateConnectionRequest { connection, update_mask: None };
    connections.update_connection(update).await.unwrap();
    let oauth_client = Some(OAuthClient { name: CLIENT.to_owned(), ..Default::default() });
    let update = UpdateOAuthClientRequest { oauth_client, update_mask: None };
    clients.update_o_auth_client(update).await.unwrap();
    let promote = PromoteClientSecretRequest { name: CLIENT.to_owned(), version: 1 };
    clients.promote_client_secret(promote).await.unwrap();
    let tenant = Some(Tenant { name: "tenants/acme".to_owned(), ..Default::default() });
    tenants.update_tenant(UpdateTenantRequest { tenant, update_mask: None }).await.unwrap();
    let delete = DeleteConnectionRequest { name: MAIN.to_owned(), etag: String::new() };
    connections.delete_connection(delete).await.unwrap();
    let delete = DeleteOAuthClientRequest { name: CLIENT.to_owned(), etag: String::new() };
    clients.delete_o_auth_client(delete).await.unwrap();
    let delete = DeleteTenantRequest { name: "tenants/acme".to_owned(), etag: String::new() };
    tenants.delete_tenant(delete).await.unwrap();
    // Reading leaves none.
    world
        .operator
        .tenants()
        .list_tenants(token_broker_proto::v1::ListTenantsRequest::default())
        .await
        .unwrap();

    let done: Vec<_> = [
        ("TenantService.CreateTenant", "tenants/acme"),
        ("OAuthClientService.CreateOAuthClient", CLIENT),
        ("OAuthClientService.AddClientSecret", CLIENT),
        ("ConnectionService.CreateConnection", MAIN),
        ("ConnectionService.ImportConnection", MAIN),
        ("ConnectionService.RefreshConnection", MAIN),
        ("OAuthClientService.CreateOAuthClient", "oauthClients/shared"),
        ("OAuthClientService.AddClientSecret", "oauthClients/shared"),
        ("ConnectionService.UpdateConnection", MAIN),
        ("OAuthClientService.UpdateOAuthClient", CLIENT),
        ("OAuthClientService.PromoteClientSecret", CLIENT),
        ("TenantService.UpdateTenant", "tenants/acme"),
        ("ConnectionService.DeleteConnection", MAIN),
        ("OAuthClientService.DeleteOAuthClient", CLIENT),
        ("TenantService.DeleteTenant", "tenants/acme"),
    ]
    .into_iter()
    .flat_map(|(action, resource)| [(action, resource, "intent"), (action, resource, "done")])
    .map(|(action, resource, outcome)| line("static:olga", action, resource, outcome))
    .collect();
    assert_eq!(audit(&world).await, done);
}

#[tokio::test]
async fn what_was_refused_is_noted_too() {
    let world = World::bare(|_| {}).await;
    let delete = DeleteTenantRequest { name: "tenants/absent".to_owned(), etag: String::new() };
    world.operator.tenants().delete_tenant(delete.clone()).await.unwrap_err();
    // Whoever may not call at all never gets that far.
    world.consumer.tenants().delete_tenant(delete).await.unwrap_err();
    let line = |outcome| line("static:olga", "TenantService.DeleteTenant", "tenants/absent", outcome);
    assert_eq!(audit(&world).await, [line("intent"), line("NotFound")]);
}

type Line = (String, String, String, String);

fn line(principal: &str, action: &str, resource: &str, outcome: &str) -> Line {
    (principal.to_owned(), action.to_owned(), resource.to_owned(), outcome.to_owned())
}

/// The whole table, oldest first.
async fn audit(world: &World) -> Vec<Line> {
    let options = SqliteConnectOptions::new().filename(world.place.path().join("broker.db")).read_only(true);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let lines = sqlx::query_as("SELECT principal, action, resource, outcome FROM audit ORDER BY seq")
        .fetch_all(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    lines
}
