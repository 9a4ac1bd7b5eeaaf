//! Journals in folders of their own, and receipts from small numbers.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use tempfile::TempDir;
use token_broker::{
    clock::Clock,
    config,
    journal::{Journal, Record, SetAside},
    model::{
        AccessToken, AttemptId, Burn, ConnectionUid, Fingerprint, Generation, Issuance, NonceHash, Receipt,
        RefreshToken, Sealed, Successor, TenantUid, Timestamp, Tokens,
    },
};
use uuid::Uuid;

/// The data key that sealed every token here.
pub(crate) const KEY: Uuid = Uuid::from_u128(0xdada);

pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// In memory where the machine has such a file system: fsync is what it is, and free.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Small segments, and a reserve of one more of them.
pub(crate) fn settings(path: &Path) -> config::Journal {
    config::Journal {
        path: path.to_owned(),
        segment_bytes: 8 << 10,
        reserve_bytes: 6 << 10,
        horizon: Duration::from_hours(24),
    }
}

pub(crate) fn clock() -> Clock {
    Clock::manual(at(0))
}

pub(crate) async fn open_with_flaws(path: &Path) -> (Journal, Vec<SetAside>) {
    Journal::open(&settings(path), "replica", clock()).await.unwrap()
}

pub(crate) async fn open(path: &Path) -> Journal {
    let (journal, aside) = open_with_flaws(path).await;
    assert_eq!(aside, []);
    journal
}

/// The segments there are, in order; reserved room is no segment.
pub(crate) fn segments(path: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    names.retain(|path| std::fs::read(path).unwrap().iter().any(|byte| *byte != 0));
    names.sort();
    names
}

fn sealed(n: u64, bytes: usize) -> Sealed {
    let mut blob = vec![1];
    blob.extend_from_slice(KEY.as_bytes());
    blob.resize(17 + 80 + bytes, u8::try_from(n % 251).unwrap());
    Sealed(blob)
}

pub(crate) fn token(n: u64) -> RefreshToken {
    RefreshToken { sealed: sealed(n, 24), fingerprint: Fingerprint([u8::try_from(n % 251).unwrap(); 32]) }
}

pub(crate) fn attempt(n: u64) -> AttemptId {
    AttemptId(Uuid::from_u128(n.into()))
}

pub(crate) fn burn(n: u64, generation: u64) -> Burn {
    Burn {
        attempt: attempt(n),
        generation: Generation(generation),
        nonce: NonceHash([7; 32]),
        replica: "replica".to_owned(),
        cause: "test".to_owned(),
    }
}

/// Attempt `n`, of generation `n` of connection 1.
pub(crate) fn receipt(n: u64) -> Receipt {
    let issued_at = at(i64::try_from(n).unwrap());
    Receipt {
        tenant: TenantUid(Uuid::from_u128(1)),
        connection: ConnectionUid(Uuid::from_u128(1)),
        burn: burn(n, n),
        parent: Fingerprint([u8::try_from(n % 251).unwrap(); 32]),
        received_at: issued_at,
        tokens: Tokens {
            access: Some(AccessToken { sealed: sealed(n, 40), issued_at, expires_at: at(5400) }),
            refresh: Successor::Rotated(token(n + 1)),
        },
    }
}

pub(crate) fn issuance(n: u64) -> Issuance {
    Issuance {
        at: at(0),
        principal: "static:reports".to_owned(),
        connection: ConnectionUid(Uuid::from_u128(1)),
        generation: Generation(n),
    }
}

pub(crate) async fn keep(journal: &Journal, numbers: impl IntoIterator<Item = u64>) {
    for n in numbers {
        journal.append(Record::Receipt(receipt(n))).await.unwrap();
    }
}

/// The attempts of everything that can be read back.
pub(crate) async fn all(journal: &Journal) -> Vec<Receipt> {
    let (mut replay, mut all) = (journal.all(), Vec::new());
    while let Some(receipt) = replay.next().await {
        all.push(receipt);
    }
    all
}

pub(crate) fn numbers(receipts: &[Receipt]) -> Vec<u64> {
    receipts.iter().map(|receipt| receipt.burn.generation.0).collect()
}

/// Where a child of a test finds its journal; absent: nobody asked for it.
pub(crate) fn child_folder() -> Option<PathBuf> {
    std::env::var_os("JOURNAL_CHILD").map(PathBuf::from)
}

/// Runs a test of this binary in a process of its own, below `wrapper`.
pub(crate) fn child(wrapper: &[&str], test: &str, folder: &Path) -> Output {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let output = command.env("JOURNAL_CHILD", folder).output();
    output.unwrap_or_else(|error| panic!("this test needs `{}`: {error}", wrapper[0]))
}

/// What went wrong in a child, if anything.
pub(crate) fn succeeded(output: &Output) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "no such child: {}", said(&output.stdout));
}
