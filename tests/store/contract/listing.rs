//! Pages, and the newest first.

use token_broker::{
    model::EventKind,
    store::{AuditEntry, Store},
};

use crate::fixtures::{TENANT, at, attempt, burn, client, connected, connection, furnish, rotated, tenant};

on_every_store! {
    tenants_in_pages,
    oauth_clients_of_their_parent,
    connections_of_their_tenant,
    attempts_and_events_newest_first,
    audit_newest_first,
}

async fn tenants_in_pages(store: &impl Store) {
    for n in [3, 1, 2] {
        store.create_tenant(&tenant(n)).await.unwrap();
    }
    let first = store.tenants(None, 2).await.unwrap();
    assert_eq!((first.items, first.more), (vec![tenant(1), tenant(2)], true));
    let second = store.tenants(Some("t2"), 2).await.unwrap();
    assert_eq!((second.items, second.more), (vec![tenant(3)], false));
    let exact = store.tenants(None, 3).await.unwrap();
    assert_eq!((exact.items.len(), exact.more), (3, false));
    assert!(store.tenants(Some("t3"), 2).await.unwrap().items.is_empty());
}

async fn oauth_clients_of_their_parent(store: &impl Store) {
    furnish(store).await;
    store.create_tenant(&tenant(2)).await.unwrap();
    let names = [
        "oauthClients/b",
        "tenants/t1/oauthClients/a",
        "tenants/t1/oauthClients/b",
        "tenants/t2/oauthClients/a",
    ];
    for (name, n) in names.into_iter().zip(2..) {
        store.create_oauth_client(&client(name, n)).await.unwrap();
    }
    let shared = store.oauth_clients(None, None, 10).await.unwrap();
    assert_eq!(shared.items, [client("oauthClients/app", 1), client("oauthClients/b", 2)]);
    let own = store.oauth_clients(Some(&tenant(1).name), None, 1).await.unwrap();
    assert_eq!((own.items, own.more), (vec![client("tenants/t1/oauthClients/a", 3)], true));
    let rest = store.oauth_clients(Some(&tenant(1).name), Some("a"), 1).await.unwrap();
    assert_eq!((rest.items, rest.more), (vec![client("tenants/t1/oauthClients/b", 4)], false));
    assert!(store.oauth_clients(Some(&tenant(9).name), None, 9).await.unwrap().items.is_empty());
}

async fn connections_of_their_tenant(store: &impl Store) {
    furnish(store).await;
    store.create_tenant(&tenant(2)).await.unwrap();
    for (name, n) in ["b", "a", "a-b"].into_iter().zip(1..) {
        store.create_connection(&connection(name, n)).await.unwrap();
    }
    let first = store.connections(&tenant(1).name, None, 2).await.unwrap();
    assert_eq!((first.items, first.more), (vec![connection("a", 2), connection("a-b", 3)], true));
    let second = store.connections(&tenant(1).name, Some("a-b"), 2).await.unwrap();
    assert_eq!((second.items, second.more), (vec![connection("b", 1)], false));
    assert!(store.connections(&tenant(2).name, None, 2).await.unwrap().items.is_empty());
}

async fn attempts_and_events_newest_first(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    for n in 1..=3_u8 {
        store.burn(TENANT, uid, burn(n, n.into()), at(n.into())).await.unwrap();
        store.settle(TENANT, attempt(n.into()), rotated(11 + n), at(n.into())).await.unwrap();
    }
    let newest: Vec<_> =
        store.attempts(TENANT, uid, 2).await.unwrap().into_iter().map(|a| a.burn.attempt).collect();
    assert_eq!(newest, [attempt(3), attempt(2)]);
    store.quarantine(TENANT, uid, None, at(9)).await.unwrap();
    store.revoke(TENANT, uid, at(8)).await.unwrap();
    let events = store.events(TENANT, uid, 1).await.unwrap();
    assert_eq!((events[0].connection, events[0].kind, events[0].at), (uid, EventKind::Revoked, at(8)));
    assert_eq!(store.events(TENANT, uid, 9).await.unwrap().len(), 2);
}

async fn audit_newest_first(store: &impl Store) {
    let entry = |n| AuditEntry {
        at: at(n),
        principal: "static:admin".to_owned(),
        action: "TenantService.CreateTenant".to_owned(),
        resource: format!("tenants/t{n}"),
        outcome: "done".to_owned(),
    };
    for n in [5, 1, 3] {
        store.append(&entry(n)).await.unwrap();
    }
    assert_eq!(store.entries(2).await.unwrap(), [entry(3), entry(1)]);
    assert_eq!(store.entries(9).await.unwrap().len(), 3);
}
