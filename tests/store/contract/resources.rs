//! Tenants, OAuth clients, connections, keys: created once, updated by revision, deleted when unused.

use std::time::Duration;

use token_broker::{
    model::{Generation, Sealed, SecretVersion, Timestamp},
    store::{KeyScope, Lease, Store, WrappedKey, Written},
};
use uuid::Uuid;

use crate::fixtures::{access, at, client, connection, furnish, meta, tenant};

on_every_store! {
    a_tenant_by_its_name,
    an_oauth_client_by_its_name,
    a_connection_by_its_name,
    deletes_name_their_revision,
    secrets_by_version,
    a_lease_counts_by_one,
    secrets_and_lease_go_with_their_client,
    the_first_key_of_a_scope,
    a_tenants_keys_go_with_it,
}

async fn a_tenant_by_its_name(store: &impl Store) {
    let mut tenant = tenant(1);
    assert_eq!(store.tenant(&tenant.name).await.unwrap(), None);
    assert_eq!(store.update_tenant(&tenant).await.unwrap(), Written::Absent);
    assert_eq!(store.create_tenant(&tenant).await.unwrap(), Written::Done);
    assert_eq!(store.create_tenant(&tenant).await.unwrap(), Written::Exists);
    assert_eq!(store.update_tenant(&tenant).await.unwrap(), Written::Stale);
    "Renamed".clone_into(&mut tenant.display_name);
    tenant.meta = meta(2);
    assert_eq!(store.update_tenant(&tenant).await.unwrap(), Written::Done);
    assert_eq!(store.update_tenant(&tenant).await.unwrap(), Written::Stale);
    assert_eq!(store.tenant(&tenant.name).await.unwrap(), Some(tenant));
}

async fn an_oauth_client_by_its_name(store: &impl Store) {
    furnish(store).await;
    let foreign = client("tenants/t9/oauthClients/app", 9);
    assert_eq!(store.create_oauth_client(&foreign).await.unwrap(), Written::Absent);
    let mut own = client("tenants/t1/oauthClients/app", 2);
    assert_eq!(store.update_oauth_client(&own).await.unwrap(), Written::Absent);
    assert_eq!(store.create_oauth_client(&own).await.unwrap(), Written::Done);
    assert_eq!(store.create_oauth_client(&own).await.unwrap(), Written::Exists);
    "Renamed".clone_into(&mut own.display_name);
    own.client_credentials_tenants.clear();
    own.current_secret = Some(2);
    own.meta = meta(2);
    assert_eq!(store.update_oauth_client(&own).await.unwrap(), Written::Done);
    assert_eq!(store.update_oauth_client(&own).await.unwrap(), Written::Stale);
    assert_eq!(store.oauth_client(&own.name).await.unwrap(), Some(own));
}

async fn a_connection_by_its_name(store: &impl Store) {
    let mut connection = connection("c", 1);
    assert_eq!(store.create_connection(&connection).await.unwrap(), Written::Absent, "no tenant");
    furnish(store).await;
    let mut other = connection.clone();
    other.oauth_client = client("oauthClients/none", 9).name;
    assert_eq!(store.create_connection(&other).await.unwrap(), Written::Absent, "no such client");
    other.oauth_client = connection.oauth_client.clone();
    other.tenant_uid = tenant(2).uid;
    assert_eq!(
        store.create_connection(&other).await.unwrap(),
        Written::Absent,
        "a tenant of an earlier time"
    );
    assert_eq!(store.create_connection(&connection).await.unwrap(), Written::Done);
    assert_eq!(store.create_connection(&connection).await.unwrap(), Written::Exists);
    "Renamed".clone_into(&mut connection.display_name);
    connection.max_min_ttl = Some(Duration::from_millis(1500));
    connection.meta = meta(2);
    assert_eq!(store.update_connection(&connection).await.unwrap(), Written::Done);
    assert_eq!(store.update_connection(&connection).await.unwrap(), Written::Stale);
    assert_eq!(store.connection(&connection.name).await.unwrap().as_ref(), Some(&connection));
    let client = store.oauth_client(&connection.oauth_client).await.unwrap().unwrap();
    let both = store.connection_and_client(&connection.name).await.unwrap();
    assert_eq!(both, Some((connection, client)));
}

async fn deletes_name_their_revision(store: &impl Store) {
    furnish(store).await;
    let (tenant, client) = (tenant(1).name, client("oauthClients/app", 1).name);
    assert_eq!(store.delete_tenant(&tenant, Some(7)).await.unwrap(), Written::Stale);
    assert_eq!(store.delete_oauth_client(&client, Some(7)).await.unwrap(), Written::Stale);
    assert_eq!(store.delete_tenant(&tenant, Some(1)).await.unwrap(), Written::Done);
    assert_eq!(store.delete_oauth_client(&client, Some(1)).await.unwrap(), Written::Done);
    assert_eq!(store.delete_tenant(&tenant, None).await.unwrap(), Written::Absent);
    assert_eq!(store.delete_oauth_client(&client, None).await.unwrap(), Written::Absent);
}

const fn version(version: u32) -> SecretVersion {
    SecretVersion { version, created_at: at(0) }
}

async fn secrets_by_version(store: &impl Store) {
    furnish(store).await;
    let app = client("oauthClients/app", 1).uid;
    let gone = client("oauthClients/gone", 9).uid;
    assert_eq!(store.add_secret(gone, &version(1), &Sealed(vec![1])).await.unwrap(), Written::Absent);
    for n in [2_u8, 1] {
        let sealed = Sealed(vec![n]);
        assert_eq!(store.add_secret(app, &version(n.into()), &sealed).await.unwrap(), Written::Done);
    }
    assert_eq!(store.add_secret(app, &version(1), &Sealed(vec![9])).await.unwrap(), Written::Exists);
    assert_eq!(store.secrets(app).await.unwrap(), [version(1), version(2)]);
    assert_eq!(store.secret(app, 1).await.unwrap(), Some(Sealed(vec![1])));
    assert_eq!(store.secret(app, 3).await.unwrap(), None);
}

const fn generation(n: u64) -> Generation {
    Generation(n)
}

async fn a_lease_counts_by_one(store: &impl Store) {
    furnish(store).await;
    let app = client("oauthClients/app", 1).uid;
    let lease = |n: u8| Lease { generation: generation(n.into()), access: access(n, at(n.into())) };
    assert!(!store.put_lease(client("oauthClients/gone", 9).uid, &lease(1)).await.unwrap());
    assert_eq!(store.lease(app).await.unwrap(), None);
    for (n, applies) in [(2, false), (1, true), (1, false), (3, false), (2, true)] {
        assert_eq!(store.put_lease(app, &lease(n)).await.unwrap(), applies, "{n}");
    }
    assert_eq!(store.lease(app).await.unwrap(), Some(lease(2)));
}

async fn secrets_and_lease_go_with_their_client(store: &impl Store) {
    furnish(store).await;
    let app = client("oauthClients/app", 1);
    store.add_secret(app.uid, &version(1), &Sealed(vec![1])).await.unwrap();
    let lease = Lease { generation: generation(1), access: access(1, at(1)) };
    store.put_lease(app.uid, &lease).await.unwrap();
    assert_eq!(store.delete_oauth_client(&app.name, None).await.unwrap(), Written::Done);
    assert_eq!(store.create_oauth_client(&app).await.unwrap(), Written::Done);
    assert!(store.secrets(app.uid).await.unwrap().is_empty());
    assert_eq!(store.lease(app.uid).await.unwrap(), None);
}

fn key(n: u128, scope: KeyScope) -> WrappedKey {
    let wrapped_by = "local:1".to_owned();
    WrappedKey {
        id: Uuid::from_u128(n),
        scope,
        wrapped_by,
        wrapped: vec![1; 40],
        created_at: Timestamp::from_micros(5),
    }
}

async fn the_first_key_of_a_scope(store: &impl Store) {
    furnish(store).await;
    let scopes = [KeyScope::Platform, KeyScope::Fingerprint, KeyScope::Tenant(tenant(1).uid)];
    for (scope, n) in scopes.into_iter().zip(1..) {
        assert!(store.data_keys(&scope).await.unwrap().is_empty());
        let first = key(n, scope.clone());
        assert_eq!(store.add_first_key(&first).await.unwrap(), Written::Done);
        assert_eq!(store.add_first_key(&key(n + 10, scope.clone())).await.unwrap(), Written::Exists);
        assert_eq!(store.data_keys(&scope).await.unwrap(), [first]);
    }
    let nobodys = key(9, KeyScope::Tenant(tenant(9).uid));
    assert_eq!(store.add_first_key(&nobodys).await.unwrap(), Written::Absent);
}

async fn a_tenants_keys_go_with_it(store: &impl Store) {
    furnish(store).await;
    let scope = KeyScope::Tenant(tenant(1).uid);
    store.add_first_key(&key(1, scope.clone())).await.unwrap();
    store.add_first_key(&key(2, KeyScope::Platform)).await.unwrap();
    assert_eq!(store.delete_tenant(&tenant(1).name, None).await.unwrap(), Written::Done);
    assert!(store.data_keys(&scope).await.unwrap().is_empty());
    assert_eq!(store.data_keys(&KeyScope::Platform).await.unwrap().len(), 1);
}
