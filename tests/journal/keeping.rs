//! What goes in comes out; one process; only its owner.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

use token_broker::{
    journal::{Journal, JournalError, Record},
    model::{RawAnswer, Sealed},
};

use crate::support::{
    all, attempt, burn, clock, directory, issuance, keep, numbers, open, receipt, segments, settings,
};

#[tokio::test]
async fn what_was_appended_is_there_after_a_start() {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [3, 1, 2]).await;
    journal.mark_settled(attempt(2));
    assert_eq!(numbers(&journal.pending()), [1, 3]);
    journal.close().await.unwrap();

    let journal = open(folder.path()).await;
    assert_eq!(journal.pending(), [receipt(1), receipt(3)], "the oldest generation first");
    assert_eq!(all(&journal).await, [receipt(1), receipt(2), receipt(3)]);
    let health = journal.health();
    assert_eq!((health.receipts, health.pending, health.set_aside), (3, 2, 0));
    assert!(health.writable && health.last_error.is_none());
}

#[tokio::test]
async fn a_mark_may_come_before_its_receipt_is_written() {
    let folder = directory();
    let journal = open(folder.path()).await;
    let append = journal.append(Record::Receipt(receipt(1)));
    let mut append = std::pin::pin!(append);
    assert!(futures_util::poll!(&mut append).is_pending() || journal.health().receipts == 1);
    journal.mark_settled(attempt(1)); // the database was faster
    keep(&journal, [2]).await;
    assert_eq!(numbers(&journal.pending()), [2]);
}

#[tokio::test]
async fn a_receipt_that_is_appended_twice_is_one() {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1, 1]).await;
    assert_eq!((numbers(&journal.pending()), numbers(&all(&journal).await)), (vec![1], vec![1]));
    journal.mark_settled(attempt(1));
    keep(&journal, [1]).await;
    assert_eq!((numbers(&journal.pending()), numbers(&all(&journal).await)), (vec![], vec![1]));
}

#[tokio::test]
async fn every_kind_of_record_is_kept() {
    let folder = directory();
    let journal = open(folder.path()).await;
    let raw = RawAnswer {
        tenant: receipt(1).tenant,
        connection: receipt(1).connection,
        burn: burn(1, 1),
        received_at: receipt(1).received_at,
        sealed: Sealed(b"sealed-raw-answer".to_vec()),
    };
    journal.append(Record::Raw(raw.clone())).await.unwrap();
    let _ = journal.note_issued(issuance(1));
    journal.close().await.unwrap();
    let bytes = std::fs::read(&segments(folder.path())[0]).unwrap();
    for text in [&b"sealed-raw-answer"[..], b"static:reports"] {
        assert!(bytes.windows(text.len()).any(|window| window == text));
    }
    assert_eq!(RawAnswer::decode(&raw.encode()).unwrap(), raw);
    assert!(open(folder.path()).await.pending().is_empty());
}

#[tokio::test]
async fn a_record_has_a_quarter_of_a_segment_at_most() {
    let folder = directory();
    let journal = open(folder.path()).await;
    let raw = |bytes| {
        Record::Raw(RawAnswer {
            tenant: receipt(1).tenant,
            connection: receipt(1).connection,
            burn: burn(1, 1),
            received_at: receipt(1).received_at,
            sealed: Sealed(vec![7; bytes]),
        })
    };
    journal.append(raw(1800)).await.unwrap();
    assert!(matches!(journal.append(raw(2048)).await, Err(JournalError::TooLarge(_))));
    journal.writable().await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_by_whom() {
    let folder = directory();
    let journal = open(folder.path()).await;
    let settings = settings(folder.path());
    let second = || Journal::open(&settings, "second", clock());
    let refused = second().await.err().unwrap().to_string();
    assert!(refused.contains("held by another process (replica, process "), "{refused}");
    journal.close().await.unwrap();
    second().await.unwrap();
}

#[tokio::test]
async fn nobody_else_may_look() {
    let folder = directory();
    let path = folder.path().join("above/journal");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let journal = open(&path).await;
    keep(&journal, [1]).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn what_is_closed_refuses() {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1]).await;
    journal.close().await.unwrap();
    assert!(matches!(journal.writable().await, Err(JournalError::Closed)));
    assert!(matches!(journal.append(Record::Receipt(receipt(2))).await, Err(JournalError::Closed)));
    let _ = journal.note_issued(issuance(1));
    assert_eq!(journal.health().gaps, 1);
}

#[tokio::test]
async fn the_last_handle_ends_it() {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, [1]).await;
    drop(journal);
    let journal = loop {
        match Journal::open(&settings(folder.path()), "replica", clock()).await {
            Ok((journal, _)) => break journal,
            Err(error) => assert!(matches!(error, JournalError::Held { .. })),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(numbers(&journal.pending()), [1]);
}
