//! Tenants, OAuth clients and connections: made, read, changed and deleted, with etags and field masks.

use prost_types::FieldMask;
use token_broker_proto::v1::{
    Connection, CreateConnectionRequest, CreateOAuthClientRequest, CreateTenantRequest,
    DeleteConnectionRequest, DeleteOAuthClientRequest, DeleteTenantRequest, GetConnectionRequest,
    GetOAuthClientRequest, GetTenantRequest, OAuthClient, Tenant, UpdateConnectionRequest,
    UpdateOAuthClientRequest, UpdateTenantRequest, connection::GrantType,
};
use tonic::Status;

use crate::{
    refusal::{bad_field, reason},
    world::{CLIENT, MAIN, World},
};

#[tokio::test]
async fn a_tenant_from_birth_to_death() {
    let world = World::bare(|_| {}).await;
    let mut tenants = world.operator.tenants();
    let create = CreateTenantRequest {
        tenant_id: "acme".to_owned(),
        tenant: Some(Tenant { display_name: "Acme".to_owned(), ..Default::default() }),
    };
    let born = tenants.create_tenant(create.clone()).await.unwrap().into_inner();
    assert_eq!((born.name.as_str(), born.display_name.as_str()), ("tenants/acme", "Acme"));
    assert!(!born.uid.is_empty() && !born.etag.is_empty());
    assert_eq!(born.create_time, born.update_time);
    assert_eq!(reason(tenants.create_tenant(create.clone()).await), "ALREADY_EXISTS");
    let get = GetTenantRequest { name: "tenants/acme".to_owned() };
    assert_eq!(tenants.get_tenant(get.clone()).await.unwrap().into_inner(), born);

    let renamed = update_tenant(&world, "Acme Inc.", &born.etag, &["display_name"]).await.unwrap();
    assert_eq!((&renamed.uid, renamed.display_name.as_str()), (&born.uid, "Acme Inc."));
    assert_ne!(renamed.etag, born.etag);
    for etag in [born.etag.as_str(), "no etag of ours", "-1", "99999999999999999999"] {
        assert_eq!(reason(update_tenant(&world, "x", etag, &[]).await), "ETAG_MISMATCH");
        let delete = DeleteTenantRequest { name: "tenants/acme".to_owned(), etag: etag.to_owned() };
        assert_eq!(reason(tenants.delete_tenant(delete).await), "ETAG_MISMATCH");
    }
    for mask in ["name", "uid", "etag", "display_name.x", "DISPLAY_NAME", ""] {
        assert_eq!(bad_field(update_tenant(&world, "x", "", &[mask]).await), "update_mask", "{mask}");
    }
    assert_eq!(bad_field(update_tenant(&world, &"x".repeat(201), "", &[]).await), "display_name");
    assert_eq!(tenants.get_tenant(get.clone()).await.unwrap().into_inner(), renamed);
    update_tenant(&world, "by default everything", "", &[]).await.unwrap();

    let delete = DeleteTenantRequest { name: "tenants/acme".to_owned(), etag: String::new() };
    tenants.delete_tenant(delete.clone()).await.unwrap();
    assert_eq!(reason(tenants.delete_tenant(delete).await), "NOT_FOUND");
    assert_eq!(reason(tenants.get_tenant(get).await), "NOT_FOUND");
    assert_eq!(reason(update_tenant(&world, "x", "", &[]).await), "NOT_FOUND");
    // Another one under the old name.
    assert_ne!(tenants.create_tenant(create).await.unwrap().into_inner().uid, born.uid);
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let world = World::new().await;
    let (mut tenants, mut clients) = (world.operator.tenants(), world.operator.clients());
    let tenant = || DeleteTenantRequest { name: "tenants/acme".to_owned(), etag: String::new() };
    let client = || DeleteOAuthClientRequest { name: CLIENT.to_owned(), etag: String::new() };
    assert_eq!(reason(tenants.delete_tenant(tenant()).await), "RESOURCE_IN_USE");
    assert_eq!(reason(clients.delete_o_auth_client(client()).await), "RESOURCE_IN_USE");
    let connection = DeleteConnectionRequest { name: MAIN.to_owned(), etag: String::new() };
    world.operator.connections().delete_connection(connection).await.unwrap();
    assert_eq!(reason(tenants.delete_tenant(tenant()).await), "RESOURCE_IN_USE");
    clients.delete_o_auth_client(client()).await.unwrap();
    assert_eq!(reason(clients.delete_o_auth_client(client()).await), "NOT_FOUND");
    tenants.delete_tenant(tenant()).await.unwrap();
}

#[tokio::test]
async fn an_oauth_client_is_changed_where_it_can_be() {
    let world = World::new().await;
    let mut clients = world.operator.clients();
    let get = GetOAuthClientRequest { name: CLIENT.to_owned() };
    let born = clients.get_o_auth_client(get.clone()).await.unwrap().into_inner();
    let wanted = OAuthClient {
        display_name: "App".to_owned(),
        client_credentials_tenants: vec!["tenants/acme".to_owned()],
        client_id: "another".to_owned(),
        environment: "another".to_owned(),
        ..born.clone()
    };
    let named = update_client(&world, wanted.clone(), &["display_name"]).await.unwrap();
    assert_eq!((named.display_name.as_str(), named.client_credentials_tenants.len()), ("App", 0));
    assert_eq!((&named.client_id, &named.environment), (&born.client_id, &born.environment));
    assert_eq!(reason(update_client(&world, wanted.clone(), &[]).await), "ETAG_MISMATCH");
    let wanted = OAuthClient { etag: named.etag, ..wanted };
    for mask in ["client_id", "environment", "secret_versions", "nothing"] {
        assert_eq!(bad_field(update_client(&world, wanted.clone(), &[mask]).await), "update_mask");
    }
    let bad = OAuthClient { client_credentials_tenants: vec!["acme".to_owned()], ..wanted.clone() };
    let refused = update_client(&world, bad, &["client_credentials_tenants"]).await;
    assert_eq!(bad_field(refused), "oauth_client.client_credentials_tenants");
    let all = update_client(&world, wanted, &["*"]).await.unwrap();
    assert_eq!(all.client_credentials_tenants, ["tenants/acme"]);
    assert_eq!(clients.get_o_auth_client(get).await.unwrap().into_inner(), all);
    let absent = OAuthClient { name: "oauthClients/absent".to_owned(), ..Default::default() };
    assert_eq!(reason(update_client(&world, absent, &[]).await), "NOT_FOUND");
}

#[tokio::test]
async fn an_oauth_client_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    let good = OAuthClient {
        provider: "procore".to_owned(),
        environment: "sandbox".to_owned(),
        client_id: "id".to_owned(),
        ..Default::default()
    };
    let create = async |parent: &str, id: &str, client: OAuthClient| {
        let (parent, oauth_client_id) = (parent.to_owned(), id.to_owned());
        let request = CreateOAuthClientRequest { parent, oauth_client_id, oauth_client: Some(client) };
        world.operator.clients().create_o_auth_client(request).await
    };
    let with = |change: fn(&mut OAuthClient)| {
        let mut client = good.clone();
        change(&mut client);
        client
    };
    for (wrong, field) in [
        (with(|client| client.provider = "nobody".to_owned()), "oauth_client.provider"),
        (with(|client| client.environment = "nowhere".to_owned()), "oauth_client.provider"),
        (with(|client| client.client_id.clear()), "oauth_client.client_id"),
        (with(|client| client.client_id = "two words".to_owned()), "oauth_client.client_id"),
        (with(|client| client.client_id = "line\nbreak".to_owned()), "oauth_client.client_id"),
        (with(|client| client.client_id = "x".repeat(4097)), "oauth_client.client_id"),
        (with(|client| client.display_name = "x".repeat(201)), "display_name"),
        (OAuthClient::default(), "oauth_client.provider"),
    ] {
        assert_eq!(bad_field(create("", "new", wrong).await), field);
    }
    assert_eq!(bad_field(create("acme", "new", good.clone()).await), "parent");
    assert_eq!(reason(create("tenants/absent", "new", good.clone()).await), "NOT_FOUND");
    assert_eq!(reason(create("tenants/acme", "app", good.clone()).await), "ALREADY_EXISTS");
    // The same id, shared by tenants, is another name.
    create("", "app", good).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_changed_where_it_can_be() {
    let world = World::new().await;
    let born = world.connection(MAIN).await;
    let day = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
    let wanted = Connection {
        display_name: "Main".to_owned(),
        max_min_ttl: day,
        account_id: "1".to_owned(),
        ..born.clone()
    };
    let named = update_connection(&world, wanted.clone(), &["display_name"]).await.unwrap();
    assert_eq!((named.display_name.as_str(), named.max_min_ttl), ("Main", None));
    assert_eq!(named.account_id, born.account_id);
    assert_eq!(reason(update_connection(&world, wanted.clone(), &[]).await), "ETAG_MISMATCH");
    let wanted = Connection { etag: named.etag, ..wanted };
    for mask in ["account_id", "grant_type", "oauth_client", "state", "nothing"] {
        assert_eq!(bad_field(update_connection(&world, wanted.clone(), &[mask]).await), "update_mask");
    }
    let negative = prost_types::Duration { seconds: -1, nanos: 0 };
    let negative = Connection { max_min_ttl: Some(negative), ..wanted.clone() };
    assert_eq!(bad_field(update_connection(&world, negative, &[]).await), "connection.max_min_ttl");
    let all = update_connection(&world, wanted, &["display_name", "max_min_ttl"]).await.unwrap();
    assert_eq!(all.max_min_ttl, day);
    let unset = Connection { name: MAIN.to_owned(), ..Default::default() };
    let unset = update_connection(&world, unset, &["max_min_ttl"]).await.unwrap();
    assert_eq!((unset.max_min_ttl, unset.display_name.as_str()), (None, "Main"));

    let delete = DeleteConnectionRequest { name: MAIN.to_owned(), etag: born.etag };
    let mut connections = world.operator.connections();
    assert_eq!(reason(connections.delete_connection(delete.clone()).await), "ETAG_MISMATCH");
    let delete = DeleteConnectionRequest { etag: unset.etag, ..delete };
    connections.delete_connection(delete.clone()).await.unwrap();
    assert_eq!(reason(connections.delete_connection(delete).await), "NOT_FOUND");
    let get = GetConnectionRequest { name: MAIN.to_owned() };
    assert_eq!(reason(connections.get_connection(get).await), "NOT_FOUND");
}

#[tokio::test]
async fn a_connection_that_makes_no_sense_is_refused() {
    let world = World::new().await;
    world.tenant("globex").await;
    let good = Connection {
        oauth_client: CLIENT.to_owned(),
        grant_type: GrantType::AuthorizationCode.into(),
        account_id: "42".to_owned(),
        ..Default::default()
    };
    let create = async |parent: &str, connection: Connection| {
        let (parent, connection_id) = (parent.to_owned(), "new".to_owned());
        let request = CreateConnectionRequest { parent, connection_id, connection: Some(connection) };
        world.operator.connections().create_connection(request).await
    };
    // What a provider cannot have issued: it would be put into a header.
    for account in ["", "0", "007", "-1", "4 2", "42\r\nX-Evil: 1", "18446744073709551616", "½"] {
        let wrong = Connection { account_id: account.to_owned(), ..good.clone() };
        assert_eq!(bad_field(create("tenants/acme", wrong).await), "connection.account_id", "{account:?}");
    }
    let wrong = Connection { grant_type: 0, ..good.clone() };
    assert_eq!(bad_field(create("tenants/acme", wrong).await), "connection.grant_type");
    let wrong = Connection { grant_type: 77, ..good.clone() };
    assert_eq!(bad_field(create("tenants/acme", wrong).await), "connection.grant_type");
    let wrong = Connection { oauth_client: "app".to_owned(), ..good.clone() };
    assert_eq!(bad_field(create("tenants/acme", wrong).await), "connection.oauth_client");
    let wrong = Connection { oauth_client: "oauthClients/absent".to_owned(), ..good.clone() };
    assert_eq!(reason(create("tenants/acme", wrong).await), "NOT_FOUND");
    // Another tenant's client.
    assert_eq!(bad_field(create("tenants/globex", good.clone()).await), "connection.oauth_client");
    assert_eq!(reason(create("tenants/absent", good.clone()).await), "NOT_FOUND");
    assert_eq!(bad_field(create("acme", good.clone()).await), "parent");
    create("tenants/acme", good.clone()).await.unwrap();
    assert_eq!(reason(create("tenants/acme", good).await), "ALREADY_EXISTS");
}

async fn update_tenant(
    world: &World,
    display_name: &str,
    etag: &str,
    paths: &[&str],
) -> Result<Tenant, Status> {
    let tenant = Tenant {
        name: "tenants/acme".to_owned(),
        display_name: display_name.to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    let request = UpdateTenantRequest { tenant: Some(tenant), update_mask: Some(mask(paths)) };
    Ok(world.operator.tenants().update_tenant(request).await?.into_inner())
}

async fn update_client(world: &World, client: OAuthClient, paths: &[&str]) -> Result<OAuthClient, Status> {
    let request = UpdateOAuthClientRequest { oauth_client: Some(client), update_mask: Some(mask(paths)) };
    Ok(world.operator.clients().update_o_auth_client(request).await?.into_inner())
}

async fn update_connection(
    world: &World,
    connection: Connection,
    paths: &[&str],
) -> Result<Connection, Status> {
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask: Some(mask(paths)) };
    Ok(world.operator.connections().update_connection(request).await?.into_inner())
}

fn mask(paths: &[&str]) -> FieldMask {
    FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() }
}
