//! The checker of traces must be able to say no.

use super::{
    calls::read,
    order::{Sides, check},
};

/// A refresh, shortened; two threads, calls that are interrupted by others.
const TRACE: &str = r#"
100  10:00:00.000001 connect(12<TCP:[30210]>, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}, 16) = -1 EINPROGRESS (Operation now in progress)
101  10:00:00.000002 pwrite64(9</data/token-broker.db-wal>, "frame", 4096, 32) = 4096
101  10:00:00.000003 fdatasync(9</data/token-broker.db-wal> <unfinished ...>
100  10:00:00.000004 recvfrom(14<TCP:[127.0.0.1:7171->127.0.0.1:50000]>, 0x7f, 8, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
101  10:00:00.000005 <... fdatasync resumed>) = 0
100  10:00:00.000006 sendto(12<TCP:[127.0.0.1:40000->127.0.0.1:8080]>, "POST /oauth/token HTTP/1.1\r\n", 28, MSG_NOSIGNAL, NULL, 0) = 28
100  10:00:00.000007 sendto(12<TCP:[127.0.0.1:40000->127.0.0.1:8080]>, "refresh_token=spent", 19, MSG_NOSIGNAL, NULL, 0) = 19
100  10:00:00.000008 recvfrom(12<TCP:[127.0.0.1:40000->127.0.0.1:8080]>, "HTTP/1.1 200 OK\r\n", 8192, 0, NULL, NULL) = 17
101  10:00:00.000009 pwrite64(9</data/token-broker.db-wal>, "frame", 4096, 4128) = 4096
101  10:00:00.000010 fdatasync(9</data/token-broker.db-wal>) = 0
100  10:00:00.000011 writev(14<TCP:[127.0.0.1:7171->127.0.0.1:50000]>, [{iov_base="\0\0", iov_len=2}, {iov_base="\n\rvended", iov_len=8}], 2) = 10
"#;

fn verdict(trace: &str) -> Result<(), String> {
    let sides = Sides {
        provider: "127.0.0.1:8080".to_owned(),
        grpc: "127.0.0.1:7171".to_owned(),
        log: "token-broker.db-wal>".to_owned(),
        presented: "spent".to_owned(),
        vended: "vended".to_owned(),
    };
    check(&read(trace), &sides).map(drop)
}

fn without(line: &str) -> String {
    assert_eq!(TRACE.matches(line).count(), 1, "{line}");
    TRACE.lines().filter(|text| !text.contains(line)).map(|text| format!("{text}\n")).collect()
}

/// Moves a line behind another.
fn moved(line: &str, behind: &str) -> String {
    let text = TRACE.lines().find(|text| text.contains(line)).unwrap();
    without(line)
        .lines()
        .map(|kept| if kept.contains(behind) { format!("{kept}\n{text}\n") } else { format!("{kept}\n") })
        .collect()
}

#[test]
fn a_good_trace_passes() {
    assert_eq!(verdict(TRACE), Ok(()));
}

#[test]
fn each_missing_sync_is_noticed() {
    assert_eq!(verdict(&without("00.000005")), Err("the burn was not on the disk in time".to_owned()));
    assert_eq!(verdict(&without("00.000010")), Err("the settle was not on the disk in time".to_owned()));
    let failed =
        TRACE.replace("fdatasync resumed>) = 0", "fdatasync resumed>) = -1 EIO (Input/output error)");
    assert!(verdict(&failed).is_err());
}

#[test]
fn a_sync_that_returns_too_late_is_noticed() {
    assert!(
        verdict(&moved("00.000005", "00.000006")).is_err(),
        "the head was sent before the burn was durable"
    );
    assert!(verdict(&moved("00.000010", "00.000011")).is_err(), "the caller was answered before the settle");
}

#[test]
fn a_sync_of_something_else_does_not_count() {
    let other = TRACE
        .replace("fdatasync(9</data/token-broker.db-wal>) = 0", "fdatasync(8</data/token-broker.db>) = 0");
    assert!(verdict(&other).is_err());
    assert!(verdict(&moved("00.000009", "00.000010")).is_err(), "written after the sync");
}
