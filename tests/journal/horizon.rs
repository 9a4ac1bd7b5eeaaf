//! How long what is kept, and that a receipt which the database does not have is kept for ever.

use std::time::Duration;

use token_broker::{clock::Clock, config, journal::Journal};

use crate::support::{all, attempt, clock, directory, keep, numbers, segments, settings};

const HORIZON: Duration = Duration::from_hours(1);

async fn open(path: &std::path::Path, clock: &Clock) -> Journal {
    let settings = config::Journal { horizon: HORIZON, ..settings(path) };
    Journal::open(&settings, "replica", clock.clone()).await.unwrap().0
}

#[tokio::test]
async fn what_the_database_has_goes_after_the_horizon_and_nothing_else_ever() {
    let (folder, clock) = (directory(), clock());
    let journal = open(folder.path(), &clock).await;
    keep(&journal, 1..=60).await;
    for n in (1..=60).filter(|n| *n != 2) {
        journal.mark_settled(attempt(n));
    }
    let before = segments(folder.path());
    assert!(before.len() > 2, "several segments: {before:?}");
    clock.advance(HORIZON);
    journal.sweep().await;
    assert_eq!(numbers(&all(&journal).await)[0], 1, "nothing is past the horizon");

    clock.advance(Duration::from_mins(2));
    journal.sweep().await;
    assert_eq!(numbers(&all(&journal).await), [2]);
    let after = segments(folder.path());
    assert!(before.iter().all(|path| !after.contains(path)) || after.len() == 1, "{before:?} {after:?}");
    assert_eq!(journal.health().receipts, 1);
    journal.close().await.unwrap();

    let journal = open(folder.path(), &clock).await;
    assert_eq!(numbers(&journal.pending()), [2]);
    clock.advance(Duration::from_hours(24 * 365));
    journal.sweep().await;
    keep(&journal, [61]).await;
    journal.sweep().await;
    assert_eq!(numbers(&journal.pending()), [2, 61]);
}

#[tokio::test]
async fn what_is_carried_over_is_carried_once() {
    let (folder, clock) = (directory(), clock());
    let journal = open(folder.path(), &clock).await;
    keep(&journal, 1..=30).await;
    clock.advance(HORIZON * 3);
    journal.sweep().await;
    journal.sweep().await;
    let (syncs, bytes) = (journal.health().syncs, journal.health().bytes);
    for _ in 0..5 {
        journal.sweep().await;
    }
    assert_eq!((journal.health().syncs, journal.health().bytes), (syncs, bytes), "nothing to do any more");
    assert_eq!(journal.pending().len(), 30);
}

#[tokio::test]
async fn a_segment_that_is_not_full_goes_too() {
    let (folder, clock) = (directory(), clock());
    let journal = open(folder.path(), &clock).await;
    keep(&journal, [1]).await;
    journal.mark_settled(attempt(1));
    clock.advance(HORIZON * 2);
    journal.sweep().await;
    assert_eq!((journal.health().receipts, all(&journal).await), (0, vec![]));
}

#[tokio::test]
async fn starts_and_ends_leave_nothing_behind() {
    let (folder, clock) = (directory(), clock());
    let mut sizes = Vec::new();
    for n in 1..=20 {
        let journal = open(folder.path(), &clock).await;
        if n == 1 {
            keep(&journal, [1]).await;
        }
        journal.writable().await.unwrap();
        sizes.push((journal.health().bytes, journal.health().segments));
        journal.close().await.unwrap();
    }
    assert!(sizes[2..].iter().all(|size| *size == sizes[2]), "{sizes:?}");
}
