//! Somebody writes into the database file.

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use token_broker_proto::v1::{
    advice::Cause,
    connection::{GrantType, State},
};

use crate::{
    refusal::reason,
    world::{CLIENT, MAIN, World},
};

const OTHER: &str = "tenants/acme/connections/other";

#[tokio::test]
async fn an_altered_ciphertext_is_quarantined_unsent() {
    let mut world = World::new().await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    tamper(
        &mut world,
        // Whatever the last byte is, it is another one now.
        "UPDATE grants SET refresh = CAST(substr(refresh, 1, length(refresh) - 1)
            || CASE substr(refresh, -1) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)",
    )
    .await;
    for _ in 0..2 {
        assert_eq!(reason(world.token(MAIN).await), "QUARANTINED");
    }
    assert_eq!(world.connection(MAIN).await.state(), State::Quarantined);
    assert_eq!(world.events(MAIN).await, ["quarantined"]);
    assert_eq!(world.inspect(MAIN).await.attempts[0].outcome, "not_sent");
    assert_eq!(world.refreshes(), 0);
    // A person brings a new one.
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    assert_eq!(world.token(MAIN).await.unwrap().generation, 3);
}

#[tokio::test]
async fn a_quarantined_connection_serves_what_it_has() {
    let mut world = World::new().await;
    let pair = world.import_alive(MAIN, 3600).await;
    tamper(&mut world, "UPDATE grants SET refresh = x'00'").await;
    assert_eq!(reason(world.refresh(MAIN).await), "QUARANTINED");
    let token = world.token(MAIN).await.unwrap();
    assert_eq!(token.access_token, pair.access_token);
    assert_eq!(token.advice.unwrap().cause(), Cause::Quarantined);
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn the_ciphertext_of_another_connection_is_quarantined_unsent() {
    let mut world = World::new().await;
    world.create(OTHER, CLIENT, GrantType::AuthorizationCode).await.unwrap();
    for name in [MAIN, OTHER] {
        world.import(name, &world.authorise().refresh_token).await.unwrap();
    }
    let swap = "UPDATE grants SET refresh =
            (SELECT refresh FROM grants other WHERE other.connection_uid <> grants.connection_uid)
        WHERE connection_uid = (SELECT uid FROM connections WHERE name LIKE '%/main')";
    tamper(&mut world, swap).await;
    assert_eq!(reason(world.token(MAIN).await), "QUARANTINED");
    assert_eq!(world.refreshes(), 0);
    // Where it belongs, it is still good.
    assert_eq!(world.token(OTHER).await.unwrap().generation, 2);
}

#[tokio::test]
async fn the_access_token_of_another_connection_is_not_handed_out() {
    let mut world = World::new().await;
    world.create(OTHER, CLIENT, GrantType::AuthorizationCode).await.unwrap();
    for name in [MAIN, OTHER] {
        world.import_alive(name, 3600).await;
    }
    let swap = "UPDATE grants SET access =
            (SELECT access FROM grants other WHERE other.connection_uid <> grants.connection_uid)
        WHERE connection_uid = (SELECT uid FROM connections WHERE name LIKE '%/main')";
    tamper(&mut world, swap).await;
    assert_eq!(reason(world.token(MAIN).await), "KEY_UNAVAILABLE");
    assert_eq!(world.token(OTHER).await.unwrap().generation, 1);
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn an_altered_client_secret_is_nobody_elses_fault() {
    let mut world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    tamper(
        &mut world,
        "UPDATE client_secrets SET sealed = CAST(substr(sealed, 1, length(sealed) - 1)
            || CASE substr(sealed, -1) WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)",
    )
    .await;
    assert_eq!(reason(world.token(MAIN).await), "KEY_UNAVAILABLE");
    assert_eq!(world.connection(MAIN).await.state(), State::Active);
    assert_eq!(world.simulator.log().len(), 0);
}

#[tokio::test]
async fn what_was_dispatched_when_the_last_process_ended_is_in_doubt_at_once() {
    let mut world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    // As a burn leaves it. The sweeper would wait for a holder that may still live; the file's lock proves that none does.
    tamper(
        &mut world,
        "INSERT INTO attempts (attempt_id, connection_uid, generation, nonce_hash, replica, cause, fingerprint,
            dispatched_at)
        SELECT randomblob(16), connection_uid, generation, randomblob(32), 'gone', 'expired', fingerprint,
            unixepoch() * 1000000 FROM grants;
        UPDATE grants SET state = 'dispatched', attempt_id = (SELECT attempt_id FROM attempts),
            since = (SELECT dispatched_at FROM attempts)",
    )
    .await;
    assert_eq!(world.connection(MAIN).await.state(), State::InDoubt);
    assert_eq!(world.events(MAIN).await, ["in_doubt"]);
    assert_eq!(reason(world.token(MAIN).await), "REFRESH_IN_DOUBT");
    assert_eq!(world.refreshes(), 0);
}

async fn tamper(world: &mut World, statement: &'static str) {
    let file = world.place.path().join("broker.db");
    world
        .restart(async |_| {
            let options = SqliteConnectOptions::new().filename(file);
            let mut database = SqliteConnection::connect_with(&options).await.unwrap();
            let done = sqlx::query(statement).execute(&mut database).await.unwrap();
            assert!(done.rows_affected() > 0);
            database.close().await.unwrap();
        })
        .await;
}
