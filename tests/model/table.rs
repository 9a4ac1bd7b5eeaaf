//! The table of states and events of `docs/refresh.md`, cell by cell, on the real `Ledger`. (Its column for
//! callers is the serving's, not the ledger's.)

use std::time::Duration;

use token_broker::model::{
    Attempt, Closing, Epoch, EventKind, Generation, Ledger, Outcome, Settlement, Step, SweepPolicy, Timestamp,
};

use crate::database::brought;
use crate::world::{Intent, Record, attempt_id, fingerprint, held};

pub const NOW: Timestamp = Timestamp::from_micros(0);
/// Past every deadline, window and grace.
pub const LATER: Timestamp = Timestamp::from_micros(3_600_000_000);
pub const POLICY: SweepPolicy =
    SweepPolicy { holder_lost_after: Duration::from_mins(3), doubt_grace: Duration::from_mins(10) };

/// The attempt in question presents token 0 of generation 1; its answer is token 1.
pub const OURS: Intent = Intent { attempt: 1, generation: 1 };
pub const OTHERS: Intent = Intent { attempt: 2, generation: 1 };
pub const PAIR: Record = Record { held: held(OURS, 0), successor: Some(1) };

type Event = (&'static str, fn(Ledger) -> Happened);

const EVENTS: [Event; 13] = [
    ("burn", |ledger| happened(ledger.burn(OTHERS.burn(), NOW))),
    ("handed = 0", |ledger| happened(ledger.conclude(OURS.id(), Closing::NotSent, NOW))),
    ("pair", |ledger| happened(ledger.settle(OURS.id(), PAIR.tokens(), NOW))),
    ("refused", |ledger| happened(ledger.conclude(OURS.id(), Closing::Refused { not_before: LATER }, NOW))),
    ("rejected", |ledger| happened(ledger.conclude(OURS.id(), Closing::Rejected, NOW))),
    ("unknown", |ledger| happened(ledger.conclude(OURS.id(), Closing::Unknown, NOW))),
    ("sweeper", |ledger| happened(ledger.sweep(POLICY, LATER))),
    ("reauth", |ledger| {
        let (generation, epoch) = (ledger.grant.generation.next(), ledger.grant.revoke_epoch);
        happened(ledger.reauthorise(brought(9, generation, epoch), NOW))
    }),
    ("revoke", |ledger| happened(ledger.revoke())),
    ("veto", |ledger| happened(ledger.quarantine(Some(OURS.id()), NOW))),
    ("bad tag", |ledger| happened(ledger.quarantine(None, NOW))),
    ("resolve", |ledger| happened(ledger.resolve())),
    ("adopt", |ledger| happened(ledger.adopt(OTHERS.burn(), fingerprint(0), PAIR.tokens(), NOW))),
];

/// Each line an event, each column the state it meets. A cell: the state after it, the generation, and how our
/// attempt stands; `=`: nothing changes.
#[rustfmt::skip]
const TABLE: [[&str; 7]; 14] = [
    ["from",       "idle",          "dispatched",                 "in_doubt",                   "reauth_required",            "quarantined",            "revoked"],
    ["burn",       "dispatched 1",  "=",                          "=",                          "=",                          "=",                      "="],
    ["handed = 0", "=",             "idle 1 not_sent",            "idle 1 not_sent",            "idle 1 not_sent",            "quarantined 1 not_sent", "revoked 1 not_sent"],
    ["pair",       "=",             "idle 2 settled",             "idle 2 settled",             "idle 2 settled",             "=",                      "revoked 1 superseded"],
    ["refused",    "=",             "idle 1 refused",             "idle 1 refused",             "idle 1 refused",             "quarantined 1 refused",  "revoked 1 refused"],
    ["rejected",   "=",             "reauth_required 1 rejected", "reauth_required 1 rejected", "reauth_required 1 rejected", "quarantined 1 rejected", "revoked 1 rejected"],
    ["unknown",    "=",             "in_doubt 1 open",            "=",                          "=",                          "=",                      "="],
    ["sweeper",    "=",             "in_doubt 1 open",            "reauth_required 1 open",     "=",                          "=",                      "="],
    ["reauth",     "idle 2",        "idle 2 superseded",          "idle 2 superseded",          "idle 2 superseded",          "idle 2 superseded",      "idle 2 open"],
    ["revoke",     "revoked 1",     "revoked 1 open",             "revoked 1 open",             "revoked 1 open",             "revoked 1 open",         "revoked 1 open"],
    ["veto",       "=",             "quarantined 1 not_sent",     "quarantined 1 not_sent",     "reauth_required 1 not_sent", "quarantined 1 not_sent", "revoked 1 not_sent"],
    ["bad tag",    "quarantined 1", "quarantined 1 open",         "quarantined 1 open",         "=",                          "=",                      "="],
    ["resolve",    "=",             "=",                          "reauth_required 1 open",     "=",                          "reauth_required 1 open", "="],
    ["adopt",      "idle 2",        "=",                          "idle 2 refused",             "idle 2 refused",             "idle 2 refused",         "="],
];

type Happened = (Ledger, Option<EventKind>);

fn happened<T>(step: Step<T>) -> Happened {
    (step.ledger, step.event)
}

pub fn planted() -> Ledger {
    Ledger::plant(brought(0, Generation(1), Epoch(0)))
}

/// A ledger in that state, by the real transitions; where it names an attempt, that is ours, and open.
pub fn in_state(name: &str) -> Ledger {
    let dispatched = planted().burn(OURS.burn(), NOW).ledger;
    let doubtful = dispatched.clone().conclude(OURS.id(), Closing::Unknown, NOW).ledger;
    match name {
        "idle" => planted(),
        "dispatched" => dispatched,
        "in_doubt" => doubtful,
        "reauth_required" => doubtful.sweep(POLICY, LATER).ledger,
        "quarantined" => dispatched.quarantine(None, NOW).ledger,
        "revoked" => dispatched.revoke().ledger,
        _ => unreachable!("no such state: {name}"),
    }
}

fn cell(ledger: &Ledger) -> String {
    let standing = match ledger.find(attempt_id(OURS.attempt)).map(Attempt::outcome) {
        None => String::new(),
        Some(None) => " open".to_owned(),
        Some(Some(outcome)) => format!(" {}", outcome.as_str()),
    };
    format!("{} {}{standing}", ledger.grant.state.as_str(), ledger.grant.generation)
}

#[test]
fn every_cell() {
    let [states, lines @ ..] = TABLE;
    for (line, (event, apply)) in lines.iter().zip(EVENTS) {
        assert_eq!(line[0], event);
        for (state, expected) in states.iter().zip(line).skip(1) {
            let before = in_state(state);
            assert_eq!(before.grant.state.as_str(), *state);
            let (after, _) = apply(before.clone());
            let found = if after == before { "=".to_owned() } else { cell(&after) };
            assert_eq!(found, *expected, "{state} x {event}");
        }
    }
}

#[test]
fn a_person_hears_of_every_bad_state_that_is_entered() {
    for state in &TABLE[0][1..] {
        for (event, apply) in EVENTS {
            let (after, heard) = apply(in_state(state));
            let entered = after.grant.state.as_str();
            let expected = match entered {
                _ if (*state, event) == ("revoked", "pair") => Some("orphan"),
                "idle" | "dispatched" => None,
                _ => (entered != *state).then_some(entered),
            };
            assert_eq!(heard.as_ref().map(|kind| kind.as_str()), expected, "{state} x {event}");
        }
    }
}

#[test]
fn a_late_answer_that_meets_idle() {
    let settled = in_state("dispatched").settle(OURS.id(), PAIR.tokens(), NOW).ledger;
    let superseded = in_state("dispatched").reauthorise(brought(9, Generation(2), Epoch(0)), NOW).ledger;
    let replayed = in_state("in_doubt").permit_replay(OURS.id(), LATER, NOW).ledger;
    let replayed_and_settled = replayed.clone().settle(OURS.id(), PAIR.tokens(), NOW).ledger;
    for (ledger, expected) in [
        (settled, Settlement::Ignored),
        (superseded, Settlement::Orphan),
        (replayed, Settlement::Settled(Generation(2))),
        (replayed_and_settled, Settlement::Ignored),
        (planted(), Settlement::Unknown),
    ] {
        assert_eq!(ledger.settle(OURS.id(), PAIR.tokens(), NOW).answer, expected);
    }
}

#[test]
fn a_replayed_attempts_pair_waits_for_its_successor() {
    let replayed = in_state("in_doubt").permit_replay(OURS.id(), LATER, NOW).ledger;
    let burnt = replayed.burn(OTHERS.burn(), NOW).ledger;
    assert_eq!(burnt.clone().settle(OURS.id(), PAIR.tokens(), NOW).answer, Settlement::Waits);
    let released = burnt.conclude(OTHERS.id(), Closing::NotSent, NOW).ledger;
    assert_eq!(released.grant.spend_before, Some(LATER), "a release keeps the window");
    assert_eq!(released.settle(OURS.id(), PAIR.tokens(), NOW).answer, Settlement::Settled(Generation(2)));
}

#[test]
fn a_window_ends() {
    let replayed = in_state("in_doubt").permit_replay(OURS.id(), LATER, NOW).ledger;
    assert!(!replayed.clone().burn(OTHERS.burn(), LATER).answer);
    assert_eq!(cell(&replayed.sweep(POLICY, LATER).ledger), "reauth_required 1 replay_permitted");
}

#[test]
fn a_quarantined_grant_keeps_and_adopts() {
    let forgot = planted().quarantine(None, NOW).ledger;
    let fingerprint = forgot.grant.refresh.as_ref().unwrap().fingerprint;
    let adopted = forgot.adopt(OURS.burn(), fingerprint, PAIR.tokens(), NOW);
    assert_eq!(adopted.answer, Settlement::Settled(Generation(2)));
    let kept = in_state("quarantined").settle(OURS.id(), PAIR.tokens(), NOW);
    assert_eq!(kept.answer, Settlement::Kept);
}

#[test]
fn a_refresh_in_flight_is_awaited() {
    let mut new = brought(9, Generation(2), Epoch(0));
    new.holder_lost_after = POLICY.holder_lost_after;
    assert_eq!(in_state("dispatched").reauthorise(new.clone(), NOW).answer, None);
    assert_eq!(in_state("dispatched").reauthorise(new, LATER).answer, Some(Generation(2)));
}

#[test]
fn the_fifth_refusal_is_a_persons_work() {
    let refuse = |ledger: Ledger, attempt: u8| {
        let intent = Intent { attempt, generation: 1 };
        let burnt = ledger.burn(intent.burn(), NOW);
        assert!(burnt.answer);
        burnt.ledger.conclude(intent.id(), Closing::Refused { not_before: NOW }, NOW).ledger
    };
    let fourth = (1..5).fold(planted(), refuse);
    assert_eq!(fourth.grant.state.as_str(), "idle");
    assert_eq!(cell(&refuse(fourth, 5)), format!("reauth_required 1 {}", Outcome::Refused.as_str()));
}
