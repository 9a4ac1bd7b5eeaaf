//! What the disk is told, as `strace` sees it, and what happens when it refuses.

use std::{io::Write as _, path::Path, process::Output};

use token_broker::journal::{Journal, JournalError, Record};

use crate::support::{
    child, child_folder, clock, directory, keep, numbers, open, receipt, settings, succeeded,
};

/// Runs a child of which `strace` delays, fails, or only lists the calls that `inject` names.
fn traced(inject: &[&str], test: &str, folder: &Path) -> (Output, String) {
    let trace = folder.with_extension("trace");
    let mut wrapper = vec!["strace", "-f", "-y", "-s", "64", "-e", "trace=fdatasync,pwrite64,write", "-o"];
    wrapper.push(trace.to_str().unwrap());
    for inject in inject {
        wrapper.extend(["-e", inject]);
    }
    let output = child(&wrapper, test, folder);
    let lines = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(trace).unwrap();
    (output, lines)
}

#[test]
fn nothing_is_said_before_it_is_on_the_disk() {
    let folder = directory();
    let (output, trace) = traced(&[], "sync::child_that_appends", folder.path());
    succeeded(&output);
    let mut synced = 0;
    let mut said = 0;
    for line in trace.lines() {
        synced += usize::from(line.contains("fdatasync") && line.trim_end().ends_with("= 0"));
        if line.contains("\"kept ") {
            said += 1;
            assert!(synced > said, "the {said}. receipt, after {synced} syncs, the first of them a probe's");
        }
    }
    assert_eq!(said, 6);
}

/// After a failed fdatasync the kernel may drop what was not written, and say of the next one that all is well.
#[test]
fn after_a_failed_sync_a_segment_is_never_trusted_again() {
    let folder = directory();
    let inject = ["inject=fdatasync:error=EIO:when=3"];
    let (output, trace) = traced(&inject, "sync::child_that_appends", folder.path());
    succeeded(&output);
    let failed = trace.lines().position(|line| line.contains("EIO")).expect("a failed sync");
    let first = "journal-000000000001.log";
    let used = trace.lines().skip(failed + 1).filter(|line| line.contains(first) && !line.contains("EIO"));
    assert_eq!(used.collect::<Vec<_>>(), [""; 0]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(numbers(&runtime.block_on(open(folder.path())).pending()), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_disk_that_fails_is_refused_until_it_does_not() {
    let folder = directory();
    let inject = ["inject=fdatasync:error=EIO:when=2..6"];
    let (output, _) = traced(&inject, "sync::child_on_a_failing_disk", folder.path());
    succeeded(&output);
}

#[test]
fn a_write_that_is_refused_goes_into_another_segment() {
    let folder = directory();
    let inject = ["inject=pwrite64:error=EROFS:when=3"];
    let (output, _) = traced(&inject, "sync::child_that_appends", folder.path());
    succeeded(&output);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(numbers(&runtime.block_on(open(folder.path())).pending()), [1, 2, 3, 4, 5, 6]);
}

/// While one sync takes its time, everybody else gathers for the next.
#[test]
fn many_callers_share_a_sync() {
    let folder = directory();
    let inject = ["inject=fdatasync:delay_enter=200ms"];
    let (output, _) = traced(&inject, "sync::child_with_many_callers", folder.path());
    succeeded(&output);
}

#[tokio::test]
#[ignore = "a child of other tests"]
async fn child_that_appends() {
    let Some(folder) = child_folder() else { return };
    let journal = open(&folder).await;
    for n in 1..=6 {
        keep(&journal, [n]).await;
        writeln!(std::io::stdout(), "kept {n}").unwrap();
    }
}

#[tokio::test]
#[ignore = "a child of other tests"]
async fn child_on_a_failing_disk() {
    let Some(folder) = child_folder() else { return };
    let clock = clock();
    let (journal, _) = Journal::open(&settings(&folder), "replica", clock.clone()).await.unwrap();
    clock.advance(std::time::Duration::from_secs(2));
    journal.writable().await.unwrap_err(); // it failed while nobody used it
    let refused = journal.append(Record::Receipt(receipt(1))).await;
    assert!(matches!(refused, Err(JournalError::Io { .. })), "{refused:?}");
    assert!(!journal.health().writable);
    let mut refusals = 0;
    while journal.writable().await.is_err() {
        refusals += 1;
        assert!(refusals < 5, "it does not recover");
    }
    keep(&journal, [1]).await;
    let health = journal.health();
    assert!(health.writable && health.last_error.is_some());
}

#[tokio::test]
#[ignore = "a child of other tests"]
async fn child_with_many_callers() {
    let Some(folder) = child_folder() else { return };
    let journal = open(&folder).await;
    let before = journal.health().syncs;
    let appends = (1..=20).map(|n| journal.append(Record::Receipt(receipt(n))));
    futures_util::future::try_join_all(appends).await.unwrap();
    let syncs = journal.health().syncs - before;
    assert!(syncs <= 4, "{syncs} syncs for 20 callers");
}
