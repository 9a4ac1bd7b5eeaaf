//! What a deleted connection leaves.

use token_broker::{
    model::{EventKind, Generation, Settlement, State},
    store::{Reauthorised, Store, Written},
};

use crate::fixtures::{
    TENANT, at, attempt, burn, client, connected, connection, furnish, new_pair, rotated, state, tenant,
    token, told,
};

on_every_store! {
    a_deleted_connection_is_revoked_for_ever,
    a_name_made_again_starts_above_its_tombstone,
    a_lease_counts_on_beyond_its_connection,
    tombstones_outlive_tenant_and_client,
}

async fn a_deleted_connection_is_revoked_for_ever(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    let name = connection("c1", 1).name;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    let stale = store.delete_connection(&name, Some(2), Generation(0), at(2)).await.unwrap();
    assert_eq!(stale, Written::Stale);
    let done = store.delete_connection(&name, Some(1), Generation(0), at(2)).await.unwrap();
    assert_eq!(done, Written::Done);
    let absent = store.delete_connection(&name, None, Generation(0), at(2)).await.unwrap();
    assert_eq!(absent, Written::Absent);

    assert_eq!(store.connection(&name).await.unwrap(), None);
    assert_eq!(store.connections(&tenant(1).name, None, 10).await.unwrap().items, []);
    assert_eq!(state(store, uid).await, State::Revoked);
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(3)).await.unwrap(), Settlement::Orphan);
    let gone = store.reauthorise(TENANT, uid, new_pair(2, 1, token(12)), at(4)).await.unwrap();
    assert_eq!(gone, Reauthorised::Gone);
    assert_eq!(told(store, uid).await, [(1, EventKind::Revoked), (1, EventKind::Orphan)]);

    assert_eq!(store.create_connection(&connection("c2", 1)).await.unwrap(), Written::Exists, "a used uid");
    assert_eq!(store.update_connection(&connection("c1", 1)).await.unwrap(), Written::Absent);
}

async fn a_name_made_again_starts_above_its_tombstone(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    let mut again = connection("c1", 2);
    assert_eq!(store.generation_floor(&again.name).await.unwrap(), Generation(0));
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.settle(TENANT, attempt(1), rotated(12), at(2)).await.unwrap();
    store.delete_connection(&again.name, None, Generation(1), at(3)).await.unwrap();
    assert_eq!(store.generation_floor(&again.name).await.unwrap(), Generation(2));

    again.generation_floor = Generation(2);
    assert_eq!(store.create_connection(&again).await.unwrap(), Written::Done);
    assert_eq!(store.connection(&again.name).await.unwrap(), Some(again.clone()));
    let refused = store.reauthorise(TENANT, again.uid, new_pair(2, 0, token(13)), at(4)).await.unwrap();
    assert_eq!(refused, Reauthorised::Refused);
    let done = store.reauthorise(TENANT, again.uid, new_pair(3, 0, token(13)), at(4)).await.unwrap();
    assert_eq!(done, Reauthorised::Done(Generation(3)));
}

async fn a_lease_counts_on_beyond_its_connection(store: &impl Store) {
    furnish(store).await;
    let mut lease = connection("lease", 1);
    lease.generation_floor = Generation(3);
    store.create_connection(&lease).await.unwrap();
    store.delete_connection(&lease.name, None, Generation(41), at(1)).await.unwrap();
    assert_eq!(store.generation_floor(&lease.name).await.unwrap(), Generation(41));
    lease.uid = connection("lease", 2).uid;
    lease.generation_floor = Generation(50);
    store.create_connection(&lease).await.unwrap();
    store.delete_connection(&lease.name, None, Generation(0), at(2)).await.unwrap();
    assert_eq!(store.generation_floor(&lease.name).await.unwrap(), Generation(50), "never served");
}

async fn tombstones_outlive_tenant_and_client(store: &impl Store) {
    furnish(store).await;
    connected(store, 1).await;
    let (name, app) = (connection("c1", 1).name, client("oauthClients/app", 1).name);
    assert_eq!(store.delete_oauth_client(&app, None).await.unwrap(), Written::InUse);
    assert_eq!(store.delete_tenant(&tenant(1).name, None).await.unwrap(), Written::InUse);
    store.delete_connection(&name, None, Generation(0), at(1)).await.unwrap();
    assert_eq!(store.delete_oauth_client(&app, None).await.unwrap(), Written::Done);
    assert_eq!(store.delete_tenant(&tenant(1).name, None).await.unwrap(), Written::Done);
    assert_eq!(store.generation_floor(&name).await.unwrap(), Generation(1));
}
