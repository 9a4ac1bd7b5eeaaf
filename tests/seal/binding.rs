//! A sealed value opens where it belongs, and nowhere else.

use std::{collections::HashSet, sync::Arc};

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use token_broker::{
    model::Sealed,
    seal::{OpenError, Place},
    store::KeyScope,
};
use uuid::Uuid;

use crate::support::{KeyFile, PLACE, Table, keys};

const CANARY: &[u8] = b"canary-5f1e-refresh-token";

#[tokio::test]
async fn what_is_sealed_opens() {
    let keys = keys().await;
    for plaintext in [b"".as_slice(), b"x", CANARY, &[7; 16 * 1024]] {
        let sealed = keys.seal(&PLACE, plaintext, &mut rand::rng());
        assert_eq!(keys.open(&PLACE, &sealed).unwrap().as_slice(), plaintext);
        assert!(!sealed.0.windows(CANARY.len()).any(|window| window == CANARY));
    }
}

#[tokio::test]
async fn every_part_of_the_place_is_bound() {
    let keys = keys().await;
    let sealed = keys.seal(&PLACE, CANARY, &mut rand::rng());
    for elsewhere in [
        Place { uid: Uuid::from_u128(8), ..PLACE },
        Place { table: "leases", ..PLACE },
        Place { column: "access_token", ..PLACE },
        Place { generation: 4, ..PLACE },
        // The same letters, split elsewhere.
        Place { table: "grantsr", column: "efresh_token", ..PLACE },
    ] {
        assert_eq!(keys.open(&elsewhere, &sealed).unwrap_err(), OpenError::BadTag, "{elsewhere:?}");
    }
}

#[tokio::test]
async fn the_environment_is_bound() {
    let (file, table) = (KeyFile::new(), Arc::new(Table::default()));
    let production = file.keyring(&table, "production").keys(&KeyScope::Platform).await.unwrap();
    let sealed = production.seal(&PLACE, CANARY, &mut rand::rng());

    // A clone of the database under the same key file cannot even unwrap the data key.
    let error = file.keyring(&table, "staging").keys(&KeyScope::Platform).await.unwrap_err();
    assert!(error.to_string().contains("was not made for the environment `staging`"), "{error}");

    let staging = file.keyring(&Arc::new(Table::default()), "staging");
    let staging = staging.keys(&KeyScope::Platform).await.unwrap();
    let key = production.ids().next().unwrap();
    assert_eq!(staging.open(&PLACE, &sealed).unwrap_err(), OpenError::UnknownKey(key));
}

#[tokio::test]
async fn a_key_is_selected_by_its_id() {
    let (ours, theirs) = (keys().await, keys().await);
    let mut sealed = ours.seal(&PLACE, CANARY, &mut rand::rng());
    let ours_id = ours.ids().next().unwrap();
    assert_eq!(theirs.open(&PLACE, &sealed).unwrap_err(), OpenError::UnknownKey(ours_id));

    // Relabelled as theirs: the commitment is another key's.
    sealed.0[1..17].copy_from_slice(theirs.ids().next().unwrap().as_bytes());
    assert_eq!(theirs.open(&PLACE, &sealed).unwrap_err(), OpenError::BadTag);
}

#[tokio::test]
async fn any_altered_byte_is_noticed() {
    let keys = keys().await;
    let sealed = keys.seal(&PLACE, CANARY, &mut rand::rng());
    for index in 0..sealed.0.len() {
        let mut altered = sealed.clone();
        altered.0[index] ^= 1;
        let error = keys.open(&PLACE, &altered).unwrap_err();
        match index {
            0 => assert_eq!(error, OpenError::Malformed),
            1..17 => assert!(matches!(error, OpenError::UnknownKey(_))),
            _ => assert_eq!(error, OpenError::BadTag, "byte {index}"),
        }
    }
}

#[tokio::test]
async fn any_truncation_is_noticed() {
    let keys = keys().await;
    let sealed = keys.seal(&PLACE, CANARY, &mut rand::rng());
    for length in 0..sealed.0.len() {
        assert!(keys.open(&PLACE, &Sealed(sealed.0[..length].to_vec())).is_err(), "{length} bytes");
    }
}

#[tokio::test]
async fn no_salt_repeats() {
    const SEALS: usize = 100_000;
    let (keys, mut rng) = (keys().await, rand::rng());
    let salts: HashSet<[u8; 32]> = (0..SEALS).map(|_| salt(&keys.seal(&PLACE, CANARY, &mut rng))).collect();
    assert_eq!(salts.len(), SEALS);
}

#[tokio::test]
async fn a_cloned_machine_repeats_no_salt() {
    let keys = keys().await;
    let seal = |place, plaintext| salt(&keys.seal(place, plaintext, &mut StdRng::seed_from_u64(1)));
    assert_eq!(seal(&PLACE, CANARY), seal(&PLACE, CANARY));
    assert_ne!(seal(&PLACE, CANARY), seal(&PLACE, b"another token"));
    assert_ne!(seal(&PLACE, CANARY), seal(&Place { generation: 4, ..PLACE }, CANARY));
}

#[test]
fn random_blobs_never_open() {
    let keys = runtime().block_on(keys());
    let id = keys.ids().next().unwrap();
    proptest!(|(mut blob in proptest::collection::vec(any::<u8>(), 0..300), aim in any::<bool>())| {
        if aim && blob.len() >= 17 {
            blob[0] = 1;
            blob[1..17].copy_from_slice(id.as_bytes());
        }
        prop_assert!(keys.open(&PLACE, &Sealed(blob)).is_err());
    });
}

#[test]
fn random_plaintexts_open() {
    let keys = runtime().block_on(keys());
    proptest!(|(plaintext in proptest::collection::vec(any::<u8>(), 0..300), generation in any::<u64>())| {
        let place = Place { generation, ..PLACE };
        let sealed = keys.seal(&place, &plaintext, &mut rand::rng());
        let opened = keys.open(&place, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn salt(sealed: &Sealed) -> [u8; 32] {
    *sealed.0[17..].first_chunk().unwrap()
}
