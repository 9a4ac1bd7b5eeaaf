//! Real file systems that are full or read-only, each in a mount namespace of its own.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use token_broker::{
    clock::Clock,
    config,
    journal::{Flaw, Journal, JournalError, Record},
};

use crate::support::{
    all, attempt, child, child_folder, clock, directory, issuance, keep, numbers, receipt, settings,
    succeeded,
};

const RESERVE: u64 = 12 << 10;

/// Nothing that is mounted in there outlives the child.
fn with_own_mounts(test: &str) {
    let folder = directory();
    let root = rustix::process::geteuid().is_root();
    let wrapper: &[&str] =
        if root { &["unshare", "--mount"] } else { &["unshare", "--user", "--map-root-user", "--mount"] };
    succeeded(&child(wrapper, test, folder.path()));
}

#[test]
fn a_full_disk_takes_what_was_promised_and_no_more() {
    with_own_mounts("disk::child_on_a_full_disk");
}

#[test]
fn a_disk_that_is_full_at_the_start_is_refused_until_there_is_room() {
    with_own_mounts("disk::child_that_starts_on_a_full_disk");
}

#[test]
fn a_disk_that_is_read_only_at_the_start_can_be_read() {
    with_own_mounts("disk::child_that_starts_on_a_read_only_disk");
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = Command::new(program).args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

/// A disk of 256 KiB.
fn mount(folder: &Path) -> PathBuf {
    run("mount", &["-t", "tmpfs", "-o", "size=256k", "none"], folder);
    folder.to_owned()
}

fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    while file.write(&[1; 512]).is_ok_and(|written| written > 0) {}
    path
}

async fn open(disk: &Path, clock: &Clock) -> Journal {
    let settings = config::Journal { reserve_bytes: RESERVE, ..settings(&disk.join("journal")) };
    Journal::open(&settings, "replica", clock.clone()).await.unwrap().0
}

/// Past what was proven before.
async fn writable(journal: &Journal, clock: &Clock) -> Result<(), JournalError> {
    clock.advance(Duration::from_secs(2));
    journal.writable().await
}

#[tokio::test]
#[ignore = "a child of other tests"]
async fn child_on_a_full_disk() {
    let Some(folder) = child_folder() else { return };
    let (disk, clock) = (mount(&folder), clock());
    let journal = open(&disk, &clock).await;
    let filler = fill(&disk);
    assert!(File::create(disk.join("more")).and_then(|mut file| file.write_all(&[1; 4096])).is_err());
    writable(&journal, &clock).await.unwrap(); // the room is there already

    // Who was given what may use what is left over, not what is promised.
    for n in 0..200 {
        let _ = journal.note_issued(issuance(n));
        journal.sweep().await; // it is written, or refused
    }
    assert!(journal.health().gaps > 0, "what is refused is counted");

    let size = receipt(1).encode().len() as u64 + 13;
    let promised = RESERVE / size;
    keep(&journal, 1..=promised).await;
    writable(&journal, &clock).await.unwrap_err();
    let mut kept = promised;
    let refused = loop {
        match journal.append(Record::Receipt(receipt(kept + 1))).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 10_000, "a full disk that takes everything");
    };
    assert!(matches!(refused, JournalError::Io { .. }));
    assert!(!journal.health().writable);

    std::fs::remove_file(filler).unwrap();
    writable(&journal, &clock).await.unwrap();
    keep(&journal, [kept + 1]).await;
    journal.close().await.unwrap();
    let journal = open(&disk, &clock).await;
    assert_eq!(numbers(&all(&journal).await), (1..=kept + 1).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "a child of other tests"]
async fn child_that_starts_on_a_full_disk() {
    let Some(folder) = child_folder() else { return };
    let (disk, clock) = (mount(&folder), clock());
    let journal = open(&disk, &clock).await;
    keep(&journal, [1]).await;
    journal.close().await.unwrap();
    let filler = fill(&disk);
    let journal = open(&disk, &clock).await;
    assert_eq!(numbers(&journal.pending()), [1]);
    writable(&journal, &clock).await.unwrap_err();
    std::fs::remove_file(filler).unwrap();
    while !journal.health().writable {
        tokio::time::sleep(Duration::from_millis(20)).await; // it recovers by itself
    }
    writable(&journal, &clock).await.unwrap();
}

#[tokio::test]
#[ignore = "a child of other tests"]
async fn child_that_starts_on_a_read_only_disk() {
    let Some(folder) = child_folder() else { return };
    let (disk, clock) = (mount(&folder), clock());
    let journal = open(&disk, &clock).await;
    keep(&journal, [1, 2]).await;
    journal.close().await.unwrap();
    let segment = disk.join("journal/journal-000000000001.log");
    OpenOptions::new().append(true).open(&segment).unwrap().write_all(b"tbj1torn").unwrap();
    run("mount", &["-o", "remount,ro"], &disk);

    let settings = config::Journal { reserve_bytes: RESERVE, ..settings(&disk.join("journal")) };
    let (journal, aside) = Journal::open(&settings, "replica", clock.clone()).await.unwrap();
    assert_eq!(
        aside.iter().map(|aside| (aside.why, &aside.kept_in)).collect::<Vec<_>>(),
        [(Flaw::Torn, &None)]
    );
    assert_eq!(numbers(&journal.pending()), [1, 2]);
    writable(&journal, &clock).await.unwrap_err();
    run("mount", &["-o", "remount,rw"], &disk);
    writable(&journal, &clock).await.unwrap();
    journal.mark_settled(attempt(1));
    clock.advance(Duration::from_hours(48));
    journal.sweep().await;
    assert_eq!(numbers(&all(&journal).await), [2]);
    assert!(std::fs::read(&segment).unwrap().ends_with(b"tbj1torn"), "what has no copy is not deleted");
}
