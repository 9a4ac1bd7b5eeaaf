//! The checker must be able to say no.

use super::*;
use crate::harness::{Fate, presented::presented};

fn known() -> Known {
    let [name, grant_id, refresh_token] = ["c", "g", "t"].map(str::to_owned);
    Known { name, grants: vec![(grant_id, 1)], refresh_token }
}

/// A grant whose attempts at generation 1 were recorded at second 1 by `r` and came to this.
fn grant(generation: u64, state: &str, outcomes: &[Option<&str>]) -> Grant {
    let attempt = |(index, outcome): (usize, Option<&str>)| Attempt {
        id: index.to_string(),
        replica: "r".to_owned(),
        generation: 1,
        dispatched_at: 1_000_000,
        outcome: outcome.map(str::to_owned),
    };
    let attempts = outcomes.iter().copied().enumerate().map(attempt).collect();
    Grant { generation, state: state.to_owned(), attempt: None, attempts }
}

fn verdict(grant: &Grant, seen: &[Presentation], live: Option<u64>, mishaps: &[Mishap]) -> Verdict {
    let known = known();
    let mut verdict = Verdict::default();
    verdict.judge(&Case { known: &known, grant, seen, live, heard: 1, mishaps, forgetful: false });
    verdict
}

fn finds(what: &str, verdict: &Verdict) {
    assert!(verdict.violations.iter().any(|found| found.starts_with(what)), "{what}: {verdict:?}");
}

fn killed(at: i64) -> Mishap {
    Mishap { replica: "r".to_owned(), fate: Fate::Killed, at }
}

#[test]
fn a_refusal_frees_the_token_once() {
    let refused = Presentation { outcome: Outcome::NotProcessed, ..presented(2000) };
    let settled = grant(2, "idle", &[Some("refused"), Some("settled")]);
    verdict(&settled, &[refused, presented(3000)], Some(2), &[]).lossless();
}

#[test]
fn a_refusal_that_the_provider_does_not_know_frees_nothing() {
    let twice = [presented(2000), presented(3000)];
    finds("I1", &verdict(&grant(2, "idle", &[Some("refused"), Some("settled")]), &twice, Some(2), &[]));
}

#[test]
fn a_second_presentation_is_noticed() {
    let twice = [presented(2000), presented(3000)];
    finds("I1", &verdict(&grant(2, "idle", &[Some("settled")]), &twice, Some(2), &[]));
}

#[test]
fn a_presentation_of_what_was_not_sent_is_noticed() {
    finds("I2", &verdict(&grant(1, "idle", &[Some("not_sent")]), &[presented(2000)], Some(1), &[]));
}

#[test]
fn a_presentation_before_its_record_is_noticed() {
    finds("I2", &verdict(&grant(2, "idle", &[Some("settled")]), &[presented(1)], Some(2), &[]));
}

#[test]
fn a_generation_that_decreased_is_noticed() {
    finds("I3", &verdict(&grant(0, "idle", &[Some("settled")]), &[presented(2000)], Some(0), &[]));
}

#[test]
fn an_idle_grant_without_the_live_token_is_noticed() {
    finds("I6", &verdict(&grant(1, "idle", &[Some("not_sent")]), &[], Some(2), &[]));
    finds("I6", &verdict(&grant(1, "idle", &[Some("not_sent")]), &[], None, &[]));
}

#[test]
fn a_token_that_was_handed_out_and_forgotten_is_noticed() {
    finds("I8", &verdict(&grant(0, "idle", &[]), &[], Some(0), &[]));
}

#[test]
fn a_loss_needs_an_explanation() {
    let open = grant(1, "reauth_required", &[None]);
    finds("lost without", &verdict(&open, &[presented(2000)], Some(2), &[]));
    finds("lost without", &verdict(&open, &[presented(2000)], Some(2), &[killed(500_000)]));
    finds("lost without", &verdict(&grant(1, "quarantined", &[None]), &[], Some(1), &[killed(2_000_000)]));
    finds("lost without", &verdict(&grant(1, "reauth_required", &[Some("rejected")]), &[], None, &[]));
    let explained = verdict(&open, &[presented(2000)], Some(2), &[killed(2_000_000)]);
    explained.holds();
    assert_eq!((explained.lost, explained.in_vain), (1, 0));
    let torn = Presentation { fault: Some("torn_body".to_owned()), ..presented(2000) };
    verdict(&open, &[torn], Some(2), &[]).holds();
}

#[test]
fn what_an_older_copy_forgot_is_remembered() {
    let now = grant(1, "idle", &[]).remembering(&grant(2, "idle", &[Some("settled")]));
    assert_eq!(now.attempts.len(), 1);
}
