//! Keep-alive pings, in both directions.

use crate::{
    server::Server,
    service::HELD,
    wire::{self, END, PING, Wire},
};

#[tokio::test]
async fn a_ping_on_an_idle_connection_is_answered() {
    let server = Server::start();
    let mut wire = Wire::open(server.address).await;
    for round in 0..20 {
        wire.ping([round; 8]).await;
    }
}

#[tokio::test]
async fn a_ping_while_a_slow_call_is_in_flight_is_answered() {
    let server = Server::start();
    let mut wire = Wire::open(server.address).await;
    wire.send(&wire::call(1, HELD)).await;
    server.canned.held(1).await;
    for round in 0..20 {
        wire.ping([round; 8]).await;
    }
    server.canned.release();
    wire.reply(1).await;
}

#[tokio::test]
async fn the_servers_own_pings_leave_when_nothing_else_does() {
    let server = Server::pinging();
    let mut wire = Wire::open(server.address).await;
    wire.send(&wire::call(1, HELD)).await;
    server.canned.held(1).await;
    for _ in 0..5 {
        wire.until(|frame| frame.kind == PING && frame.flags & END == 0).await;
    }
    server.canned.release();
    wire.reply(1).await;
}
