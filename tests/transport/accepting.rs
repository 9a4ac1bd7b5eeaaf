//! Failures to accept.

use std::{fs::File, future::poll_fn, net::TcpStream, pin::Pin, process::Command, time::Duration};

use rustix::process::{Resource, Rlimit, setrlimit};
use token_broker::rpc::transport::listen;
use tokio_stream::{Stream as _, StreamExt as _};

/// In a process of its own, because descriptors are the process's.
#[test]
fn a_listener_that_ran_out_of_descriptors_accepts_again_when_it_has_some() {
    let child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--ignored", "--exact", "accepting::out_of_descriptors"])
        .output()
        .expect("runs");
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn out_of_descriptors() {
    let (address, mut incoming) = listen(([127, 0, 0, 1], 0).into()).expect("listens");
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).expect("sets");
    let mut spent: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // One for the client's end, none for the server's.
    spent.pop();
    let _client = TcpStream::connect(address).expect("the kernel connects");

    let mut polls = 0;
    let accepting = poll_fn(|cx| {
        polls += 1;
        Pin::new(&mut incoming).poll_next(cx)
    });
    tokio::select! {
        accepted = accepting => panic!("{accepted:?}"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    assert!(polls < 1000, "spins");
    drop(spent);
    incoming.next().await.expect("goes on").expect("infallible");
}
