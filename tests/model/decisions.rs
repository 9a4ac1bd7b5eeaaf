//! The two small pure decisions, case by case.

use std::time::Duration;

use token_broker::model::{
    Attempt, Claim, Closing, Delays, Generation, HolderGone, Ledger, ReplayPolicy, Timestamp, Verdict,
    Witness,
};

use crate::table::{LATER, NOW, OTHERS, OURS, in_state, planted};

/// What an attempt of ours is told at generation 1.
fn told(entry: Option<Witness>, ours: Option<&Attempt>, earlier: Option<&Attempt>) -> Verdict {
    let claim = Claim { generation: Generation(1), attempt: OURS.id(), row: ours };
    Witness::consult(entry.as_ref(), claim, earlier)
}

/// Theirs is released, ours is burnt after it.
fn after_release() -> Ledger {
    let released = planted().burn(OTHERS.burn(), NOW).ledger.conclude(OTHERS.id(), Closing::NotSent, NOW);
    released.ledger.burn(OURS.burn(), NOW).ledger
}

#[test]
fn the_witness_is_raised_or_vetoes() {
    let (passed, open) = (after_release(), in_state("dispatched"));
    let (freed, ours) = (passed.find(OTHERS.id()), passed.find(OURS.id()));
    let theirs_open = planted().burn(OTHERS.burn(), NOW).ledger;
    let theirs = theirs_open.find(OTHERS.id());
    let entry = |generation, attempt| Witness { generation: Generation(generation), attempt, revoked: false };
    let revoked = Witness { revoked: true, ..entry(0, None) };
    let (mine, other) = (Some(OURS.id()), Some(OTHERS.id()));
    for (case, entry, ours, earlier, raises) in [
        ("nothing was ever sent", None, ours, None, true),
        ("an older generation", Some(entry(0, other)), ours, None, true),
        ("a re-authorisation's", Some(entry(1, None)), ours, None, true),
        ("ours, its reply lost", Some(entry(1, mine)), ours, ours, true),
        ("freed, ours open", Some(entry(1, other)), ours, freed, true),
        ("freed, ours forgotten", Some(entry(1, other)), None, freed, false),
        ("freed, ours closed", Some(entry(1, other)), freed, freed, false),
        ("another's row", Some(entry(1, other)), ours, ours, false),
        ("not freed", Some(entry(1, other)), open.find(OURS.id()), theirs, false),
        ("forgotten", Some(entry(1, other)), ours, None, false),
        ("a newer generation", Some(entry(2, None)), ours, None, false),
        ("revoked", Some(revoked), ours, None, false),
    ] {
        let raised = Witness { generation: Generation(1), attempt: mine, revoked: false };
        let expected = match entry {
            Some(entry) if !raises => Verdict::Veto { entry },
            _ => Verdict::Raise(raised),
        };
        assert_eq!(told(entry, ours, earlier), expected, "{case}");
    }
}

#[test]
fn people_raise_the_witness_too() {
    let seen = Witness { generation: Generation(3), attempt: Some(OURS.id()), revoked: false };
    let flagged = Witness::revoked(Some(&seen), Generation(3));
    assert_eq!(flagged, Witness { revoked: true, ..seen });
    assert_eq!(Witness::next_generation(Some(&seen), Generation(1)), Generation(4));
    assert_eq!(Witness::next_generation(None, Generation(1)), Generation(2));

    let fresh = Witness { generation: Generation(4), attempt: None, revoked: false };
    assert_eq!(Witness::reauthorised(Some(&flagged), Generation(4)), Some(fresh));
    assert_eq!(Witness::reauthorised(Some(&seen), Generation(4)), Some(fresh));
    let sent = Witness { attempt: Some(OTHERS.id()), ..fresh };
    assert_eq!(Witness::reauthorised(Some(&sent), Generation(4)), None, "what was cleared stays known");
    let later = Witness { revoked: true, ..fresh };
    assert_eq!(
        Witness::reauthorised(Some(&later), Generation(3)),
        None,
        "nor is it lowered for an older pair"
    );
}

#[test]
fn a_replay_needs_a_window_a_proof_and_time() {
    let delays = Delays {
        body_deadline: Duration::from_secs(5),
        total_timeout: Duration::from_mins(2),
        longest_processing: Duration::from_mins(1),
    };
    let gone = Some(HolderGone::ProcessEnded);
    let timed = |secs| ReplayPolicy::TimedWindow { length: Duration::from_secs(secs) };
    let over = NOW.plus(Duration::from_secs(186));
    let ever = Some(Timestamp::from_micros(i64::MAX));
    for (case, policy, holder, now, expected) in [
        ("a strict provider", ReplayPolicy::Never, gone, LATER, None),
        ("a holder that is silent", ReplayPolicy::UntilSuccessorUsed, None, LATER, None),
        ("still in flight", ReplayPolicy::UntilSuccessorUsed, gone, NOW.plus(delays.total()), None),
        ("a holder that said so", ReplayPolicy::UntilSuccessorUsed, Some(HolderGone::SaidSo), over, ever),
        ("a reusable token", ReplayPolicy::Reusable, gone, over, ever),
        ("a window", timed(300), gone, over, Some(NOW.plus(Duration::from_mins(5)))),
        ("a window that has closed", timed(186), gone, over, None),
    ] {
        assert_eq!(policy.spend_before(holder, delays, NOW, now), expected, "{case}");
    }
}
