//! The form of a receipt, which the escrow shares.

use proptest::prelude::*;
use token_broker::{
    journal::Unreadable,
    model::{Receipt, Successor, Tokens},
};

use crate::support::{receipt, token};

#[test]
fn every_receipt_reads_back() {
    let refresh = [Successor::Rotated(token(7)), Successor::Unchanged, Successor::Missing];
    for (refresh, access) in
        refresh.into_iter().flat_map(|refresh| [(refresh.clone(), true), (refresh, false)])
    {
        let receipt = receipt(3);
        let access = receipt.tokens.access.clone().filter(|_| access);
        let receipt = Receipt { tokens: Tokens { access, refresh }, ..receipt };
        assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
    }
}

#[test]
fn what_a_newer_version_adds_is_passed_over() {
    let mut bytes = receipt(3).encode();
    bytes.extend([0xa0, 0x06, 0x2a]); // field 100: 42
    assert_eq!(Receipt::decode(&bytes).unwrap(), receipt(3));
}

#[test]
fn what_a_newer_version_changes_is_refused() {
    let mut bytes = receipt(3).encode();
    assert_eq!(bytes[..2], [0x08, 1], "field 1: the version");
    bytes[1] = 2;
    assert_eq!(Receipt::decode(&bytes), Err(Unreadable::Version(2)));
    assert_eq!(Receipt::decode(&[]), Err(Unreadable::Version(0)));
}

/// What is not understood must not end a grant.
#[test]
fn an_absent_successor_is_not_a_missing_one() {
    let ends = Receipt { tokens: Tokens { access: None, refresh: Successor::Missing }, ..receipt(3) };
    let mut bytes = ends.encode();
    assert_eq!(bytes.split_off(bytes.len() - 2), [10 << 3, 1], "field 10: missing");
    assert_eq!(Receipt::decode(&bytes), Err(Unreadable::Field("successor")));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Receipt::decode(&bytes);
    }

    #[test]
    fn damaged_bytes_do_not_panic(at in 0_usize..300, byte in any::<u8>()) {
        let mut bytes = receipt(3).encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Receipt::decode(&bytes);
    }
}
