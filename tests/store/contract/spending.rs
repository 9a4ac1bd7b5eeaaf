//! `burn`, `take`, `resolve_burn`.

use token_broker::{
    model::{BurnFate, Closing, ConnectionUid, Generation, Outcome, Settlement, State},
    store::{Reauthorised, Store},
};
use uuid::Uuid;

use crate::fixtures::{
    TENANT, at, attempt, burn, connected, connection, furnish, new_pair, nonce, rotated, state, tenant, token,
};

on_every_store! {
    a_burn_applies_once,
    a_burn_waits_for_not_before,
    nothing_burns_without_a_grant,
    an_attempt_belongs_to_one_connection,
    another_tenant_changes_nothing,
    take_wants_the_nonce_of_an_open_dispatched_attempt,
    resolve_burn_lets_the_holder_go_on,
    resolve_burn_leaves_a_tombstone_on_which_the_late_burn_fails,
}

async fn a_burn_applies_once(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert!(!store.burn(TENANT, uid, burn(1, 2), at(1)).await.unwrap(), "another generation");
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    assert_eq!(state(store, uid).await, State::Dispatched { attempt: attempt(1), since: at(1) });
    assert!(!store.burn(TENANT, uid, burn(1, 1), at(2)).await.unwrap(), "the same attempt");
    assert!(!store.burn(TENANT, uid, burn(2, 1), at(2)).await.unwrap(), "another attempt");

    let attempts = store.attempts(TENANT, uid, 10).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].burn, burn(1, 1));
    assert_eq!(attempts[0].fingerprint, Some(token(11).fingerprint));
    assert_eq!((attempts[0].dispatched_at, attempts[0].closed), (at(1), None));
}

async fn a_burn_waits_for_not_before(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    let refused = Closing::Refused { not_before: at(10) };
    assert!(store.conclude(TENANT, attempt(1), refused, at(2)).await.unwrap());
    assert!(!store.burn(TENANT, uid, burn(2, 1), at(9)).await.unwrap());
    assert!(store.burn(TENANT, uid, burn(2, 1), at(10)).await.unwrap());
    store.conclude(TENANT, attempt(2), Closing::NotSent, at(10)).await.unwrap();
    assert_eq!(
        store.grant(TENANT, uid).await.unwrap().unwrap().not_before,
        Some(at(10)),
        "a release keeps it"
    );
}

async fn nothing_burns_without_a_grant(store: &impl Store) {
    furnish(store).await;
    let pending = connection("pending", 9);
    store.create_connection(&pending).await.unwrap();
    for uid in [pending.uid, ConnectionUid(Uuid::from_u128(77))] {
        assert_eq!(store.grant(TENANT, uid).await.unwrap(), None);
        assert!(!store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
        assert_eq!(store.resolve_burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap(), BurnFate::Stop);
        assert_eq!(store.revoke(TENANT, uid, at(1)).await.unwrap(), None);
        assert!(!store.quarantine(TENANT, uid, None, at(1)).await.unwrap());
        assert!(store.attempts(TENANT, uid, 10).await.unwrap().is_empty());
    }
}

async fn an_attempt_belongs_to_one_connection(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    assert!(store.burn(TENANT, one, burn(1, 1), at(1)).await.unwrap());
    assert!(!store.burn(TENANT, two, burn(1, 1), at(1)).await.unwrap());
    assert_eq!(store.resolve_burn(TENANT, two, burn(1, 1), at(1)).await.unwrap(), BurnFate::Stop);
    assert!(!store.quarantine(TENANT, two, Some(attempt(1)), at(1)).await.unwrap());
    assert!(store.attempts(TENANT, two, 10).await.unwrap().is_empty());
}

async fn another_tenant_changes_nothing(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    let other = tenant(2);
    store.create_tenant(&other).await.unwrap();
    assert_eq!(store.grant(other.uid, uid).await.unwrap(), None);
    assert!(!store.burn(other.uid, uid, burn(1, 1), at(1)).await.unwrap());
    assert_eq!(store.resolve_burn(other.uid, uid, burn(1, 1), at(1)).await.unwrap(), BurnFate::Stop);
    let new = new_pair(2, 0, token(12));
    assert_eq!(store.reauthorise(other.uid, uid, new, at(1)).await.unwrap(), Reauthorised::Gone);
    assert_eq!(store.revoke(other.uid, uid, at(1)).await.unwrap(), None);
    assert!(!store.quarantine(other.uid, uid, None, at(1)).await.unwrap());
    let adopted = store.adopt(other.uid, uid, burn(2, 1), token(11).fingerprint, rotated(12), at(1)).await;
    assert_eq!(adopted.unwrap(), Settlement::Kept);

    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap(), "nothing took the slot");
    let before = (store.grant(TENANT, uid).await.unwrap(), store.attempts(TENANT, uid, 10).await.unwrap());
    assert_eq!(store.take(other.uid, attempt(1), nonce(1)).await.unwrap(), None);
    assert_eq!(store.settle(other.uid, attempt(1), rotated(12), at(2)).await.unwrap(), Settlement::Unknown);
    for closing in [Closing::NotSent, Closing::Rejected, Closing::Unknown] {
        assert!(!store.conclude(other.uid, attempt(1), closing, at(2)).await.unwrap());
    }
    assert!(!store.permit_replay(other.uid, attempt(1), at(100), at(2)).await.unwrap());
    assert!(store.attempts(other.uid, uid, 10).await.unwrap().is_empty());
    assert!(store.events(other.uid, uid, 10).await.unwrap().is_empty());
    let after = (store.grant(TENANT, uid).await.unwrap(), store.attempts(TENANT, uid, 10).await.unwrap());
    assert_eq!(after, before);
}

async fn take_wants_the_nonce_of_an_open_dispatched_attempt(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert_eq!(store.take(TENANT, attempt(1), nonce(1)).await.unwrap(), None, "not burnt");
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    for _ in 0..2 {
        assert_eq!(store.take(TENANT, attempt(1), nonce(1)).await.unwrap(), Some(token(11).sealed));
    }
    assert_eq!(store.take(TENANT, attempt(1), nonce(2)).await.unwrap(), None, "another's nonce");
    assert_eq!(store.take(TENANT, attempt(2), nonce(1)).await.unwrap(), None, "another attempt");
    assert!(store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap());
    assert_eq!(store.take(TENANT, attempt(1), nonce(1)).await.unwrap(), None, "in doubt");
    assert!(store.conclude(TENANT, attempt(1), Closing::NotSent, at(3)).await.unwrap());
    assert!(store.burn(TENANT, uid, burn(2, 1), at(4)).await.unwrap());
    assert_eq!(store.take(TENANT, attempt(1), nonce(1)).await.unwrap(), None, "closed");
    assert_eq!(store.take(TENANT, attempt(2), nonce(2)).await.unwrap(), Some(token(11).sealed));
}

async fn resolve_burn_lets_the_holder_go_on(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    assert_eq!(store.resolve_burn(TENANT, uid, burn(1, 1), at(2)).await.unwrap(), BurnFate::Proceed);
    assert!(store.conclude(TENANT, attempt(1), Closing::Unknown, at(3)).await.unwrap());
    assert_eq!(store.resolve_burn(TENANT, uid, burn(1, 1), at(4)).await.unwrap(), BurnFate::Release);
    store.settle(TENANT, attempt(1), rotated(12), at(5)).await.unwrap();
    assert_eq!(store.resolve_burn(TENANT, uid, burn(1, 1), at(6)).await.unwrap(), BurnFate::Stop);
    assert_eq!(store.attempts(TENANT, uid, 10).await.unwrap().len(), 1);
}

async fn resolve_burn_leaves_a_tombstone_on_which_the_late_burn_fails(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    for _ in 0..2 {
        assert_eq!(store.resolve_burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap(), BurnFate::Stop);
    }
    let attempts = store.attempts(TENANT, uid, 10).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].fingerprint, attempts[0].outcome()), (None, Some(Outcome::NotSent)));
    assert!(!store.burn(TENANT, uid, burn(1, 1), at(2)).await.unwrap(), "the queued burn");
    assert_eq!(state(store, uid).await, State::Idle);
    assert!(store.burn(TENANT, uid, burn(2, 1), at(3)).await.unwrap(), "the tombstone holds no slot");
    assert_eq!(
        store.resolve_burn(TENANT, uid, burn(3, 1), at(4)).await.unwrap(),
        BurnFate::Stop,
        "while another is dispatched"
    );
    assert_eq!(store.attempts(TENANT, uid, 1).await.unwrap()[0].burn.attempt, attempt(3));

    let gone = new_pair(9, 0, token(13));
    store.reauthorise(TENANT, uid, gone, at(1000)).await.unwrap();
    assert_eq!(store.grant(TENANT, uid).await.unwrap().unwrap().generation, Generation(9));
}
