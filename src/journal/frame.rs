//! A record on the disk, and how records are found again. Pure.
//!
//! ```text
//! marker 4 | length of the payload 4, little-endian | CRC-32C 4 | kind 1 | payload
//! ```
//! The checksum covers the place, too: bytes that were a record elsewhere, or stand inside another record, are
//! none here.

use crc::{CRC_32_ISCSI, Crc, Table};

/// What a record adds to its payload.
pub(super) const OVERHEAD: usize = 13;

const MARKER: &[u8; 4] = b"tbj1";
const CHECKSUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// What stands in a segment, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole record.
    Frame { offset: u64, kind: u8, payload: &'a [u8] },
    /// Bytes that are no record, with a record after them.
    Damaged { offset: u64, bytes: &'a [u8] },
    /// Bytes that are no record, and none after them: a write that did not end, or damage to the last record.
    Torn { offset: u64, bytes: &'a [u8] },
}

/// Appends a record that will stand at `offset` of `segment`.
pub(super) fn write(out: &mut Vec<u8>, segment: u64, offset: u64, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("a record is a quarter of a segment at most");
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(segment, offset, kind, payload).to_le_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
}

/// The record at the start of `bytes`, which stand at `offset` of `segment`.
pub(super) fn read(bytes: &[u8], segment: u64, offset: u64) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(MARKER)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (&[kind], rest) = rest.split_first_chunk::<1>()?;
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (checksum(segment, offset, kind, payload) == u32::from_le_bytes(*sum)).then_some((kind, payload))
}

/// Everything in the bytes of a segment. Zeros at the end are room that was never used.
pub(super) fn scan(segment: u64, bytes: &[u8]) -> Vec<Found<'_>> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let (mut found, mut at) = (Vec::new(), 0);
    // A record may end in zeros: what is read may reach beyond `used`.
    while at < used {
        let offset = at as u64;
        if let Some((kind, payload)) = read(&bytes[at..], segment, offset) {
            found.push(Found::Frame { offset, kind, payload });
            at += OVERHEAD + payload.len();
            continue;
        }
        let next = (at + 1..used).find(|next| read(&bytes[*next..], segment, *next as u64).is_some());
        let Some(next) = next else {
            found.push(Found::Torn { offset, bytes: &bytes[at..used] });
            break;
        };
        found.push(Found::Damaged { offset, bytes: &bytes[at..next] });
        at = next;
    }
    found
}

fn checksum(segment: u64, offset: u64, kind: u8, payload: &[u8]) -> u32 {
    let mut digest = CHECKSUM.digest();
    digest.update(&segment.to_le_bytes());
    digest.update(&offset.to_le_bytes());
    digest.update(&(payload.len() as u64).to_le_bytes());
    digest.update(&[kind]);
    digest.update(payload);
    digest.finalize()
}
