//! The way back into a store, through every answer that it may give.

use token_broker::{
    journal::{
        Journal, Record,
        drain::{Drained, Tally, drain},
    },
    model::{
        Closing, Connection, Epoch, Generation, GrantType, Meta, Nonce, OauthClient, OauthClientUid,
        Reauthorise, Receipt, State, Successor, Tenant, TenantUid,
    },
    store::{
        Connections as _, DataKeys as _, Grants as _, KeyScope, OauthClients as _, Tenants as _, WrappedKey,
        memory::Memory, sqlite::Sqlite,
    },
};
use uuid::Uuid;

use crate::support::{KEY, all, at, attempt, burn, directory, keep, numbers, open, receipt, token};

const META: Meta = Meta { revision: 1, created_at: at(0), updated_at: at(0) };

fn tenant() -> Tenant {
    let name = "tenants/t1".parse().unwrap();
    Tenant { name, uid: receipt(1).tenant, display_name: String::new(), meta: META }
}

fn connection() -> Connection {
    Connection {
        name: "tenants/t1/connections/c1".parse().unwrap(),
        uid: receipt(1).connection,
        tenant_uid: tenant().uid,
        display_name: String::new(),
        oauth_client: "oauthClients/app".parse().unwrap(),
        grant_type: GrantType::AuthorizationCode,
        account_id: "4711".to_owned(),
        max_min_ttl: None,
        generation_floor: Generation(0),
        meta: META,
    }
}

fn pair(generation: u64, n: u64) -> Reauthorise {
    Reauthorise {
        generation: Generation(generation),
        epoch: Epoch(0),
        access: None,
        refresh: token(n),
        endpoint: [7; 32],
        holder_lost_after: std::time::Duration::from_mins(3),
    }
}

/// A store in which connection 1 is at generation 1, with refresh token 1.
async fn connected() -> Memory {
    let store = Memory::default();
    store.create_tenant(&tenant()).await.unwrap();
    let client = OauthClient {
        name: "oauthClients/app".parse().unwrap(),
        uid: OauthClientUid(Uuid::from_u128(1)),
        display_name: String::new(),
        provider: "procore".to_owned(),
        environment: "sandbox".to_owned(),
        client_id: "client".to_owned(),
        client_credentials_tenants: vec![],
        current_secret: None,
        meta: META,
    };
    store.create_oauth_client(&client).await.unwrap();
    store.create_connection(&connection()).await.unwrap();
    store.reauthorise(tenant().uid, connection().uid, pair(1, 1), at(0)).await.unwrap();
    let key = WrappedKey {
        id: KEY,
        scope: KeyScope::Tenant(tenant().uid),
        wrapped_by: "kek".to_owned(),
        wrapped: vec![1],
        created_at: at(0),
    };
    store.add_first_key(&key).await.unwrap();
    store
}

/// [`connected`], and attempt 1 has burnt generation 1.
async fn burnt() -> Memory {
    let store = connected().await;
    assert!(store.burn(tenant().uid, connection().uid, burn(1, 1), at(1)).await.unwrap());
    store
}

async fn grant(store: &Memory) -> (Generation, State) {
    let grant = store.grant(tenant().uid, connection().uid).await.unwrap().unwrap();
    (grant.generation, grant.state)
}

#[tokio::test]
async fn an_open_attempt_is_settled_and_then_known() {
    let store = burnt().await;
    assert_eq!(drain(&store, &receipt(1), at(9)).await, Drained::Settled(Generation(2)));
    assert_eq!(drain(&store, &receipt(1), at(9)).await, Drained::Known);
    assert_eq!(grant(&store).await, (Generation(2), State::Idle));
}

#[tokio::test]
async fn what_the_database_forgot_is_adopted_oldest_generation_first() {
    let store = connected().await; // it knows of generation 1 only
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [3, 1, 2]).await;
    assert_eq!(journal.drain(&store).await, Tally { settled: 3, ..Tally::default() });
    assert_eq!(grant(&store).await, (Generation(4), State::Idle));
    assert_eq!(journal.pending(), []);
    assert_eq!(drain(&store, &receipt(2), at(9)).await, Drained::Known);
}

#[tokio::test]
async fn a_database_that_forgets_what_was_settled_is_told_again() {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1, 2]).await;
    assert_eq!(journal.drain(&connected().await).await.settled, 2);
    let restored = connected().await;
    assert_eq!(journal.drain(&restored).await, Tally::default(), "nothing is pending");
    assert_eq!(journal.drain_all(&restored).await, Tally { settled: 2, ..Tally::default() });
    assert_eq!(grant(&restored).await, (Generation(3), State::Idle));
}

#[tokio::test]
async fn what_does_not_descend_from_the_grant_is_kept() {
    let store = connected().await;
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [2]).await; // of a generation that the database has not seen
    assert_eq!(journal.drain(&store).await, Tally { kept: 1, ..Tally::default() });
    assert_eq!(numbers(&journal.pending()), [2]);
    assert_eq!(drain(&store, &receipt(2), at(9)).await, Drained::Kept);
    keep(&journal, [1]).await; // and now it has
    assert_eq!(journal.drain(&store).await, Tally { settled: 2, ..Tally::default() });
}

#[tokio::test]
async fn what_the_grant_has_passed_over_is_an_orphan() {
    let store = connected().await;
    assert_eq!(drain(&store, &receipt(1), at(9)).await, Drained::Adopted(Generation(2)));
    let rival = Receipt { burn: burn(9, 1), ..receipt(1) };
    assert_eq!(drain(&store, &rival, at(9)).await, Drained::Orphan, "a generation never comes back");
    store.revoke(tenant().uid, connection().uid, at(9)).await.unwrap();
    assert_eq!(drain(&store, &receipt(2), at(9)).await, Drained::Orphan, "revoked");
}

#[tokio::test]
async fn what_is_lacking_again_is_pending_again() {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1, 2]).await;
    assert_eq!(journal.drain(&connected().await).await.settled, 2);
    journal.mark_pending(&receipt(2));
    journal.mark_pending(&receipt(3)); // not its own
    assert_eq!(numbers(&journal.pending()), [2]);
    journal.mark_settled(attempt(2));
    assert_eq!(journal.pending(), []);
}

#[tokio::test]
async fn a_quarantined_grant_keeps_it_pending() {
    let store = burnt().await;
    store.quarantine(tenant().uid, connection().uid, None, at(2)).await.unwrap();
    assert_eq!(drain(&store, &receipt(1), at(9)).await, Drained::Kept);
    assert!(!Drained::Kept.is_closed());
}

#[tokio::test]
async fn an_orphan_is_closed_and_stays_for_the_horizon() {
    let store = burnt().await;
    store.revoke(tenant().uid, connection().uid, at(2)).await.unwrap();
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1]).await;
    assert_eq!(journal.drain(&store).await, Tally { orphans: 1, ..Tally::default() });
    assert_eq!((journal.pending(), numbers(&all(&journal).await)), (vec![], vec![1]));
}

#[tokio::test]
async fn a_replayed_attempt_waits_for_its_successor() {
    let store = burnt().await;
    let (tenant, connection) = (tenant().uid, connection().uid);
    store.conclude(tenant, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    assert!(store.permit_replay(tenant, attempt(1), at(100), at(3)).await.unwrap());
    assert!(store.burn(tenant, connection, burn(9, 1), at(4)).await.unwrap());
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1]).await;
    assert_eq!(journal.drain(&store).await, Tally { waiting: 1, ..Tally::default() });
    assert_eq!(numbers(&journal.pending()), [1]);
    store.conclude(tenant, attempt(9), Closing::NotSent, at(5)).await.unwrap();
    assert_eq!(journal.drain(&store).await, Tally { settled: 1, ..Tally::default() });
    assert!(store.take(tenant, attempt(1), Nonce([0; 32])).await.unwrap().is_none());
}

#[tokio::test]
async fn what_nobody_can_open_any_more_is_told_once() {
    let store = burnt().await;
    let elsewhere = Receipt { tenant: TenantUid(Uuid::from_u128(2)), ..receipt(1) };
    assert_eq!(drain(&store, &elsewhere, at(9)).await, Drained::Unopenable, "no such tenant");
    let mut other_key = receipt(1);
    let Successor::Rotated(token) = &mut other_key.tokens.refresh else { panic!() };
    token.sealed.0[3] ^= 1;
    let folder = directory();
    let journal = open(folder.path()).await;
    journal.append(Record::Receipt(other_key)).await.unwrap();
    assert_eq!(journal.drain(&store).await, Tally { unopenable: 1, ..Tally::default() });
    assert_eq!(journal.drain(&store).await, Tally::default());
    assert_eq!(grant(&store).await, (Generation(1), State::Dispatched { attempt: attempt(1), since: at(1) }));
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_later() {
    let folder = directory();
    let store = Sqlite::open(&folder.path().join("broker.db")).await.unwrap();
    store.close().await;
    let journal: Journal = open(&folder.path().join("journal")).await;
    keep(&journal, [1, 2]).await;
    assert_eq!(journal.drain(&store).await, Tally { waiting: 2, ..Tally::default() });
    assert_eq!(journal.drain_all(&store).await, Tally { waiting: 2, ..Tally::default() });
    assert_eq!(numbers(&journal.pending()), [1, 2]);
}
