//! What a crash or a bad disk leaves of a segment: everything before and after the damage is read back, nothing is
//! invented, and nothing keeps the broker from starting.

use std::path::Path;

use proptest::prelude::*;
use token_broker::{
    journal::{Flaw, Record, SetAside},
    model::{RawAnswer, Receipt, Sealed},
};

use crate::support::{
    all, attempt, burn, directory, keep, numbers, open, open_with_flaws, receipt, segments,
};

const RECORDS: u64 = 5;
const FRAME: usize = 13;

/// A segment with the receipts 1 to 5, and where each of them stands.
async fn written() -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let folder = directory();
    let journal = open(folder.path()).await;
    keep(&journal, 1..=RECORDS).await;
    journal.close().await.unwrap();
    let [path] = &segments(folder.path())[..] else { panic!("one segment") };
    let bytes = std::fs::read(path).unwrap();
    let mut start = FRAME; // a probe is the first
    let places: Vec<_> = (1..=RECORDS)
        .map(|n| {
            let place = start..start + FRAME + receipt(n).encode().len();
            start = place.end;
            place
        })
        .collect();
    assert_eq!(start, bytes.len());
    (bytes, places)
}

fn put(folder: &Path, bytes: &[u8]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::write(folder.join("journal-000000000001.log"), bytes).unwrap();
}

/// Opens a folder with this segment; what is read back, and what was set aside.
async fn read(folder: &Path, bytes: &[u8]) -> (Vec<Receipt>, Vec<SetAside>) {
    put(folder, bytes);
    let (journal, aside) = open_with_flaws(folder).await;
    let read = journal.pending();
    assert_eq!(all(&journal).await, read);
    journal.writable().await.unwrap();
    journal.close().await.unwrap();
    (read, aside)
}

#[tokio::test]
async fn a_file_that_is_cut_anywhere_keeps_every_record_before_the_cut() {
    let (bytes, places) = written().await;
    let folder = directory();
    for cut in 0..=bytes.len() {
        let whole = places.iter().filter(|place| place.end <= cut).count() as u64;
        let (found, aside) = read(folder.path(), &bytes[..cut]).await;
        assert_eq!(found, (1..=whole).map(receipt).collect::<Vec<_>>(), "cut at {cut}");
        let clean = [0, FRAME].contains(&cut) || places.iter().any(|place| place.end == cut);
        assert_eq!(aside.is_empty(), clean, "cut at {cut}");
        assert!(aside.iter().all(|aside| aside.why == Flaw::Torn));
    }
}

#[tokio::test]
async fn a_flipped_byte_costs_the_record_in_which_it_is() {
    let (bytes, places) = written().await;
    let folder = directory();
    for at in 0..bytes.len() {
        for mask in [0x01, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= mask;
            let others = (1..).zip(&places).filter(|(_, place)| !place.contains(&at));
            let (found, aside) = read(folder.path(), &bytes).await;
            assert_eq!(found, others.map(|(n, _)| receipt(n)).collect::<Vec<_>>(), "byte {at} ^ {mask:#x}");
            assert_eq!(aside.len(), 1, "byte {at} ^ {mask:#x}");
        }
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_into_a_file_of_its_own_once() {
    let (bytes, places) = written().await;
    let folder = directory();
    let cut = places[4].start + 17; // the last byte that is there is not zero
    let mut torn = bytes[..cut].to_vec();
    torn.resize(8 << 10, 0); // the room that was reserved
    put(folder.path(), &torn);
    let (journal, aside) = open_with_flaws(folder.path()).await;
    let [SetAside { offset, why: Flaw::Torn, kept_in: Some(copy), .. }] = &aside[..] else {
        panic!("{aside:?}")
    };
    assert_eq!(*offset, places[4].start as u64);
    assert_eq!(std::fs::read(copy).unwrap(), &bytes[places[4].start..cut]);
    assert_eq!(journal.health().set_aside, 1);
    keep(&journal, [9]).await;
    journal.close().await.unwrap();

    let journal = open(folder.path()).await; // nothing is set aside again
    assert_eq!(numbers(&journal.pending()), [1, 2, 3, 4, 9]);
    assert_eq!(std::fs::read(&segments(folder.path())[0]).unwrap(), &bytes[..places[4].start]);
}

#[tokio::test]
async fn damage_in_the_middle_is_copied_and_told_as_long_as_it_is_there() {
    let (mut bytes, places) = written().await;
    bytes[places[1].start + 30] ^= 0x55;
    let folder = directory();
    put(folder.path(), &bytes);
    for _ in 0..2 {
        let (journal, aside) = open_with_flaws(folder.path()).await;
        let [SetAside { why: Flaw::Damaged, kept_in: Some(copy), .. }] = &aside[..] else {
            panic!("{aside:?}")
        };
        assert_eq!(std::fs::read(copy).unwrap(), bytes[places[1].clone()]);
        assert_eq!(numbers(&journal.pending()), [1, 3, 4, 5]);
        assert_eq!(journal.health().set_aside, 1);
        journal.close().await.unwrap();
    }
}

/// The attack it stops: a caller's or a provider's bytes that look like a record, next to damage.
#[tokio::test]
async fn a_record_inside_another_record_is_none() {
    let (bytes, places) = written().await;
    let folder = directory();
    let journal = open(folder.path()).await;
    let inner = Sealed(bytes[places[0].clone()].to_vec());
    let (tenant, connection) = (receipt(1).tenant, receipt(1).connection);
    let outer = RawAnswer {
        tenant,
        connection,
        burn: burn(9, 9),
        received_at: receipt(9).received_at,
        sealed: inner,
    };
    journal.append(Record::Raw(outer)).await.unwrap();
    keep(&journal, [8]).await;
    journal.close().await.unwrap();
    let mut bytes = std::fs::read(&segments(folder.path())[0]).unwrap();
    bytes[FRAME] ^= 1; // the marker of the outer record
    let (found, _) = read(folder.path(), &bytes).await;
    assert_eq!(numbers(&found), [8]);
}

#[tokio::test]
async fn a_kind_of_record_that_is_not_known_is_set_aside() {
    let (bytes, places) = written().await;
    let folder = directory();
    let (journal, _) = open_with_flaws(folder.path()).await;
    journal.close().await.unwrap();
    // A receipt of version 2, as a newer broker would write it: the frame is sound.
    let payload = &bytes[places[0].start + FRAME..places[0].end];
    let mut newer = payload.to_vec();
    newer[1] = 2;
    let mut frame = bytes[..FRAME].to_vec();
    frame.extend(sound(1, FRAME as u64, bytes[places[0].start + 12], &newer));
    let (found, aside) = read(folder.path(), &frame).await;
    assert_eq!(found, []);
    let [SetAside { why: Flaw::Unreadable, kept_in: Some(copy), .. }] = &aside[..] else {
        panic!("{aside:?}")
    };
    assert_eq!(std::fs::read(copy).unwrap(), newer);
}

/// The layout of a record, stated a second time.
fn sound(segment: u64, offset: u64, kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u64;
    let mut summed = [segment.to_le_bytes(), offset.to_le_bytes(), length.to_le_bytes()].concat();
    summed.push(kind);
    summed.extend(payload);
    let mut frame = b"tbj1".to_vec();
    frame.extend(u32::try_from(length).unwrap().to_le_bytes());
    frame.extend(crc32c(&summed).to_le_bytes());
    frame.push(kind);
    frame.extend(payload);
    frame
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
    })
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_is_passed_over() {
    let (bytes, _) = written().await;
    let folder = directory();
    put(folder.path(), &bytes);
    std::fs::create_dir(folder.path().join("journal-000000000007.log")).unwrap();
    let (journal, aside) = open_with_flaws(folder.path()).await;
    assert_eq!(aside.iter().map(|aside| aside.why).collect::<Vec<_>>(), [Flaw::Segment]);
    assert_eq!(numbers(&journal.pending()), [1, 2, 3, 4, 5]);
    journal.mark_settled(attempt(1));
    journal.writable().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Several stretches of rubbish, also beyond what was written.
    #[test]
    fn rubbish_costs_only_what_it_covers(
        rubbish in prop::collection::vec((0_usize..2600, prop::collection::vec(any::<u8>(), 1..60)), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (clean, places) = written().await;
            let mut bytes = clean.clone();
            bytes.resize(8 << 10, 0);
            let original = bytes.clone();
            for (at, rubbish) in &rubbish {
                bytes[*at..at + rubbish.len()].copy_from_slice(rubbish);
            }
            let folder = directory();
            let (found, _) = read(folder.path(), &bytes).await;
            let intact = (1..).zip(&places).filter(|(_, place)| bytes[(*place).clone()] == original[(*place).clone()]);
            assert_eq!(found, intact.map(|(n, _)| receipt(n)).collect::<Vec<_>>());
        });
    }
}
