//! `rejected_generation`: "the provider's API answered 401". A hint, never a fact.

use procore_simulator::{Endpoint, Fault, FaultKind, Hold, Phase, Target};
use token_broker_proto::v1::{GetAccessTokenResponse, advice::Cause, connection::GrantType};

use crate::{
    refusal::{bad_field, reason},
    world::{MAIN, SANDBOX, World, soon},
};

const MUTE: &str = "tenants/acme/connections/mute";

#[tokio::test]
async fn an_older_generation_has_a_successor_already() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    let current = world.refresh(MAIN).await.unwrap().generation;
    let token = world.rejected(MAIN, current - 1).await.unwrap();
    assert_eq!((token.generation, token.advice), (current, None));
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn a_generation_that_was_never_issued_is_an_error() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    assert_eq!(bad_field(world.rejected(MAIN, 2).await), "rejected_generation");
    assert_eq!(bad_field(world.rejected(MAIN, u64::MAX).await), "rejected_generation");
    assert_eq!(world.refreshes(), 0);
    // Neither where the first token is yet to come.
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    assert_eq!(bad_field(world.rejected(MAIN, 99).await), "rejected_generation");
}

#[tokio::test]
async fn a_token_that_the_provider_confirms_is_kept() {
    let world = World::new().await;
    let pair = world.import_alive(MAIN, 3600).await;
    // One question is answered, the next would be met by silence.
    let silence = Fault::new(FaultKind::Hang(None)).at(Phase::BeforeProcessing).times(None);
    world.simulator.inject(silence.on(Target { skip: 1, ..Target::endpoint(Endpoint::TokenInfo) }));
    for token in reports(&world, MAIN, 1).await {
        let token = token.unwrap();
        let advice = token.advice.unwrap();
        assert_eq!((token.generation, token.access_token), (1, pair.access_token.clone()));
        assert_eq!(advice.cause(), Cause::TokenIsGood);
        assert!(advice.hint.contains("installation"), "what else a 401 means: {}", advice.hint);
    }
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn a_token_that_the_provider_disowns_is_replaced_once() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    world.simulator.knobs(|knobs| knobs.clock_skew = 4 * 3600);
    for token in reports(&world, MAIN, 1).await {
        let token = token.unwrap();
        assert_eq!((token.generation, token.advice), (2, None));
    }
    assert_eq!(world.refreshes(), 1);
    assert_eq!(world.inspect(MAIN).await.attempts[0].cause, "rejected_generation");
}

#[tokio::test]
async fn reporters_wait_for_the_successor_on_its_way() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    world.simulator.knobs(|knobs| knobs.clock_skew = 4 * 3600);
    world.simulator.hold_token_requests(Hold::BeforeProcessing);
    let (first, second) = (world.rejected(MAIN, 1), async {
        soon("the proof", world.simulator.wait_for_presentations(1)).await;
        let (late, ()) = futures_util::join!(world.rejected(MAIN, 1), async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            world.simulator.release();
        });
        late
    });
    let (first, second) = futures_util::join!(first, second);
    assert_eq!((first.unwrap().generation, second.unwrap().generation), (2, 2));
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn nobody_to_ask_is_no_proof() {
    let world = World::new().await;
    world.import_alive(MAIN, 3600).await;
    let broken = Fault::new(FaultKind::status(503, None)).at(Phase::BeforeProcessing).times(None);
    world.simulator.inject(broken.on(Target::endpoint(Endpoint::TokenInfo)));
    let token = world.rejected(MAIN, 1).await.unwrap();
    assert_eq!((token.generation, token.advice.unwrap().cause()), (1, Cause::TokenUnverified));
    assert_eq!(world.refreshes(), 0);
}

#[tokio::test]
async fn without_token_info_a_report_causes_one_refresh_per_interval() {
    let world = World::new().await;
    world.oauth_client("tenants/acme/oauthClients/mute", "mute", &[]).await;
    let grant_type = GrantType::AuthorizationCode;
    world.create(MUTE, "tenants/acme/oauthClients/mute", grant_type).await.unwrap();
    world.import_alive(MUTE, 3600).await;
    for token in reports(&world, MUTE, 1).await {
        assert_eq!(token.unwrap().generation, 2);
    }
    assert_eq!(world.refreshes(), 1);
    // Whoever goes on reporting burns no further generation within the interval.
    for token in reports(&world, MUTE, 2).await {
        let token = token.unwrap();
        assert_eq!((token.generation, token.advice.unwrap().cause()), (2, Cause::TokenUnverified));
    }
    assert_eq!(world.refreshes(), 1);
}

#[tokio::test]
async fn a_report_about_a_dead_grant_is_told_so() {
    let world = World::new().await;
    let pair = world.import_alive(MAIN, 3600).await;
    world.simulator.revoke_user(SANDBOX, &world.app.client_id, 7);
    assert_eq!(reason(world.rejected(MAIN, 1).await), "REAUTHORIZATION_REQUIRED");
    assert_eq!(world.simulator.presentations_of(&pair.refresh_token).len(), 1);
    // Again: nothing more is spent on finding out, and it is no less a person's job.
    assert_eq!(reason(world.rejected(MAIN, 1).await), "REAUTHORIZATION_REQUIRED");
    assert_eq!(world.refreshes(), 1);
}

/// A hundred reports at once.
async fn reports(
    world: &World,
    name: &str,
    generation: u64,
) -> Vec<Result<GetAccessTokenResponse, tonic::Status>> {
    let calls = (0..100).map(|_| world.rejected(name, generation));
    soon("the answers", futures_util::future::join_all(calls)).await
}
