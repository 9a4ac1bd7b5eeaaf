//! Clients that close their sending half.

use token_broker::rpc::transport::listen;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::StreamExt as _;

use crate::{
    server::Server,
    service::HELD,
    soon,
    wire::{self, PING, Wire},
};

#[tokio::test]
async fn a_flush_after_the_read_half_has_ended_arrives_although_nobody_reads_again() {
    let (address, mut incoming) = listen(([127, 0, 0, 1], 0).into()).expect("listens");
    let serve = async {
        let mut socket = incoming.next().await.expect("a connection").expect("infallible");
        let mut question = String::new();
        socket.read_to_string(&mut question).await.expect("reads");
        socket.write_all(question.repeat(1000).as_bytes()).await.expect("writes");
        socket.flush().await.expect("flushes");
        socket
    };
    let ask = async {
        let mut wire = Wire::silent(address).await;
        wire.send(b"are you there?").await;
        wire.0.shutdown().await.expect("closes one half");
        let mut answer = vec![0; 14_000];
        wire.0.read_exact(&mut answer).await.expect("reads");
        assert_eq!(answer, b"are you there?".repeat(1000));
    };
    let (_still_open, ()) = soon(async { tokio::join!(serve, ask) }).await;
}

#[tokio::test]
async fn what_was_written_before_the_end_arrives_and_the_connection_closes() {
    let server = Server::start();
    let mut wire = Wire::silent(server.address).await;
    wire.send(&[wire::opening(), wire::frame(PING, 0, 0, b"last one")].concat()).await;
    wire.0.shutdown().await.expect("closes one half");
    wire.pong(*b"last one").await;
    wire.closed().await;
}

#[tokio::test]
async fn a_call_whose_client_has_closed_is_dropped() {
    let server = Server::start();
    let mut wire = Wire::open(server.address).await;
    wire.send(&wire::call(1, HELD)).await;
    server.canned.held(1).await;
    wire.0.shutdown().await.expect("closes one half");
    wire.closed().await;
    soon(server.canned.held(0)).await;
    server.answers().await;
}
