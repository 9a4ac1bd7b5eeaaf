//! What is `PostgreSQL`'s own: what is known when the connection is lost, races, clocks, signals, retention.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt as _;
use sqlx::Executor as _;
use token_broker::{
    clock::Clock,
    model::{BurnFate, Closing, Generation, Sealed, SecretVersion, Settlement, State, Timestamp},
    store::{
        Audit as _, AuditEntry, Connections as _, DataKeys as _, Grants as _, KeyScope, Lease,
        OauthClients as _, Reauthorised, StoreError, Tenants as _, WrappedKey, Written,
        postgres::{Postgres, Retained, Retention, Signal},
    },
};
use uuid::Uuid;

use crate::{
    fixtures::{
        TENANT, access, at, attempt, burn, client, connected, connection, furnish, new_pair, nonce, rotated,
        serving, settings, state, tenant, token,
    },
    servers::postgres::{Cluster, Database, shared},
};

/// At the start and later: nothing is known, nothing is spent, and it goes on by itself.
#[tokio::test]
async fn a_database_that_is_away_comes_back() {
    let cluster = Cluster::start("");
    let database = cluster.database().await;
    cluster.stop();
    let store = Postgres::open(&settings(&database), Clock::System).await.unwrap();
    let refused = store.burn(TENANT, connection("c1", 1).uid, burn(1, 1), at(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");

    cluster.restart();
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    let before = store.incarnation().await.unwrap();

    cluster.kill();
    cluster.restart();
    let sealed = store.take(TENANT, attempt(1), nonce(1)).await.unwrap();
    assert_eq!(sealed, Some(token(11).sealed), "what was committed is there");
    let after = store.incarnation().await.unwrap();
    assert!(!before.may_forget(&after), "{before:?} {after:?}");
}

// === what is known ===

/// The server dies with the burn in it: the answer is that nobody knows, and `resolve_burn` settles it.
#[tokio::test]
async fn a_connection_lost_in_a_commit_is_ambiguous() {
    let cluster = Cluster::start("");
    let database = cluster.database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let uid = connected(&store, 1).await;

    let mut holder = cluster.admin(&database.name).await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT FROM token_broker.grants FOR UPDATE").await.unwrap();
    let burning = tokio::spawn({
        let store = store.clone();
        async move { store.burn(TENANT, uid, burn(1, 1), at(1)).await }
    });
    waiting(&cluster, &database, 1).await;
    let mut admin = cluster.admin("postgres").await;
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'serving' AND state = 'active'";
    admin.execute(ended).await.unwrap();
    let lost = burning.await.unwrap().unwrap_err();
    assert!(matches!(lost, StoreError::Ambiguous(_)), "{lost:?}");

    holder.execute("ROLLBACK").await.unwrap();
    assert_eq!(store.resolve_burn(TENANT, uid, burn(1, 1), at(2)).await.unwrap(), BurnFate::Stop);
    assert!(!store.burn(TENANT, uid, burn(1, 1), at(3)).await.unwrap(), "the tombstone");
    assert!(store.burn(TENANT, uid, burn(2, 1), at(3)).await.unwrap());
}

/// On a quiet database nobody flushes it before long; and nobody may have the token before the burn is on the disk.
#[tokio::test]
async fn what_others_wrote_behind_the_burn_is_flushed_for_the_take() {
    let cluster = Cluster::start("checkpoint_timeout = 1d\nbgwriter_delay = 10s\n");
    let database = cluster.database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    let mut other = cluster.admin(&database.name).await;
    cluster.pause_wal_writer();
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    other.execute("SELECT pg_logical_emit_message(false, 'test', '')").await.unwrap();
    assert_eq!(store.take(TENANT, attempt(1), nonce(1)).await.unwrap(), Some(token(11).sealed));
}

/// Waits until so many statements wait for a lock.
async fn waiting(cluster: &Cluster, database: &Database, count: i64) {
    let mut admin = cluster.admin("postgres").await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waits).bind(&database.name).fetch_one(&mut admin).await.unwrap()
        < count
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refused_statement_changed_nothing() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    let mut owner = database.connect("owner").await;
    owner
        .execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA token_broker FROM token_broker_serving")
        .await
        .unwrap();
    let refused = store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
}

/// The caller is gone, its burn is not.
#[tokio::test]
async fn a_step_that_began_outlives_its_caller() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    let mut holder = shared().admin(&database.name).await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute("SELECT FROM token_broker.grants FOR UPDATE").await.unwrap();
    {
        let mut burning = pin!(store.burn(TENANT, uid, burn(1, 1), at(1)));
        tokio::select! {
            biased;
            answer = &mut burning => panic!("{answer:?}"),
            () = waiting(shared(), &database, 1) => {}
        }
    }
    holder.execute("ROLLBACK").await.unwrap();
    while state(&store, uid).await == State::Idle {
        tokio::task::yield_now().await;
    }
    assert_eq!(state(&store, uid).await, State::Dispatched { attempt: attempt(1), since: at(1) });
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let store = serving(&shared().database().await).await;
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.create_tenant(&tenant(1)).await, Err(StoreError::Unavailable(_))));
}

// === races: what SQLite does one after the other ===

#[tokio::test]
async fn of_many_burns_one_applies() {
    let database = shared().database().await;
    let stores = [serving(&database).await, serving(&database).await];
    furnish(&stores[0]).await;
    let uid = connected(&stores[0], 1).await;
    let burns = (1..=20).map(|n| {
        let store = stores[usize::from(n) % 2].clone();
        tokio::spawn(async move { store.burn(TENANT, uid, burn(n, 1), at(1)).await.unwrap() })
    });
    let applied = futures_util::future::join_all(burns.collect::<Vec<_>>()).await;
    assert_eq!(applied.into_iter().filter(|done| *done.as_ref().unwrap()).count(), 1);
}

#[tokio::test]
async fn of_two_grants_with_the_same_new_token_one_settles() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let (one, two) = (connected(&store, 1).await, connected(&store, 2).await);
    assert!(store.burn(TENANT, one, burn(1, 1), at(1)).await.unwrap());
    assert!(store.burn(TENANT, two, burn(2, 1), at(1)).await.unwrap());
    let (first, second) = tokio::join!(
        store.settle(TENANT, attempt(1), rotated(9), at(2)),
        store.settle(TENANT, attempt(2), rotated(9), at(2))
    );
    let mut answers = [first.unwrap(), second.unwrap()];
    answers.sort_unstable_by_key(|answer| *answer == Settlement::Kept);
    assert_eq!(answers, [Settlement::Settled(Generation(2)), Settlement::Kept]);
}

/// Both see the token free, the index admits one; the other is told as if it had come later.
#[tokio::test]
async fn of_two_imports_of_one_token_one_is_done() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let [one, two] = [connection("c1", 1), connection("c2", 2)];
    for connection in [&one, &two] {
        assert_eq!(store.create_connection(connection).await.unwrap(), Written::Done);
    }
    let pair = || new_pair(1, 0, token(7));
    let (first, second) = tokio::join!(
        store.reauthorise(TENANT, one.uid, pair(), at(1)),
        store.reauthorise(TENANT, two.uid, pair(), at(1))
    );
    let mut answers = [first.unwrap(), second.unwrap()];
    answers.sort_unstable_by_key(|answer| *answer == Reauthorised::TokenKnown);
    assert_eq!(answers, [Reauthorised::Done(Generation(1)), Reauthorised::TokenKnown]);
}

#[tokio::test]
async fn of_many_first_keys_one_is_added() {
    let database = shared().database().await;
    let stores = [serving(&database).await, serving(&database).await];
    let added = (0..16_u128).map(|n| {
        let store = stores[usize::try_from(n % 2).unwrap()].clone();
        let key = WrappedKey {
            id: Uuid::from_u128(n),
            scope: KeyScope::Fingerprint,
            wrapped_by: "kek".to_owned(),
            wrapped: vec![1],
            created_at: at(0),
        };
        tokio::spawn(async move { store.add_first_key(&key).await.unwrap() })
    });
    let added = futures_util::future::join_all(added.collect::<Vec<_>>()).await;
    assert_eq!(added.into_iter().filter(|done| *done.as_ref().unwrap() == Written::Done).count(), 1);
    assert_eq!(stores[0].data_keys(&KeyScope::Fingerprint).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_many_leases_of_one_generation_one_is_put() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let app = client("oauthClients/app", 1).uid;
    for generation in 1..=2 {
        let put = (0..8).map(|n| {
            let store = store.clone();
            let lease = Lease { generation: Generation(generation), access: access(n, at(100)) };
            tokio::spawn(async move { store.put_lease(app, &lease).await.unwrap() })
        });
        let put = futures_util::future::join_all(put.collect::<Vec<_>>()).await;
        assert_eq!(put.into_iter().filter(|done| *done.as_ref().unwrap()).count(), 1);
    }
}

/// The floor was read before the name was used and deleted by another replica.
#[tokio::test]
async fn a_stale_floor_is_raised() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let first = connection("c1", 1);
    assert_eq!(store.create_connection(&first).await.unwrap(), Written::Done);
    assert_eq!(
        store.delete_connection(&first.name, None, Generation(40), at(1)).await.unwrap(),
        Written::Done
    );
    let again = connection("c1", 2);
    assert_eq!(store.create_connection(&again).await.unwrap(), Written::Done);
    let stored = store.connection(&again.name).await.unwrap().unwrap();
    assert_eq!(stored.generation_floor, Generation(40));
    let low = new_pair(40, 0, token(1));
    assert_eq!(store.reauthorise(TENANT, again.uid, low, at(2)).await.unwrap(), Reauthorised::Refused);
}

// === clocks, signals, retention ===

/// A replica whose clock is an hour slow writes and reads right times.
#[tokio::test]
async fn a_wrong_clock_harms_nobody() {
    let database = shared().database().await;
    let right = serving(&database).await;
    assert!(right.skew().abs() < 250_000, "{}", right.skew());
    furnish(&right).await;
    let uid = connected(&right, 1).await;

    let hour = Duration::from_hours(1);
    let now = Clock::System.now();
    let slow_clock = Clock::manual(now.minus(hour));
    let slow = Postgres::open(&settings(&database), slow_clock.clone()).await.unwrap();
    let off = Timestamp::from_micros(slow.skew()).since(Timestamp::default());
    assert!(off.abs_diff(hour) < Duration::from_secs(30), "{off:?}");

    assert!(slow.burn(TENANT, uid, burn(1, 1), slow_clock.now()).await.unwrap());
    let State::Dispatched { since, .. } = state(&right, uid).await else { panic!("not dispatched") };
    let apart = since.since(now).max(now.since(since));
    assert!(apart < Duration::from_mins(1), "in the database it is the database's time: {apart:?}");
    assert_eq!(state(&slow, uid).await, State::Dispatched { attempt: attempt(1), since: slow_clock.now() });
}

#[tokio::test]
async fn what_one_replica_says_the_others_hear() {
    let cluster = Cluster::start("");
    let database = cluster.database().await;
    let (one, two) = (serving(&database).await, serving(&database).await);
    let mut heard = pin!(one.listen());
    assert_eq!(heard.next().await, Some(Signal::Listening));
    two.notify("c1 2").await.unwrap();
    assert_eq!(heard.next().await, Some(Signal::Said("c1 2".to_owned())));

    cluster.kill();
    assert_eq!(heard.next().await, Some(Signal::Lost));
    cluster.restart();
    assert_eq!(heard.next().await, Some(Signal::Listening));
    // Its connections died in the pool, which one finds out by using them.
    while two.notify("again").await.is_err() {}
    assert_eq!(heard.next().await, Some(Signal::Said("again".to_owned())));
}

#[tokio::test]
async fn what_is_old_goes_in_batches() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let uid = connected(&store, 1).await;
    for n in 1..=3 {
        assert!(store.burn(TENANT, uid, burn(n, n.into()), at(n.into())).await.unwrap());
        store.settle(TENANT, attempt(n.into()), rotated(100 + n), at(n.into())).await.unwrap();
    }
    assert!(store.burn(TENANT, uid, burn(5, 4), at(4)).await.unwrap());
    assert!(store.conclude(TENANT, attempt(5), Closing::NotSent, at(4)).await.unwrap());
    assert!(store.burn(TENANT, uid, burn(4, 4), at(4)).await.unwrap());
    let fresh = Clock::System.now();
    for at in [at(0), at(1), fresh] {
        let [principal, action, resource, outcome] = ["p", "a", "r", "done"].map(str::to_owned);
        store.append(&AuditEntry { at, principal, action, resource, outcome }).await.unwrap();
    }
    let nothing_is_kept =
        Retention { attempts: Duration::ZERO, events: Duration::ZERO, audit: Duration::ZERO };
    let gone = store.retain(nothing_is_kept, fresh, 2).await.unwrap();
    assert_eq!(gone, Retained { attempts: 2, events: 0, audit: 2 });
    let gone = store.retain(nothing_is_kept, fresh, 2).await.unwrap();
    assert_eq!(gone, Retained { attempts: 1, events: 0, audit: 0 });
    assert_eq!(store.attempts(TENANT, uid, 10).await.unwrap().len(), 2, "the current generation's stays");
    assert_eq!(store.entries(10).await.unwrap().len(), 1, "an audit entry stays for a month");
    assert_eq!(
        store.settle(TENANT, attempt(4), rotated(9), at(9)).await.unwrap(),
        Settlement::Settled(Generation(5))
    );
}

#[tokio::test]
async fn an_impossible_row_is_named() {
    let database = shared().database().await;
    let store = serving(&database).await;
    furnish(&store).await;
    let app = client("oauthClients/app", 1);
    let version = SecretVersion { version: 1, created_at: at(0) };
    assert_eq!(store.add_secret(app.uid, &version, &Sealed(vec![1])).await.unwrap(), Written::Done);
    let mut owner = database.connect("owner").await;
    owner.execute("UPDATE token_broker.client_secrets SET version = 99999999999").await.unwrap();
    let corrupt = store.secrets(app.uid).await.unwrap_err();
    assert!(
        matches!(corrupt, StoreError::Corrupt { table: "client_secrets", column: "version", .. }),
        "{corrupt:?}"
    );
}
