//! Ids and names out of form.

use token_broker_proto::v1::{
    CreateTenantRequest, DeleteConnectionRequest, GetConnectionRequest, GetOAuthClientRequest,
    GetTenantRequest, InspectConnectionRequest, ListConnectionsRequest, connection::GrantType,
};

use crate::{
    refusal::{bad_field, reason},
    world::{CLIENT, World},
};

const BAD_IDS: [&str; 14] = [
    "",
    "A",
    "aB",
    "1a",
    "-a",
    "a_b",
    "a.b",
    "a/b",
    "a b",
    "a\n",
    "a\0",
    "é",
    "..",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

#[tokio::test]
async fn ids() {
    let world = World::new().await;
    for id in BAD_IDS {
        let tenant = CreateTenantRequest { tenant_id: id.to_owned(), tenant: None };
        assert_eq!(bad_field(world.operator.tenants().create_tenant(tenant).await), "tenant_id", "{id:?}");
        if !id.contains('/') {
            let name = format!("tenants/acme/connections/{id}");
            let created = world.create(&name, CLIENT, GrantType::AuthorizationCode).await;
            assert_eq!(bad_field(created), "connection_id", "{id:?}");
        }
    }
    // The longest and the shortest.
    world.tenant(&"a".repeat(63)).await;
    world.tenant("a").await;
    world.tenant("a-").await;
}

#[tokio::test]
async fn names() {
    let world = World::new().await;
    for id in BAD_IDS {
        let name = format!("tenants/{id}");
        assert_eq!(
            bad_field(world.operator.tenants().get_tenant(GetTenantRequest { name }).await),
            "name",
            "{id:?}"
        );
        let name = format!("oauthClients/{id}");
        let client = world.operator.clients().get_o_auth_client(GetOAuthClientRequest { name }).await;
        assert_eq!(bad_field(client), "name", "{id:?}");
    }
    for name in [
        "",
        "main",
        "tenants/acme",
        "tenants/acme/connections",
        "tenants/acme/connections/",
        "tenants/acme/connections/main/",
        "/tenants/acme/connections/main",
        "tenants//connections/main",
        "tenants/acme/oauthClients/main",
        "tenants/acme/connections/main/attempts/1",
        "TENANTS/acme/connections/main",
        "tenants/*/connections/main",
        "tenants/-/connections/main",
        "tenants/acme/connections/../../globex/connections/main",
    ] {
        let mut connections = world.operator.connections();
        let text = name.to_owned();
        assert_eq!(bad_field(world.token(name).await), "name", "{name}");
        assert_eq!(bad_field(world.refresh(name).await), "name", "{name}");
        assert_eq!(bad_field(world.import(name, "token").await), "name", "{name}");
        let get = GetConnectionRequest { name: text.clone() };
        assert_eq!(bad_field(connections.get_connection(get).await), "name", "{name}");
        let inspect = InspectConnectionRequest { name: text.clone() };
        assert_eq!(bad_field(connections.inspect_connection(inspect).await), "name", "{name}");
        let delete = DeleteConnectionRequest { name: text, etag: String::new() };
        assert_eq!(bad_field(connections.delete_connection(delete).await), "name", "{name}");
    }
    let list = ListConnectionsRequest { parent: "acme".to_owned(), ..Default::default() };
    assert_eq!(bad_field(world.operator.connections().list_connections(list).await), "parent");
}

#[tokio::test]
async fn names_of_nothing() {
    let world = World::new().await;
    for name in ["tenants/acme/connections/absent", "tenants/absent/connections/main"] {
        let mut connections = world.operator.connections();
        let text = name.to_owned();
        assert_eq!(reason(world.refresh(name).await), "NOT_FOUND");
        assert_eq!(reason(world.import(name, "token").await), "NOT_FOUND");
        let inspect = InspectConnectionRequest { name: text.clone() };
        assert_eq!(reason(connections.inspect_connection(inspect).await), "NOT_FOUND");
        let delete = DeleteConnectionRequest { name: text, etag: String::new() };
        assert_eq!(reason(connections.delete_connection(delete).await), "NOT_FOUND");
    }
    // A consumer may know what is absent in its own tenant.
    assert_eq!(reason(world.token("tenants/acme/connections/absent").await), "NOT_FOUND");
}
