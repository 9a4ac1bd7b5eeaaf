//! Graceful shutdown.

use crate::{
    server::Server,
    service::{HELD, name, token},
    wire::{self, GOAWAY, Wire},
};

#[tokio::test]
async fn calls_in_flight_are_answered_and_then_the_connection_closes() {
    let mut server = Server::start();
    let (mut busy, mut idle) = (Wire::open(server.address).await, Wire::open(server.address).await);
    idle.ping(*b"are you?").await;
    busy.send(&wire::call(1, HELD)).await;
    server.canned.held(1).await;

    server.stop();
    idle.until(|frame| frame.kind == GOAWAY).await;
    idle.closed().await;
    busy.until(|frame| frame.kind == GOAWAY).await;
    busy.ping(*b"still up").await;
    server.canned.release();
    busy.reply(1).await;
    busy.closed().await;
    server.ended().await;
}

#[tokio::test]
async fn a_reply_larger_than_any_buffer_is_sent_whole_before_the_connection_closes() {
    let mut server = Server::start();
    let mut wire = Wire::open(server.address).await;
    let large = name(20_000_000, 5);
    wire.send(&wire::call(1, &large)).await;
    wire.until(|frame| frame.kind == wire::DATA).await;
    server.stop();
    let mut received = 0;
    wire.until(|frame| {
        received += if frame.kind == wire::DATA { frame.payload.len() } else { 0 };
        frame.kind == wire::HEADERS
    })
    .await;
    assert!(received > token(&large).expect("a token").len() - 16 * 1024);
    wire.closed().await;
    server.ended().await;
}

#[tokio::test]
async fn a_client_that_says_goodbye_gets_the_reply_it_waits_for() {
    let server = Server::start();
    let mut wire = Wire::open(server.address).await;
    wire.send(&wire::call(1, HELD)).await;
    server.canned.held(1).await;
    wire.send(&wire::frame(GOAWAY, 0, 0, &[0; 8])).await;
    server.canned.release();
    wire.reply(1).await;
    wire.closed().await;
}
