//! `reauthorise` and `revoke`.

use token_broker::{
    model::{Closing, Epoch, EventKind, Generation, Outcome, State},
    store::{Reauthorised, Store},
};

use crate::fixtures::{
    TENANT, access, at, attempt, burn, connected, connection, furnish, new_pair, outcomes, rotated, state,
    token, told,
};

on_every_store! {
    the_first_pair_is_above_the_floor,
    a_refresh_in_flight_is_awaited,
    a_new_pair_starts_a_new_rotation,
    a_held_token_is_refused,
    a_spent_token_is_refused,
    the_predecessor_of_a_replayed_settle_is_refused,
    a_revocation_wins,
    the_ciphertexts_go_with_a_revocation,
}

async fn the_first_pair_is_above_the_floor(store: &impl Store) {
    furnish(store).await;
    let mut connection = connection("c", 1);
    connection.generation_floor = Generation(4);
    store.create_connection(&connection).await.unwrap();
    assert_eq!(store.grant(TENANT, connection.uid).await.unwrap(), None);
    for (generation, epoch) in [(4, 0), (5, 1)] {
        let refused = store.reauthorise(TENANT, connection.uid, new_pair(generation, epoch, token(1)), at(0));
        assert_eq!(refused.await.unwrap(), Reauthorised::Refused, "{generation} at epoch {epoch}");
    }
    let done = store.reauthorise(TENANT, connection.uid, new_pair(5, 0, token(1)), at(0)).await.unwrap();
    assert_eq!(done, Reauthorised::Done(Generation(5)));
    let grant = store.grant(TENANT, connection.uid).await.unwrap().unwrap();
    assert_eq!((grant.generation, grant.revoke_epoch, grant.state), (Generation(5), Epoch(0), State::Idle));
    assert_eq!((grant.access, grant.endpoint), (Some(access(1, at(5400))), [7; 32]));
    assert!(told(store, connection.uid).await.is_empty());
}

async fn a_refresh_in_flight_is_awaited(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    let early = store.reauthorise(TENANT, uid, new_pair(2, 0, token(12)), at(180)).await.unwrap();
    assert_eq!(early, Reauthorised::Refused);
    let late = store.reauthorise(TENANT, uid, new_pair(2, 0, token(12)), at(181)).await.unwrap();
    assert_eq!(late, Reauthorised::Done(Generation(2)));
    assert_eq!(store.attempts(TENANT, uid, 1).await.unwrap()[0].closed, Some((Outcome::Superseded, at(181))));
    assert!(store.burn(TENANT, uid, burn(2, 2), at(182)).await.unwrap());
}

async fn a_new_pair_starts_a_new_rotation(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    for (generation, epoch) in [(1, 0), (2, 1)] {
        let refused =
            store.reauthorise(TENANT, uid, new_pair(generation, epoch, token(12)), at(1)).await.unwrap();
        assert_eq!(refused, Reauthorised::Refused, "{generation} at epoch {epoch}");
    }
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.quarantine(TENANT, uid, None, at(2)).await.unwrap();
    let mut new = new_pair(7, 0, token(12));
    new.endpoint = [8; 32];
    new.access = None;
    store.reauthorise(TENANT, uid, new, at(3)).await.unwrap();
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.generation, grant.state), (Generation(7), State::Idle));
    assert_eq!((grant.endpoint, grant.access), ([8; 32], None));
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Superseded)]);
}

async fn a_held_token_is_refused(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    for held in [11, 21] {
        let known = store.reauthorise(TENANT, one, new_pair(2, 0, token(held)), at(1)).await.unwrap();
        assert_eq!(known, Reauthorised::TokenKnown, "{held}");
    }
    store.revoke(TENANT, two, at(2)).await.unwrap();
    let free = store.reauthorise(TENANT, one, new_pair(2, 0, token(21)), at(3)).await.unwrap();
    assert_eq!(free, Reauthorised::Done(Generation(2)), "revoked unspent");
}

async fn a_spent_token_is_refused(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    store.burn(TENANT, one, burn(1, 1), at(1)).await.unwrap();
    store.settle(TENANT, attempt(1), rotated(12), at(2)).await.unwrap();
    let known = store.reauthorise(TENANT, two, new_pair(2, 0, token(11)), at(3)).await.unwrap();
    assert_eq!(known, Reauthorised::TokenKnown, "predecessor");

    store.burn(TENANT, one, burn(2, 2), at(4)).await.unwrap();
    store.revoke(TENANT, one, at(5)).await.unwrap();
    store.conclude(TENANT, attempt(2), Closing::Rejected, at(6)).await.unwrap();
    let known = store.reauthorise(TENANT, two, new_pair(2, 0, token(12)), at(7)).await.unwrap();
    assert_eq!(known, Reauthorised::TokenKnown, "spent and revoked");

    store.reauthorise(TENANT, one, new_pair(3, 1, token(13)), at(8)).await.unwrap();
    store.burn(TENANT, one, burn(3, 3), at(9)).await.unwrap();
    store.conclude(TENANT, attempt(3), Closing::NotSent, at(10)).await.unwrap();
    store.revoke(TENANT, one, at(11)).await.unwrap();
    let free = store.reauthorise(TENANT, two, new_pair(2, 0, token(13)), at(12)).await.unwrap();
    assert_eq!(free, Reauthorised::Done(Generation(2)), "its only attempt was not sent");
}

/// Its attempt freed the slot, so only the grant remembers the token.
async fn the_predecessor_of_a_replayed_settle_is_refused(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    store.burn(TENANT, one, burn(1, 1), at(1)).await.unwrap();
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    store.permit_replay(TENANT, attempt(1), at(100), at(3)).await.unwrap();
    store.settle(TENANT, attempt(1), rotated(12), at(4)).await.unwrap();
    let known = store.reauthorise(TENANT, two, new_pair(2, 0, token(11)), at(5)).await.unwrap();
    assert_eq!(known, Reauthorised::TokenKnown);
    store.reauthorise(TENANT, one, new_pair(3, 0, token(13)), at(6)).await.unwrap();
    let free = store.reauthorise(TENANT, two, new_pair(2, 0, token(11)), at(7)).await.unwrap();
    assert_eq!(free, Reauthorised::Done(Generation(2)), "a new rotation has no predecessor");
}

async fn a_revocation_wins(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    assert_eq!(store.revoke(TENANT, uid, at(2)).await.unwrap(), Some(Epoch(1)));
    assert_eq!(store.revoke(TENANT, uid, at(3)).await.unwrap(), Some(Epoch(2)));
    assert_eq!(state(store, uid).await, State::Revoked);
    assert_eq!(told(store, uid).await, [(1, EventKind::Revoked)]);
    let begun_before = store.reauthorise(TENANT, uid, new_pair(2, 1, token(12)), at(4)).await.unwrap();
    assert_eq!(begun_before, Reauthorised::Refused);
    let begun_after = store.reauthorise(TENANT, uid, new_pair(2, 2, token(12)), at(4)).await.unwrap();
    assert_eq!(begun_after, Reauthorised::Done(Generation(2)));
    assert_eq!(store.grant(TENANT, uid).await.unwrap().unwrap().revoke_epoch, Epoch(2));
    store.revoke(TENANT, uid, at(5)).await.unwrap();
    assert_eq!(told(store, uid).await, [(1, EventKind::Revoked), (2, EventKind::Revoked)]);
}

async fn the_ciphertexts_go_with_a_revocation(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.revoke(TENANT, uid, at(1)).await.unwrap();
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.access, grant.fingerprint), (None, None));
    assert!(!store.burn(TENANT, uid, burn(1, 1), at(2)).await.unwrap());
}
