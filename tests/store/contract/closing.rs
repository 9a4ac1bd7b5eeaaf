//! `conclude`, `permit_replay`, `quarantine`, `resolve`, `sweep`.

use std::time::Duration;

use token_broker::{
    model::{Closing, EventKind, Generation, Outcome, Settlement, State, SweepPolicy},
    store::Store,
};

use crate::fixtures::{
    HOLDER_LOST_AFTER, TENANT, at, attempt, burn, connected, furnish, new_pair, outcomes, rotated, state,
    token, told,
};

on_every_store! {
    not_sent_makes_idle_again,
    the_fifth_refusal_of_a_generation_needs_a_person,
    rejected_needs_a_person,
    unknown_is_doubt_and_no_outcome,
    a_closed_attempt_is_closed,
    an_outcome_is_noted_where_the_grant_has_moved_on,
    an_attempt_from_before_a_revocation_closes_alone,
    an_operator_ends_doubt_and_quarantine,
    a_replay_needs_doubt_and_ends,
    quarantine_is_for_the_owner,
    silence_becomes_doubt_becomes_work,
    zero_patience_still_takes_one_step_at_a_time,
}

async fn not_sent_makes_idle_again(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    for n in 1..=7 {
        assert!(store.burn(TENANT, uid, burn(n, 1), at(1)).await.unwrap());
        assert!(store.conclude(TENANT, attempt(n.into()), Closing::NotSent, at(2)).await.unwrap());
        assert_eq!(state(store, uid).await, State::Idle, "after {n}");
    }
    assert!(told(store, uid).await.is_empty());
}

async fn the_fifth_refusal_of_a_generation_needs_a_person(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    for n in 1..=5 {
        assert!(store.burn(TENANT, uid, burn(n, 1), at(n.into())).await.unwrap(), "{n}");
        let refused = Closing::Refused { not_before: at(i64::from(n) + 1) };
        assert!(store.conclude(TENANT, attempt(n.into()), refused, at(n.into())).await.unwrap());
        let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
        if n < 5 {
            assert_eq!((grant.state, grant.not_before), (State::Idle, Some(at(i64::from(n) + 1))));
        } else {
            assert_eq!(grant.state, State::ReauthRequired { attempt: Some(attempt(5)) });
        }
    }
    assert_eq!(told(store, uid).await, [(1, EventKind::ReauthRequired)]);
    assert!(
        !store.burn(TENANT, uid, burn(6, 1), at(99)).await.unwrap(),
        "the slot is free, the grant is not idle"
    );

    store.reauthorise(TENANT, uid, new_pair(2, 0, token(12)), at(100)).await.unwrap();
    assert!(store.burn(TENANT, uid, burn(6, 2), at(101)).await.unwrap());
    let refused = Closing::Refused { not_before: at(102) };
    assert!(store.conclude(TENANT, attempt(6), refused, at(102)).await.unwrap());
    assert_eq!(state(store, uid).await, State::Idle, "a new generation counts anew");
}

async fn rejected_needs_a_person(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    assert!(store.conclude(TENANT, attempt(1), Closing::Rejected, at(2)).await.unwrap());
    assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: Some(attempt(1)) });
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Rejected)]);
    assert_eq!(told(store, uid).await, [(1, EventKind::ReauthRequired)]);
    assert!(!store.burn(TENANT, uid, burn(2, 1), at(3)).await.unwrap());
}

async fn unknown_is_doubt_and_no_outcome(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    assert!(store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap());
    assert!(!store.conclude(TENANT, attempt(1), Closing::Unknown, at(3)).await.unwrap());
    assert_eq!(state(store, uid).await, State::InDoubt { attempt: attempt(1), since: at(2) });
    assert_eq!(outcomes(store, uid).await, [None]);
    assert_eq!(told(store, uid).await, [(1, EventKind::InDoubt)]);
    assert!(store.conclude(TENANT, attempt(1), Closing::NotSent, at(4)).await.unwrap(), "doubt resolved");
    assert_eq!(state(store, uid).await, State::Idle);
}

async fn a_closed_attempt_is_closed(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert!(!store.conclude(TENANT, attempt(1), Closing::NotSent, at(1)).await.unwrap(), "unknown");
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.settle(TENANT, attempt(1), rotated(12), at(2)).await.unwrap();
    for closing in
        [Closing::NotSent, Closing::Rejected, Closing::Refused { not_before: at(9) }, Closing::Unknown]
    {
        assert!(!store.conclude(TENANT, attempt(1), closing, at(3)).await.unwrap());
    }
    assert_eq!(store.attempts(TENANT, uid, 1).await.unwrap()[0].closed, Some((Outcome::Settled, at(2))));
    assert_eq!(state(store, uid).await, State::Idle);
}

async fn an_outcome_is_noted_where_the_grant_has_moved_on(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    store.burn(TENANT, one, burn(1, 1), at(1)).await.unwrap();
    store.burn(TENANT, two, burn(2, 1), at(1)).await.unwrap();
    store.quarantine(TENANT, one, None, at(2)).await.unwrap();
    store.revoke(TENANT, two, at(2)).await.unwrap();
    assert!(!store.conclude(TENANT, attempt(1), Closing::Unknown, at(3)).await.unwrap());
    assert!(store.conclude(TENANT, attempt(1), Closing::NotSent, at(3)).await.unwrap());
    assert!(store.conclude(TENANT, attempt(2), Closing::Rejected, at(3)).await.unwrap());
    assert_eq!(state(store, one).await, State::Quarantined { attempt: Some(attempt(1)) });
    assert_eq!(state(store, two).await, State::Revoked);
    assert_eq!(outcomes(store, one).await, [Some(Outcome::NotSent)]);
    assert_eq!(outcomes(store, two).await, [Some(Outcome::Rejected)]);
}

/// It is still open, and the grant is another attempt's by now.
async fn an_attempt_from_before_a_revocation_closes_alone(store: &impl Store) {
    furnish(store).await;
    for (n, closing) in
        [(1, Closing::NotSent), (2, Closing::Refused { not_before: at(9) }), (3, Closing::Rejected)]
    {
        let uid = connected(store, n.into()).await;
        assert!(store.burn(TENANT, uid, burn(n, 1), at(1)).await.unwrap());
        store.revoke(TENANT, uid, at(2)).await.unwrap();
        store.reauthorise(TENANT, uid, new_pair(2, 1, token(100 + n)), at(3)).await.unwrap();
        assert!(store.burn(TENANT, uid, burn(10 + n, 2), at(4)).await.unwrap());
        assert!(store.conclude(TENANT, attempt(n.into()), closing, at(5)).await.unwrap());
        let dispatched = State::Dispatched { attempt: attempt(u128::from(n) + 10), since: at(4) };
        assert_eq!(state(store, uid).await, dispatched, "{closing:?}");
        assert_eq!(store.grant(TENANT, uid).await.unwrap().unwrap().not_before, None, "{closing:?}");
    }
}

async fn an_operator_ends_doubt_and_quarantine(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    assert!(!store.resolve(TENANT, one, at(1)).await.unwrap(), "nothing to end");
    store.burn(TENANT, one, burn(1, 1), at(1)).await.unwrap();
    assert!(!store.resolve(TENANT, one, at(1)).await.unwrap(), "its holder is at it");
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    store.burn(TENANT, two, burn(2, 1), at(1)).await.unwrap();
    store.quarantine(TENANT, two, None, at(2)).await.unwrap();
    for (uid, n) in [(one, 1), (two, 2)] {
        assert!(store.resolve(TENANT, uid, at(3)).await.unwrap());
        assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: Some(attempt(n)) });
        assert_eq!(told(store, uid).await.last(), Some(&(1, EventKind::ReauthRequired)));
        assert!(!store.resolve(TENANT, uid, at(4)).await.unwrap(), "done");
    }
    let settled = store.settle(TENANT, attempt(2), rotated(22), at(5)).await.unwrap();
    assert_eq!(settled, Settlement::Settled(Generation(2)), "what was kept settles");
}

async fn a_replay_needs_doubt_and_ends(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    assert!(!store.permit_replay(TENANT, attempt(1), at(100), at(2)).await.unwrap(), "dispatched");
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    assert!(!store.permit_replay(TENANT, attempt(2), at(100), at(3)).await.unwrap(), "another attempt");
    assert!(store.permit_replay(TENANT, attempt(1), at(100), at(3)).await.unwrap());
    assert!(!store.permit_replay(TENANT, attempt(1), at(200), at(3)).await.unwrap(), "done");
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.state, grant.spend_before), (State::Idle, Some(at(100))));

    assert!(!store.burn(TENANT, uid, burn(2, 1), at(100)).await.unwrap(), "the window has ended");
    assert!(store.burn(TENANT, uid, burn(2, 1), at(99)).await.unwrap());
    store.conclude(TENANT, attempt(2), Closing::NotSent, at(99)).await.unwrap();
    let policy = SweepPolicy { holder_lost_after: HOLDER_LOST_AFTER, doubt_grace: HOLDER_LOST_AFTER };
    assert!(store.sweep(policy, at(99)).await.unwrap().is_empty(), "a release keeps the window");
    assert_eq!(store.sweep(policy, at(100)).await.unwrap(), [uid]);
    assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: None });
}

async fn quarantine_is_for_the_owner(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert!(!store.quarantine(TENANT, uid, Some(attempt(1)), at(1)).await.unwrap(), "unknown attempt");
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.conclude(TENANT, attempt(1), Closing::NotSent, at(2)).await.unwrap();
    store.burn(TENANT, uid, burn(2, 1), at(3)).await.unwrap();
    assert!(!store.quarantine(TENANT, uid, Some(attempt(1)), at(4)).await.unwrap(), "closed attempt");
    assert!(store.quarantine(TENANT, uid, Some(attempt(2)), at(4)).await.unwrap());
    assert!(!store.quarantine(TENANT, uid, None, at(5)).await.unwrap(), "it is");
    assert_eq!(state(store, uid).await, State::Quarantined { attempt: Some(attempt(2)) });
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::NotSent), Some(Outcome::NotSent)]);
    assert_eq!(told(store, uid).await, [(1, EventKind::Quarantined)]);

    let two = connected(store, 2).await;
    store.burn(TENANT, two, burn(3, 1), at(1)).await.unwrap();
    store.reauthorise(TENANT, two, new_pair(2, 0, token(22)), at(500)).await.unwrap();
    store.revoke(TENANT, two, at(501)).await.unwrap();
    store.reauthorise(TENANT, two, new_pair(3, 1, token(23)), at(502)).await.unwrap();
    store.burn(TENANT, two, burn(4, 3), at(503)).await.unwrap();
    store.revoke(TENANT, two, at(504)).await.unwrap();
    store.reauthorise(TENANT, two, new_pair(4, 2, token(24)), at(505)).await.unwrap();
    assert!(
        !store.quarantine(TENANT, two, Some(attempt(4)), at(506)).await.unwrap(),
        "open, of an older rotation"
    );
    assert_eq!(outcomes(store, two).await, [Some(Outcome::NotSent), Some(Outcome::Superseded)]);
    assert_eq!(store.grant(TENANT, two).await.unwrap().unwrap().generation, Generation(4));
    assert_eq!(state(store, two).await, State::Idle);
}

async fn silence_becomes_doubt_becomes_work(store: &impl Store) {
    furnish(store).await;
    let (one, two) = (connected(store, 1).await, connected(store, 2).await);
    let policy = SweepPolicy { holder_lost_after: HOLDER_LOST_AFTER, doubt_grace: Duration::from_mins(10) };
    store.burn(TENANT, two, burn(2, 1), at(1)).await.unwrap();
    store.burn(TENANT, one, burn(1, 1), at(2)).await.unwrap();
    assert!(store.sweep(policy, at(180)).await.unwrap().is_empty());
    assert_eq!(store.sweep(policy, at(181)).await.unwrap(), [two]);
    assert_eq!(store.sweep(policy, at(182)).await.unwrap(), [one]);
    assert_eq!(state(store, two).await, State::InDoubt { attempt: attempt(2), since: at(181) });
    assert!(store.sweep(policy, at(5399)).await.unwrap().is_empty(), "the access token lives");
    assert_eq!(store.sweep(policy, at(5400)).await.unwrap(), [one, two]);
    assert_eq!(told(store, one).await, [(1, EventKind::InDoubt), (1, EventKind::ReauthRequired)]);
    assert!(store.sweep(policy, at(9999)).await.unwrap().is_empty());
}

async fn zero_patience_still_takes_one_step_at_a_time(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    let policy = SweepPolicy { holder_lost_after: Duration::ZERO, doubt_grace: Duration::ZERO };
    store.burn(TENANT, uid, burn(1, 1), at(9000)).await.unwrap();
    assert_eq!(store.sweep(policy, at(8000)).await.unwrap(), [uid], "even where the clock went back");
    assert_eq!(state(store, uid).await, State::InDoubt { attempt: attempt(1), since: at(8000) });
    assert_eq!(store.sweep(policy, at(8000)).await.unwrap(), [uid]);
}
