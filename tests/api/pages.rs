//! Lists, page by page.

use token_broker_proto::v1::{
    ListConnectionsRequest, ListOAuthClientsRequest, ListTenantsRequest, connection::GrantType,
};

use crate::{
    refusal::bad_field,
    world::{CLIENT, World},
};

const SIZES: [i32; 4] = [1, 2, 6, 7];

#[tokio::test]
async fn tenants() {
    let world = World::bare(|_| {}).await;
    let ids: Vec<_> = (0..7).map(|index| format!("t{index}-{}", "x".repeat(index))).collect();
    for id in &ids {
        world.tenant(id).await;
    }
    let expected: Vec<_> = ids.iter().map(|id| format!("tenants/{id}")).collect();
    for page_size in SIZES {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListTenantsRequest { page_size, page_token };
            let page = world.operator.tenants().list_tenants(request).await.unwrap().into_inner();
            assert!(!page.tenants.is_empty() && page.tenants.len() <= usize::try_from(page_size).unwrap());
            found.extend(page.tenants.into_iter().map(|tenant| tenant.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {page_size}");
    }
    let whole = ListTenantsRequest { page_size: 1_000_000, page_token: String::new() };
    let whole = world.operator.tenants().list_tenants(whole).await.unwrap().into_inner();
    assert_eq!((whole.tenants.len(), whole.next_page_token.as_str()), (7, ""));
}

#[tokio::test]
async fn connections_of_one_tenant() {
    let world = World::new().await;
    world.tenant("acme-too").await;
    world.oauth_client("tenants/acme-too/oauthClients/app", "procore", &[]).await;
    let foreign = "tenants/acme-too/connections/foreign";
    let grant_type = GrantType::AuthorizationCode;
    world.create(foreign, "tenants/acme-too/oauthClients/app", grant_type).await.unwrap();
    let mut expected = vec!["tenants/acme/connections/main".to_owned()];
    for index in 0..6 {
        let name = format!("tenants/acme/connections/c{index}");
        world.create(&name, CLIENT, grant_type).await.unwrap();
        expected.push(name);
    }
    expected.sort();
    for page_size in SIZES {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let parent = "tenants/acme".to_owned();
            let request = ListConnectionsRequest { parent, page_size, page_token };
            let page = world.operator.connections().list_connections(request).await.unwrap().into_inner();
            found.extend(page.connections.into_iter().map(|connection| connection.name));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "in pages of {page_size}");
    }
}

#[tokio::test]
async fn oauth_clients_of_one_tenant_and_shared_ones() {
    let world = World::new().await;
    for index in 0..4 {
        world.oauth_client(&format!("oauthClients/s{index}"), "procore", &[]).await;
        world.oauth_client(&format!("tenants/acme/oauthClients/o{index}"), "procore", &[]).await;
    }
    let shared: Vec<_> = (0..4).map(|index| format!("oauthClients/s{index}")).collect();
    let mut owned: Vec<_> = (0..4).map(|index| format!("tenants/acme/oauthClients/o{index}")).collect();
    owned.insert(0, CLIENT.to_owned());
    for page_size in SIZES {
        for (parent, expected) in [("", &shared), ("tenants/acme", &owned)] {
            let (mut found, mut page_token) = (Vec::new(), String::new());
            loop {
                let request = ListOAuthClientsRequest { parent: parent.to_owned(), page_size, page_token };
                let page = world.operator.clients().list_o_auth_clients(request).await.unwrap().into_inner();
                found.extend(page.oauth_clients.into_iter().map(|client| client.name));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(found, *expected, "in pages of {page_size}");
        }
    }
}

#[tokio::test]
async fn a_page_that_cannot_be() {
    let world = World::new().await;
    for (page_size, page_token, field) in
        [(-1, "", "page_size"), (i32::MIN, "", "page_size"), (1, "!", "page_token"), (1, "_w", "page_token")]
    {
        let page_token = page_token.to_owned();
        let tenants = ListTenantsRequest { page_size, page_token: page_token.clone() };
        assert_eq!(bad_field(world.operator.tenants().list_tenants(tenants).await), field);
        let clients =
            ListOAuthClientsRequest { parent: String::new(), page_size, page_token: page_token.clone() };
        assert_eq!(bad_field(world.operator.clients().list_o_auth_clients(clients).await), field);
        let connections = ListConnectionsRequest { parent: "tenants/acme".to_owned(), page_size, page_token };
        assert_eq!(bad_field(world.operator.connections().list_connections(connections).await), field);
    }
}
