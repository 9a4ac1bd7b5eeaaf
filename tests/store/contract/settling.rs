//! `settle` in each state, and `adopt`.

use token_broker::{
    model::{Closing, EventKind, Generation, Outcome, Settlement, State, Successor, SweepPolicy, Tokens},
    store::{Reauthorised, Store},
};

use crate::fixtures::{
    HOLDER_LOST_AFTER, TENANT, access, at, attempt, burn, connected, furnish, new_pair, outcomes, rotated,
    state, token, told,
};

on_every_store! {
    settle_moves_the_grant_on,
    settle_finds_its_place_late,
    settle_of_nobody_knows_what,
    settle_after_another_rotation_is_an_orphan,
    settle_after_a_revocation_is_an_orphan,
    settle_of_an_open_attempt_from_before_a_revocation_is_an_orphan,
    settle_of_a_closed_attempt_is_an_orphan,
    settle_in_quarantine_is_kept,
    settle_with_the_token_of_another_is_kept,
    a_missing_successor_ends_the_grant,
    an_unchanged_token_stays,
    a_replayed_attempt_settles_from_idle_and_waits_for_a_successor,
    a_replayed_attempt_waits_whatever_its_successor_does,
    adopt_takes_what_the_database_forgot,
    adopt_keeps_what_does_not_descend,
    adopt_ends_a_doubt,
    adopt_takes_what_a_window_has_shut_out,
}

async fn settle_moves_the_grant_on(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    let settled = Settlement::Settled(Generation(2));
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(2)).await.unwrap(), settled);
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.generation, grant.state), (Generation(2), State::Idle));
    assert_eq!(grant.fingerprint, Some(token(12).fingerprint));
    assert_eq!(grant.access, Some(access(12, at(5400))));
    assert_eq!(grant.endpoint, [7; 32]);
    assert_eq!(store.attempts(TENANT, uid, 1).await.unwrap()[0].closed, Some((Outcome::Settled, at(2))));

    assert_eq!(store.settle(TENANT, attempt(1), rotated(13), at(3)).await.unwrap(), Settlement::Ignored);
    assert_eq!(store.grant(TENANT, uid).await.unwrap().unwrap(), grant);
    assert!(told(store, uid).await.is_empty());
}

async fn settle_finds_its_place_late(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    let settled = store.settle(TENANT, attempt(1), rotated(12), at(3)).await.unwrap();
    assert_eq!(settled, Settlement::Settled(Generation(2)), "from in_doubt");

    store.burn(TENANT, uid, burn(2, 2), at(4)).await.unwrap();
    let policy = SweepPolicy { holder_lost_after: HOLDER_LOST_AFTER, doubt_grace: HOLDER_LOST_AFTER };
    store.sweep(policy, at(1000)).await.unwrap();
    store.sweep(policy, at(6000)).await.unwrap();
    assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: Some(attempt(2)) });
    let settled = store.settle(TENANT, attempt(2), rotated(13), at(6001)).await.unwrap();
    assert_eq!(settled, Settlement::Settled(Generation(3)), "from reauth_required");
    assert_eq!(state(store, uid).await, State::Idle);
}

async fn settle_of_nobody_knows_what(store: &impl Store) {
    furnish(store).await;
    connected(store, 1).await;
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(1)).await.unwrap(), Settlement::Unknown);
}

async fn settle_after_another_rotation_is_an_orphan(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    let done = store.reauthorise(TENANT, uid, new_pair(5, 0, token(15)), at(500)).await.unwrap();
    assert_eq!(done, Reauthorised::Done(Generation(5)));
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Superseded)]);
    for _ in 0..2 {
        assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(501)).await.unwrap(), Settlement::Orphan);
    }
    assert_eq!(told(store, uid).await, [(5, EventKind::Orphan)]);
    assert_eq!(store.grant(TENANT, uid).await.unwrap().unwrap().fingerprint, Some(token(15).fingerprint));
}

async fn settle_after_a_revocation_is_an_orphan(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.revoke(TENANT, uid, at(2)).await.unwrap();
    assert_eq!(outcomes(store, uid).await, [None]);
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(3)).await.unwrap(), Settlement::Orphan);
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Superseded)]);
    assert_eq!(state(store, uid).await, State::Revoked);
    assert_eq!(told(store, uid).await, [(1, EventKind::Revoked), (1, EventKind::Orphan)]);
}

/// Revoked, authorised anew and dispatched again, while the old attempt was still open.
async fn settle_of_an_open_attempt_from_before_a_revocation_is_an_orphan(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.revoke(TENANT, uid, at(2)).await.unwrap();
    store.reauthorise(TENANT, uid, new_pair(2, 1, token(15)), at(3)).await.unwrap();
    assert!(store.burn(TENANT, uid, burn(2, 2), at(4)).await.unwrap());
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(5)).await.unwrap(), Settlement::Orphan);
    assert_eq!(state(store, uid).await, State::Dispatched { attempt: attempt(2), since: at(4) });
    assert_eq!(outcomes(store, uid).await, [None, Some(Outcome::Superseded)]);
}

async fn settle_of_a_closed_attempt_is_an_orphan(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.conclude(TENANT, attempt(1), Closing::Rejected, at(2)).await.unwrap();
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(3)).await.unwrap(), Settlement::Orphan);
    assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: Some(attempt(1)) });
}

async fn settle_in_quarantine_is_kept(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    assert!(store.quarantine(TENANT, uid, None, at(2)).await.unwrap());
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(3)).await.unwrap(), Settlement::Kept);
    assert_eq!(outcomes(store, uid).await, [None]);
    assert_eq!(state(store, uid).await, State::Quarantined { attempt: Some(attempt(1)) });
}

async fn settle_with_the_token_of_another_is_kept(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    connected(store, 2).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    assert_eq!(store.settle(TENANT, attempt(1), rotated(21), at(2)).await.unwrap(), Settlement::Kept);
    assert_eq!(state(store, uid).await, State::Dispatched { attempt: attempt(1), since: at(1) });
    assert_eq!(outcomes(store, uid).await, [None]);
}

async fn a_missing_successor_ends_the_grant(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    let last = Tokens { access: Some(access(12, at(5400))), refresh: Successor::Missing };
    let settled = store.settle(TENANT, attempt(1), last, at(2)).await.unwrap();
    assert_eq!(settled, Settlement::Settled(Generation(2)));
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.state, grant.fingerprint), (State::ReauthRequired { attempt: None }, None));
    assert_eq!(grant.access, Some(access(12, at(5400))));
    assert_eq!(told(store, uid).await, [(2, EventKind::ReauthRequired)]);
}

async fn an_unchanged_token_stays(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    let reusable = Tokens { access: None, refresh: Successor::Unchanged };
    store.settle(TENANT, attempt(1), reusable, at(2)).await.unwrap();
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.generation, grant.state, grant.access), (Generation(2), State::Idle, None));
    assert_eq!(grant.fingerprint, Some(token(11).fingerprint));
    assert!(store.burn(TENANT, uid, burn(2, 2), at(3)).await.unwrap());
}

async fn a_replayed_attempt_settles_from_idle_and_waits_for_a_successor(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    assert!(store.permit_replay(TENANT, attempt(1), at(100), at(3)).await.unwrap());
    store.burn(TENANT, uid, burn(2, 1), at(4)).await.unwrap();
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(5)).await.unwrap(), Settlement::Waits);
    store.conclude(TENANT, attempt(2), Closing::NotSent, at(6)).await.unwrap();
    let settled = store.settle(TENANT, attempt(1), rotated(12), at(7)).await.unwrap();
    assert_eq!(settled, Settlement::Settled(Generation(2)));
    let grant = store.grant(TENANT, uid).await.unwrap().unwrap();
    assert_eq!((grant.state, grant.spend_before), (State::Idle, None));
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::NotSent), Some(Outcome::ReplayPermitted)]);
}

async fn a_replayed_attempt_waits_whatever_its_successor_does(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    store.permit_replay(TENANT, attempt(1), at(100), at(3)).await.unwrap();
    store.burn(TENANT, uid, burn(2, 1), at(4)).await.unwrap();
    for closing in [Closing::Unknown, Closing::Rejected] {
        store.conclude(TENANT, attempt(2), closing, at(5)).await.unwrap();
        assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(6)).await.unwrap(), Settlement::Waits);
    }
    store.reauthorise(TENANT, uid, new_pair(2, 0, token(13)), at(7)).await.unwrap();
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(8)).await.unwrap(), Settlement::Orphan);
    store.quarantine(TENANT, uid, None, at(9)).await.unwrap();
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(10)).await.unwrap(), Settlement::Kept);
}

async fn adopt_takes_what_the_database_forgot(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    store.quarantine(TENANT, uid, None, at(1)).await.unwrap();
    let parent = token(11).fingerprint;
    let adopted = store.adopt(TENANT, uid, burn(1, 1), parent, rotated(12), at(2)).await.unwrap();
    assert_eq!(adopted, Settlement::Settled(Generation(2)));
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Settled)]);
    assert_eq!(state(store, uid).await, State::Idle);
    assert_eq!(store.settle(TENANT, attempt(1), rotated(12), at(3)).await.unwrap(), Settlement::Ignored);
    let again = store.adopt(TENANT, uid, burn(1, 1), parent, rotated(12), at(3)).await.unwrap();
    assert_eq!(again, Settlement::Kept, "its attempt is known now");
}

async fn adopt_keeps_what_does_not_descend(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    connected(store, 2).await;
    let parent = token(11).fingerprint;
    let cases = [
        (burn(1, 2), parent, rotated(12), "another generation"),
        (burn(1, 1), token(99).fingerprint, rotated(12), "another parent"),
        (burn(1, 1), parent, rotated(21), "the token of another connection"),
    ];
    for (burn, parent, tokens, why) in cases {
        let kept = store.adopt(TENANT, uid, burn, parent, tokens, at(1)).await.unwrap();
        assert_eq!(kept, Settlement::Kept, "{why}");
    }
    assert!(store.burn(TENANT, uid, burn(2, 1), at(2)).await.unwrap(), "none of them left a trace");
    let kept = store.adopt(TENANT, uid, burn(1, 1), parent, rotated(12), at(3)).await.unwrap();
    assert_eq!(kept, Settlement::Kept, "the holder of another attempt may live");
    store.conclude(TENANT, attempt(2), Closing::Rejected, at(4)).await.unwrap();
    let kept = store.adopt(TENANT, uid, burn(1, 1), parent, rotated(12), at(5)).await.unwrap();
    assert_eq!(kept, Settlement::Kept, "another attempt was answered");
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Rejected)]);
}

/// The database was put back to where an attempt was open that its holder had given up long since; another has brought
/// the next pair.
async fn adopt_ends_a_doubt(store: &impl Store) {
    furnish(store).await;
    let parent = token(11).fingerprint;
    let policy = SweepPolicy { holder_lost_after: HOLDER_LOST_AFTER, doubt_grace: HOLDER_LOST_AFTER };
    let uid = connected(store, 1).await;
    connected(store, 2).await;
    store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap();
    store.sweep(policy, at(1000)).await.unwrap();
    let cases = [
        (burn(2, 2), parent, rotated(12), "another generation"),
        (burn(2, 1), token(99).fingerprint, rotated(12), "another parent"),
        (burn(2, 1), parent, rotated(21), "the token of another connection"),
        (burn(1, 1), parent, rotated(12), "a known attempt"),
    ];
    for (burn, parent, tokens, why) in cases {
        let kept = store.adopt(TENANT, uid, burn, parent, tokens, at(1001)).await.unwrap();
        assert_eq!(kept, Settlement::Kept, "{why}");
        assert_eq!(state(store, uid).await, State::InDoubt { attempt: attempt(1), since: at(1000) }, "{why}");
        assert_eq!(outcomes(store, uid).await, [None], "{why}");
    }
    let adopted = store.adopt(TENANT, uid, burn(2, 1), parent, rotated(12), at(1002)).await.unwrap();
    assert_eq!(adopted, Settlement::Settled(Generation(2)), "from in_doubt");
    assert_eq!(state(store, uid).await, State::Idle);
    assert_eq!(outcomes(store, uid).await, [Some(Outcome::Settled), Some(Outcome::Refused)]);
    let late = store.settle(TENANT, attempt(1), rotated(13), at(1003)).await.unwrap();
    assert_eq!(late, Settlement::Orphan, "it is closed");

    store.burn(TENANT, uid, burn(3, 2), at(1004)).await.unwrap();
    store.sweep(policy, at(2000)).await.unwrap();
    store.resolve(TENANT, uid, at(2001)).await.unwrap();
    assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: Some(attempt(3)) });
    let parent = token(12).fingerprint;
    let adopted = store.adopt(TENANT, uid, burn(4, 2), parent, rotated(14), at(2002)).await.unwrap();
    assert_eq!(adopted, Settlement::Settled(Generation(3)), "from reauth_required");
    assert_eq!(outcomes(store, uid).await[..2], [Some(Outcome::Settled), Some(Outcome::Refused)]);
}

/// The window of a replay has ended: the slot is free, the generation and the token are right.
async fn adopt_takes_what_a_window_has_shut_out(store: &impl Store) {
    furnish(store).await;
    let uid = connected(store, 1).await;
    assert!(store.burn(TENANT, uid, burn(1, 1), at(1)).await.unwrap());
    store.conclude(TENANT, attempt(1), Closing::Unknown, at(2)).await.unwrap();
    assert!(store.permit_replay(TENANT, attempt(1), at(9), at(3)).await.unwrap());
    let policy = SweepPolicy { holder_lost_after: HOLDER_LOST_AFTER, doubt_grace: HOLDER_LOST_AFTER };
    assert_eq!(store.sweep(policy, at(9)).await.unwrap(), [uid]);
    let parent = token(11).fingerprint;
    assert_eq!(state(store, uid).await, State::ReauthRequired { attempt: None });
    let adopted = store.adopt(TENANT, uid, burn(2, 1), parent, rotated(12), at(10)).await.unwrap();
    assert_eq!(adopted, Settlement::Settled(Generation(2)));
}
