//! Clients that do not read.

use crate::{
    server::{Server, call},
    service::{DROP, name, token},
    wire::{self, DATA, END, Wire},
};

/// What a server may buffer for a client: the kernel's largest send buffer, h2's, and the cork's.
const BOUND: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn a_flood_waits_for_its_reader_and_nobody_else_does() {
    let server = Server::start();
    let mut slow = Wire::open(server.address).await;
    slow.send(&[wire::headers(1, "/test.Flood/Pour"), wire::frame(DATA, END, 1, &[0; 5])].concat()).await;

    // The windows are open as wide as they go: only the socket can stop the flood.
    let other = server.channel().await;
    let mut unchanged = 0;
    let mut poured = 0;
    while unchanged < 500 {
        call(other.clone(), 200, unchanged).await;
        unchanged = if poured > 0 && poured == server.flood.poured() { unchanged + 1 } else { 0 };
        poured = server.flood.poured();
        assert!(poured < BOUND);
    }

    let mut received = 0;
    while received < 2 * BOUND {
        let data = slow.until(|frame| frame.kind == DATA).await.payload;
        assert!(data.iter().all(|byte| *byte == DROP[0]));
        received += data.len();
    }
    assert!(server.flood.poured() >= received);
}

#[tokio::test]
async fn calls_whose_replies_nobody_reads_are_all_answered_when_somebody_does() {
    let server = Server::start();
    let mut slow = Wire::open(server.address).await;
    let names: Vec<String> = (0..100).map(|seed| name(200_000, seed)).collect();
    slow.send(&wire::calls(&names)).await;
    for seed in 0..200 {
        call(server.channel().await, 2000, seed).await;
    }
    let tokens = slow.tokens(names.len()).await;
    assert!(names.iter().zip(tokens).all(|(name, received)| token(name) == Some(received)));
}
