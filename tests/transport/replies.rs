//! Replies of all sizes arrive whole.

use futures_util::future::join_all;

use crate::{
    server::{Server, call},
    service::{name, token},
    soon,
    wire::{self, Wire},
};

const SIZES: [usize; 4] = [200, 2_000, 20_000, 200_000];

async fn many_concurrent_calls() {
    let server = Server::start();
    let channels = join_all((0..4).map(|_| server.channel())).await;
    let calls = (0..2_000).map(|seed| call(channels[seed % 4].clone(), SIZES[seed / 4 % 4], seed));
    soon(join_all(calls)).await;
}

#[tokio::test]
async fn many_concurrent_calls_on_one_thread() {
    many_concurrent_calls().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_concurrent_calls_on_many_threads() {
    many_concurrent_calls().await;
}

#[tokio::test]
async fn a_client_that_sends_one_byte_at_a_time_is_answered() {
    let server = Server::start();
    let mut wire = Wire::silent(server.address).await;
    let names = SIZES.map(|size| name(size, size));
    for byte in [wire::opening(), wire::calls(&names)].concat() {
        wire.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    let tokens = wire.tokens(names.len()).await;
    assert!(names.iter().zip(tokens).all(|(name, received)| token(name) == Some(received)));
}

#[tokio::test]
async fn the_peers_address_is_known() {
    use tonic::transport::server::Connected as _;

    let (address, mut incoming) =
        token_broker::rpc::transport::listen(([127, 0, 0, 1], 0).into()).expect("listens");
    let client = Wire::silent(address).await;
    let accepted = soon(tokio_stream::StreamExt::next(&mut incoming)).await;
    let socket = accepted.expect("a connection").expect("infallible");
    assert_eq!(socket.connect_info().remote_addr(), client.0.local_addr().ok());
}
