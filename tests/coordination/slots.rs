//! Slots.

use std::time::Duration;

use futures_util::future::join_all;
use redis::cmd;
use token_broker::{coordination::Signal, model::OauthClientUid};
use uuid::Uuid;

use crate::support::{Redis, fleet, hearing, next, slot, until};

const LONG: Duration = Duration::from_mins(3);

#[tokio::test]
async fn never_more_than_the_limit_in_the_whole_fleet() {
    let server = Redis::start().await;
    let replicas = fleet::<3>(&server).await;
    let client = OauthClientUid(Uuid::new_v4());
    let asked = replicas.iter().cycle().take(30).map(|replica| replica.slot(client, 4, LONG));
    let mut granted: Vec<_> = join_all(asked).await.into_iter().filter_map(slot).collect();
    assert_eq!(granted.len(), 4);
    assert!(
        slot(replicas[0].slot(client, 3, LONG).await).is_none(),
        "a lower limit counts those that are out"
    );
    slot(replicas[0].slot(client, 5, LONG).await).expect("a higher one has room").release().await;
    let another = OauthClientUid(Uuid::new_v4());
    assert!(slot(replicas[0].slot(another, 1, LONG).await).is_some(), "another client");

    granted.pop().unwrap().release().await;
    granted.extend(slot(replicas[1].slot(client, 4, LONG).await));
    assert_eq!(granted.len(), 4, "released");
    drop(granted.pop());
    until("a dropped slot is given back", async || slot(replicas[2].slot(client, 4, LONG).await).is_some())
        .await;
}

#[tokio::test]
async fn a_slot_whose_holder_vanished_counts_no_more() {
    let server = Redis::start().await;
    let [replica] = fleet::<1>(&server).await;
    let client = OauthClientUid(Uuid::new_v4());
    let key = format!("token-broker:test:slots:{}", client.0);
    let vanished = slot(replica.slot(client, 1, Duration::from_secs(1)).await).unwrap();
    until("there is room", async || slot(replica.slot(client, 1, LONG).await).is_some()).await;
    drop(vanished);
    let two = OauthClientUid(Uuid::new_v4());
    let _long = slot(replica.slot(two, 2, LONG).await).unwrap();
    let _vanished = slot(replica.slot(two, 2, Duration::from_secs(1)).await).unwrap();
    until("there is room beside another", async || slot(replica.slot(two, 2, LONG).await).is_some()).await;
    // And nothing is kept of a client that nobody refreshes.
    let _held = slot(replica.slot(client, 9, LONG).await).unwrap();
    let left: i64 = server.run(cmd("PTTL").arg(&key)).await;
    assert!(left > 100_000 && left <= 180_000, "{left}");
    let _short = slot(replica.slot(client, 9, Duration::from_secs(1)).await).unwrap();
    let left: i64 = server.run(cmd("PTTL").arg(&key)).await;
    assert!(left > 100_000, "{left}: a shorter slot does not end a longer one");
}

#[tokio::test]
async fn who_waits_for_a_slot_is_told() {
    let server = Redis::start().await;
    let replicas = fleet::<2>(&server).await;
    let [_, mut signals] = hearing(&replicas).await;
    let client = OauthClientUid(Uuid::new_v4());
    let held = slot(replicas[0].slot(client, 1, LONG).await).unwrap();
    assert!(slot(replicas[1].slot(client, 1, LONG).await).is_none());
    held.release().await;
    assert_eq!(next(&mut signals).await, Signal::Released { subject: client.0 });
    assert!(slot(replicas[1].slot(client, 1, LONG).await).is_some());
}

#[tokio::test]
async fn a_slot_that_is_let_go_serves_the_next_refresh_here() {
    let server = Redis::start().await;
    let replicas = fleet::<2>(&server).await;
    let client = OauthClientUid(Uuid::new_v4());
    // On a slow machine it may have been given back meanwhile.
    until("Redis is not asked", async || {
        let first = slot(replicas[0].slot(client, 1, LONG).await);
        server.freeze();
        drop(first);
        let second = slot(replicas[0].slot(client, 1, LONG).await);
        server.thaw();
        second.is_some() && slot(replicas[1].slot(client, 1, LONG).await).is_none()
    })
    .await;
    let others = async || slot(replicas[1].slot(client, 1, LONG).await).is_some();
    until("nobody wants it here: the others' turn", others).await;
}
