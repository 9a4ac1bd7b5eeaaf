//! `GetAccessToken` for those who want a token and nothing else.

use std::time::Duration;

use procore_simulator::{Fault, FaultKind, Hold, Phase, Target};
use token_broker_proto::v1::{Connection, GetAccessTokenResponse, UpdateConnectionRequest, advice::Cause};

use crate::{
    refusal::{bad_field, reason, refusal},
    world::{COMPANY, MAIN, SANDBOX, World, eventually, seconds_from_now, soon},
};

#[tokio::test]
async fn a_fresh_token_is_the_same_for_everybody() {
    let world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    let first = world.token(MAIN).await.unwrap();
    for _ in 0..10 {
        assert_eq!(world.token(MAIN).await.unwrap(), first);
    }
    assert_eq!(world.refreshes(), 1);
    assert_eq!(first.generation, world.connection(MAIN).await.generation);
}

#[tokio::test]
async fn a_token_comes_with_all_that_the_provider_wants() {
    let world = World::new().await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    let token = world.token(MAIN).await.unwrap();
    assert_eq!(token.access_token, world.simulator.live_pair(&pair.grant_id).unwrap().access_token);
    assert_eq!(token.token_type, "Bearer");
    assert_eq!(token.api_base_uri, world.simulator.api_base(SANDBOX));
    assert_eq!(token.request_headers, [("Procore-Company-Id".to_owned(), COMPANY.to_string())].into());
    assert_eq!(token.advice, None);
    let (renew, expire) = (token.renew_time.unwrap(), token.expire_time.unwrap());
    assert!(seconds_from_now(0).seconds <= renew.seconds && renew.seconds < expire.seconds);
    assert!(expire.seconds <= seconds_from_now(5400).seconds);
}

#[tokio::test]
async fn past_two_thirds_of_its_life_it_is_served_at_once_and_renewed_once_behind() {
    // The share is scaled down: due after a second, good for eighty more.
    let world = World::with(|config| config.refresh.renew_after_share = 0.01).await;
    world.simulator.knobs(|knobs| knobs.access_ttl = 100);
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    let held = world.token(MAIN).await.unwrap();
    world.simulator.knobs(|knobs| knobs.access_ttl = 54_000);
    world.simulator.hold_token_requests(Hold::BeforeProcessing);
    eventually("the token is due", async || {
        world.token(MAIN).await.unwrap();
        (world.refreshes() == 2).then_some(())
    })
    .await;
    // The renewal hangs at the provider, and nobody notices.
    for served in crowd(&world, 50).await {
        assert_eq!(served, held);
    }
    world.simulator.release();
    let renewed = eventually("the renewal", async || {
        let token = world.token(MAIN).await.unwrap();
        (token.generation > held.generation).then_some(token)
    })
    .await;
    assert_eq!(renewed.generation, held.generation + 1);
    assert_eq!(world.refreshes(), 2);
    let causes: Vec<_> = world.inspect(MAIN).await.attempts.into_iter().map(|seen| seen.cause).collect();
    assert_eq!(causes, ["due", "expired"]);
}

#[tokio::test]
async fn an_expired_token_is_waited_for_by_all_and_renewed_once() {
    let world = World::new().await;
    world.import_alive(MAIN, -1).await;
    let served = crowd(&world, 100).await;
    assert!(served.iter().all(|token| *token == served[0]));
    assert_eq!((served[0].generation, world.refreshes()), (2, 1));
}

#[tokio::test]
async fn a_caller_that_leaves_changes_nothing() {
    let world = World::new().await;
    world.import_alive(MAIN, -1).await;
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let impatient = tokio::time::timeout(Duration::from_millis(300), world.token(MAIN)).await;
    assert!(impatient.is_err());
    world.simulator.release();
    assert_eq!(soon("the token", world.token(MAIN)).await.unwrap().generation, 2);
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn who_cannot_wait_longer_is_told_when_to_come_again() {
    let world = World::with(|config| config.refresh.caller_wait = Duration::from_millis(200)).await;
    world.import_alive(MAIN, -1).await;
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let refused = refusal(world.token(MAIN).await);
    assert_eq!(refused.reason, "REFRESH_IN_PROGRESS");
    world.simulator.release();
    eventually("the token", async || world.token(MAIN).await.ok()).await;
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn a_token_that_ends_while_its_caller_waits_is_not_handed_out() {
    let world = World::with(|config| config.refresh.caller_wait = Duration::from_secs(3)).await;
    world.import_alive(MAIN, 2).await;
    limit(&world, 3600).await;
    world.simulator.hold_token_requests(Hold::BeforeProcessing);
    assert_eq!(reason(world.lasting(MAIN, 60).await), "REFRESH_IN_PROGRESS");
}

#[tokio::test]
async fn more_life_than_is_left_is_had_by_a_renewal() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    limit(&world, 5000).await;
    let held = world.lasting(MAIN, 1200).await.unwrap();
    assert_eq!((held.generation, world.refreshes()), (1, 0));
    let longer = world.lasting(MAIN, 4000).await.unwrap();
    assert_eq!((longer.generation, world.refreshes(), longer.advice), (2, 1, None));
    assert!(longer.expire_time.unwrap().seconds >= seconds_from_now(4000).seconds);
}

#[tokio::test]
async fn more_life_than_the_connection_allows_is_an_error() {
    let world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    // Whether or not there is a token already.
    assert_eq!(bad_field(world.lasting(MAIN, 1801).await), "min_ttl");
    assert_eq!(bad_field(world.lasting(MAIN, 1801).await), "min_ttl");
    assert_eq!(bad_field(world.lasting(MAIN, -1).await), "min_ttl");
    world.lasting(MAIN, 1799).await.unwrap();
    limit(&world, 60).await;
    assert_eq!(bad_field(world.lasting(MAIN, 61).await), "min_ttl");
    world.lasting(MAIN, 60).await.unwrap();
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn with_the_provider_down_a_short_lived_token_is_better_than_none() {
    let world = World::with(|config| {
        // Nothing listens there: a connection is refused before anything is burnt.
        for profile in &mut config.profiles {
            profile["environments"]["sandbox"]["token_endpoint"] = "http://127.0.0.1:1/oauth/token".into();
        }
    })
    .await;
    world.import_alive(MAIN, 30).await;
    limit(&world, 3600).await;
    let token = world.lasting(MAIN, 60).await.unwrap();
    let advice = token.advice.unwrap();
    assert_eq!((token.generation, advice.cause(), advice.short_lived), (1, Cause::RenewalUnavailable, true));
    assert!(advice.retry_after.is_some());
    // Without the wish for more, it is a token like any other.
    assert_eq!(world.token(MAIN).await.unwrap().advice, None);
    world.import_alive(MAIN, -1).await;
    assert_eq!(reason(world.token(MAIN).await), "PROVIDER_UNAVAILABLE");
    let inspected = world.inspect(MAIN).await;
    assert_eq!((inspected.grant_state.as_str(), inspected.attempts.len()), ("idle", 0));
}

#[tokio::test]
async fn a_renewal_of_unknown_outcome_is_named_as_such() {
    let world = World::new().await;
    let pair = world.import_alive(MAIN, 30).await;
    limit(&world, 3600).await;
    let lost = Fault::new(FaultKind::Reset).at(Phase::AfterProcessing).on(Target::grant(&pair.grant_id));
    world.simulator.inject(lost);
    let advice = world.lasting(MAIN, 60).await.unwrap().advice.unwrap();
    assert_eq!((advice.cause(), advice.short_lived), (Cause::RefreshInDoubt, true));
}

/// So many callers at once.
async fn crowd(world: &World, size: usize) -> Vec<GetAccessTokenResponse> {
    let calls = (0..size).map(|_| world.token(MAIN));
    let answers = soon("the answers", futures_util::future::join_all(calls)).await;
    answers.into_iter().map(Result::unwrap).collect()
}

/// Sets the connection's own `max_min_ttl`.
async fn limit(world: &World, seconds: i64) {
    let connection = Connection {
        name: MAIN.to_owned(),
        max_min_ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["max_min_ttl".to_owned()] });
    let request = UpdateConnectionRequest { connection: Some(connection), update_mask };
    world.operator.connections().update_connection(request).await.unwrap();
}
