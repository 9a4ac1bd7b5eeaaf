//! Clients that vanish.

use crate::{
    server::Server,
    service::{HELD, name},
    soon,
    wire::{self, DATA, END, Wire},
};

#[tokio::test]
async fn a_reset_drops_the_calls_of_its_connection_and_no_others() {
    let server = Server::start();
    let (mut gone, mut stays) = (Wire::open(server.address).await, Wire::open(server.address).await);
    gone.send(&[wire::call(1, HELD), wire::call(3, HELD)].concat()).await;
    stays.send(&wire::call(1, HELD)).await;
    soon(server.canned.held(3)).await;
    gone.reset();
    soon(server.canned.held(1)).await;
    server.canned.release();
    stays.reply(1).await;
    server.answers().await;
}

#[tokio::test]
async fn a_reset_with_replies_under_way_ends_the_connection() {
    let mut server = Server::start();
    for unread in [name(200, 1), name(2_000_000, 2)] {
        let mut wire = Wire::open(server.address).await;
        wire.send(&wire::call(1, &unread)).await;
        wire.until(|frame| frame.stream == 1).await;
        wire.reset();
    }
    let mut wire = Wire::open(server.address).await;
    wire.send(&[wire::headers(1, "/test.Flood/Pour"), wire::frame(DATA, END, 1, &[0; 5])].concat()).await;
    wire.until(|frame| frame.kind == DATA).await;
    wire.reset();
    server.answers().await;
    server.stop();
    server.ended().await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_dropped_and_its_connection_stays() {
    let server = Server::start();
    let mut wire = Wire::open(server.address).await;
    wire.send(&wire::call(1, HELD)).await;
    soon(server.canned.held(1)).await;
    wire.send(&wire::frame(wire::RST_STREAM, 0, 1, &8_u32.to_be_bytes())).await;
    soon(server.canned.held(0)).await;
    wire.ping(*b"still up").await;
}
