//! What a record may be.

use super::wire::{self, Unreadable};
use crate::model::{AttemptId, Issuance, RawAnswer, Receipt, Timestamp};

/// One record. The tokens in it are sealed: the file reveals none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A received answer.
    Receipt(Receipt),
    /// An answer from which no pair could be read.
    Raw(RawAnswer),
    /// Who was given which generation.
    Issued(Issuance),
    /// A receipt that the database has, or will never want.
    Closed {
        /// Of the receipt.
        attempt: AttemptId,
        /// When it was closed.
        at: Timestamp,
    },
}

/// The kind of a record that says nothing: it proves that the disk can be written.
pub(super) const PROBE: u8 = 0;
const RECEIPT: u8 = 1;
const RAW: u8 = 2;
const ISSUED: u8 = 3;
const CLOSED: u8 = 4;

impl Record {
    pub(super) fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Receipt(receipt) => (RECEIPT, receipt.encode()),
            Self::Raw(answer) => (RAW, answer.encode()),
            Self::Issued(issuance) => (ISSUED, issuance.encode()),
            Self::Closed { attempt, at } => (CLOSED, wire::encode_closed(*attempt, *at)),
        }
    }

    /// `None`: a probe.
    pub(super) fn decode(kind: u8, payload: &[u8]) -> Result<Option<Self>, Unreadable> {
        match kind {
            PROBE => Ok(None),
            RECEIPT => Receipt::decode(payload).map(Self::Receipt).map(Some),
            RAW => RawAnswer::decode(payload).map(Self::Raw).map(Some),
            ISSUED => Issuance::decode(payload).map(Self::Issued).map(Some),
            CLOSED => wire::decode_closed(payload).map(|(attempt, at)| Some(Self::Closed { attempt, at })),
            _ => Err(Unreadable::Kind(kind)),
        }
    }

    /// The horizon counts from here.
    pub(super) const fn at(&self) -> Timestamp {
        match self {
            Self::Receipt(receipt) => receipt.received_at,
            Self::Raw(answer) => answer.received_at,
            Self::Issued(issuance) => issuance.at,
            Self::Closed { at, .. } => *at,
        }
    }
}
