//! Refresh tokens work once (table rows A11 to A15).

use std::collections::BTreeSet;

use procore_simulator::{
    EndReason, FamilyRevocation, Fault, FaultKind, Outcome, Phase, RefreshMode, RefusalKind, fingerprint,
};

use crate::fixture::{Fixture, post};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_concurrent_refreshes_exactly_one_succeeds() {
    let fixture = Fixture::new().await;
    let form = fixture.refresh_form(&fixture.pair.refresh_token);
    let base = fixture.simulator.oauth_base(fixture.pair.environment);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (base, form) = (base.clone(), form.clone());
        requests.spawn(async move { post(&base, "/oauth/token", &form).await.response() });
    }
    let responses = requests.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = responses.iter().partition(|response| response.status == 200);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|response| response.error() == (400, "invalid_grant".to_owned())));

    let log = fixture.simulator.presentations_of(&fixture.pair.refresh_token);
    assert_eq!(log.len(), 50);
    assert_eq!(log.iter().filter(|entry| entry.first_presentation).count(), 1);
    assert_eq!(log.iter().filter(|entry| entry.outcome == Outcome::Rotated).count(), 1);
    let live = fixture.simulator.live_pair(&fixture.pair.grant_id).unwrap();
    assert_eq!(live.refresh_token, won[0].member("refresh_token"));
    assert_eq!(live.generation, 1);
}

#[tokio::test]
async fn a_lost_answer_has_spent_the_token() {
    let fixture = Fixture::new().await;
    fixture.simulator.inject(Fault::new(FaultKind::Reset));
    assert!(fixture.token_raw(&fixture.refresh_form(&fixture.pair.refresh_token)).await.is_reset());
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error(), (400, "invalid_grant".to_owned()));
    let log = fixture.simulator.log();
    assert_eq!(log[0].outcome, Outcome::Rotated);
    assert_eq!(log[0].generation, Some(0));
    let live = fixture.simulator.live_pair(&fixture.pair.grant_id).unwrap();
    assert_eq!(log[0].issued_fingerprint.as_ref(), Some(&live.refresh_fingerprint));
    assert_eq!(log[1].outcome, Outcome::Refused(RefusalKind::InvalidGrant));
}

#[tokio::test]
async fn a_request_lost_before_processing_leaves_the_token_good() {
    let fixture = Fixture::new().await;
    fixture.simulator.inject(Fault::new(FaultKind::Close).at(Phase::BeforeProcessing));
    assert!(fixture.token_raw(&fixture.refresh_form(&fixture.pair.refresh_token)).await.bytes.is_empty());
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
    let outcomes: Vec<_> = fixture.simulator.log().iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [Outcome::NotProcessed, Outcome::Rotated]);
}

#[tokio::test]
async fn a_refused_refresh_consumes_the_token_as_procore_documents() {
    let fixture = Fixture::new().await;
    let wrong =
        fixture.refresh_form(&fixture.pair.refresh_token).replace("client_secret=", "client_secret=not");
    assert_eq!(fixture.token(&wrong).await.error(), (401, "invalid_client".to_owned()));
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error(), (400, "invalid_grant".to_owned()));
    let state = fixture.simulator.grant_state(&fixture.pair.grant_id).unwrap();
    assert_eq!(state.ended, Some(EndReason::ConsumedByRefusal));
    assert_eq!(fixture.simulator.live_pair(&fixture.pair.grant_id), None);
}

#[tokio::test]
async fn a_refused_refresh_consumes_nothing_as_doorkeeper_has_it() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| knobs.consume_on_failed_refresh.clear());
    let wrong =
        fixture.refresh_form(&fixture.pair.refresh_token).replace("client_secret=", "client_secret=not");
    assert_eq!(fixture.token(&wrong).await.status, 401);
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
}

#[tokio::test]
async fn only_the_chosen_refusals_consume() {
    let fixture = Fixture::new().await;
    let only = BTreeSet::from([RefusalKind::InvalidScope]);
    fixture.simulator.knobs(|knobs| knobs.consume_on_failed_refresh = only);
    let form = fixture.refresh_form(&fixture.pair.refresh_token);
    let wrong = form.replace("client_secret=", "client_secret=not");
    assert_eq!(fixture.token(&wrong).await.status, 401);
    assert_eq!(fixture.token(&format!("{form}&scope=public")).await.error().1, "invalid_scope");
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error().1, "invalid_grant");
}

#[tokio::test]
async fn in_mode_b_the_old_token_lives_until_the_new_access_token_is_used() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| knobs.refresh_mode = RefreshMode::UntilNewAccessTokenUsed);
    let first = fixture.refresh(&fixture.pair.refresh_token).await;
    let second = fixture.refresh(&fixture.pair.refresh_token).await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_ne!(first.member("refresh_token"), second.member("refresh_token"));
    let state = fixture.simulator.grant_state(&fixture.pair.grant_id).unwrap();
    assert_eq!(state.live_refresh_fingerprints.len(), 3);

    assert_eq!(fixture.info(&first.member("access_token")).await.status, 200);
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error().1, "invalid_grant");
    assert_eq!(fixture.refresh(&first.member("refresh_token")).await.status, 200);
    assert_eq!(fixture.refresh(&second.member("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn a_replay_kills_nothing_else_unless_families_are_revoked() {
    for (knob, survives, sibling_survives) in [
        (FamilyRevocation::Off, true, true),
        (FamilyRevocation::Grant, false, true),
        (FamilyRevocation::User, false, false),
    ] {
        let fixture = Fixture::new().await;
        fixture.simulator.knobs(|knobs| knobs.family_revocation = knob);
        let pair = &fixture.pair;
        let sibling = fixture.simulator.grant(pair.environment, &pair.client_id, 7, 42);
        assert_eq!(fixture.refresh(&pair.refresh_token).await.status, 200);
        assert_eq!(fixture.refresh(&pair.refresh_token).await.error().1, "invalid_grant");
        assert_eq!(fixture.simulator.live_pair(&pair.grant_id).is_some(), survives, "{knob:?}");
        assert_eq!(fixture.simulator.live_pair(&sibling.grant_id).is_some(), sibling_survives, "{knob:?}");
    }
}

#[tokio::test]
async fn the_old_access_token_lives_on_or_dies_as_chosen() {
    for dies in [false, true] {
        let fixture = Fixture::new().await;
        fixture.simulator.knobs(|knobs| knobs.old_access_dies = dies);
        assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
        assert_eq!(fixture.info(&fixture.pair.access_token).await.status == 401, dies);
    }
}

#[tokio::test]
async fn a_chain_of_refreshes_counts_generations() {
    let fixture = Fixture::new().await;
    let mut token = fixture.pair.refresh_token.clone();
    for generation in 0..5 {
        let next = fixture.refresh(&token).await.member("refresh_token");
        let [entry] = fixture.simulator.presentations_of(&token).try_into().unwrap();
        assert_eq!(entry.generation, Some(generation));
        assert_eq!(entry.issued_fingerprint, Some(fingerprint(&next)));
        assert_eq!(entry.grant_id.as_deref(), Some(fixture.pair.grant_id.as_str()));
        token = next;
    }
    assert_eq!(fixture.simulator.live_pair(&fixture.pair.grant_id).unwrap().refresh_token, token);
}
