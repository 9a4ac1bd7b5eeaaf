//! The states of a connection, and what each of them says to a caller.

use std::time::Duration;

use procore_simulator::{Fault, FaultKind, Phase, RetryHint, Simulator, Target};
use token_broker_proto::v1::{advice::Cause, connection::State};

use crate::{
    refusal::{reason, refusal},
    world::{MAIN, SANDBOX, World, eventually, profile, table},
};

#[tokio::test]
async fn never_authorised() {
    let world = World::new().await;
    assert_eq!(reason(world.token(MAIN).await), "AUTHORIZATION_PENDING");
    assert_eq!(reason(world.refresh(MAIN).await), "AUTHORIZATION_PENDING");
    let connection = world.connection(MAIN).await;
    assert_eq!((connection.state(), connection.generation), (State::PendingAuthorization, 0));
    assert_eq!(world.events(MAIN).await, [""; 0]);
}

#[tokio::test]
async fn in_doubt_with_a_token_that_is_still_good() {
    let world = World::with(|config| config.refresh.doubt_grace = Duration::from_millis(100)).await;
    let pair = world.import_alive(MAIN, 3600).await;
    lose_the_answer(&world, &pair.grant_id);
    assert_eq!(reason(world.refresh(MAIN).await), "REFRESH_IN_DOUBT");
    assert_eq!(world.connection(MAIN).await.state(), State::InDoubt);
    for _ in 0..3 {
        let token = world.token(MAIN).await.unwrap();
        assert_eq!(token.access_token, pair.access_token);
        assert_eq!(token.advice.unwrap().cause(), Cause::RefreshInDoubt);
    }
    // The grace time has long passed, and the token is still good: nobody is bothered before they must be.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.connection(MAIN).await.state(), State::InDoubt);
    assert_eq!(reason(world.refresh(MAIN).await), "REFRESH_IN_DOUBT");
    assert_eq!(world.refreshes(), 1);
    assert_eq!(world.events(MAIN).await, ["in_doubt"]);
}

#[tokio::test]
async fn in_doubt_without_a_token_until_the_grace_time_is_over() {
    let world = World::with(|config| config.refresh.doubt_grace = Duration::from_secs(2)).await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    lose_the_answer(&world, &pair.grant_id);
    assert_eq!(reason(world.token(MAIN).await), "REFRESH_IN_DOUBT");
    assert_eq!(reason(world.token(MAIN).await), "REFRESH_IN_DOUBT");
    eventually("the end of the grace time", async || {
        let reason = reason(world.token(MAIN).await);
        assert!(["REFRESH_IN_DOUBT", "REAUTHORIZATION_REQUIRED"].contains(&reason.as_str()), "{reason}");
        (reason == "REAUTHORIZATION_REQUIRED").then_some(())
    })
    .await;
    for _ in 0..3 {
        assert_eq!(reason(world.token(MAIN).await), "REAUTHORIZATION_REQUIRED");
    }
    assert_eq!(world.connection(MAIN).await.state(), State::ReauthorizationRequired);
    assert_eq!(world.events(MAIN).await, ["in_doubt", "reauth_required"]);
    assert_eq!(world.simulator.presentations_of(&pair.refresh_token).len(), 1);
}

#[tokio::test]
async fn doubt_outlives_a_restart() {
    let mut world = World::new().await;
    let pair = world.import_alive(MAIN, 3600).await;
    lose_the_answer(&world, &pair.grant_id);
    assert_eq!(reason(world.refresh(MAIN).await), "REFRESH_IN_DOUBT");
    world.restart(async |_| {}).await;
    let token = world.token(MAIN).await.unwrap();
    assert_eq!(token.advice.unwrap().cause(), Cause::RefreshInDoubt);
    assert_eq!(reason(world.refresh(MAIN).await), "REFRESH_IN_DOUBT");
    assert_eq!(world.refreshes(), 1);
    assert_eq!(world.events(MAIN).await, ["in_doubt"]);
}

#[tokio::test]
async fn the_provider_says_that_the_grant_is_dead() {
    let world = World::new().await;
    let pair = world.import_alive(MAIN, 3600).await;
    world.simulator.revoke_user(SANDBOX, &world.app.client_id, 7);
    assert_eq!(reason(world.refresh(MAIN).await), "REAUTHORIZATION_REQUIRED");
    let token = world.token(MAIN).await.unwrap();
    assert_eq!(token.advice.unwrap().cause(), Cause::ReauthorizationRequired);
    assert_eq!(reason(world.refresh(MAIN).await), "REAUTHORIZATION_REQUIRED");
    let inspected = world.inspect(MAIN).await;
    assert_eq!(inspected.grant_state, "reauth_required");
    assert_eq!(inspected.attempts[0].outcome, "rejected");
    assert_eq!(world.events(MAIN).await, ["reauth_required"]);
    assert_eq!(world.simulator.presentations_of(&pair.refresh_token).len(), 1);
}

#[tokio::test]
async fn the_provider_asks_for_patience() {
    let world = World::new().await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    let busy = FaultKind::status(429, Some(RetryHint::Seconds(2)));
    let busy = Fault::new(busy).at(Phase::BeforeProcessing).on(Target::grant(&pair.grant_id));
    world.simulator.inject(busy);
    let refused = refusal(world.token(MAIN).await);
    assert_eq!(refused.reason, "PROVIDER_RATE_LIMITED");
    assert!(refused.retry_after.unwrap() > Duration::from_secs(1), "{refused:?}");
    assert_eq!(reason(world.token(MAIN).await), "PROVIDER_RATE_LIMITED");
    // An operator in a hurry does not change the provider's mind.
    assert_eq!(reason(world.refresh(MAIN).await), "PROVIDER_RATE_LIMITED");
    assert_eq!(world.refreshes(), 1);
    let token = eventually("the provider's patience", async || world.token(MAIN).await.ok()).await;
    assert_eq!((token.generation, world.refreshes()), (2, 2));
}

#[tokio::test]
async fn a_restart_keeps_tokens() {
    let mut world = World::new().await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    let before = world.token(MAIN).await.unwrap();
    world.restart(async |_| {}).await;
    assert_eq!(world.token(MAIN).await.unwrap(), before);
    assert_eq!(world.refreshes(), 1);
    // And what is needed for the next one.
    assert_eq!(world.refresh(MAIN).await.unwrap().generation, before.generation + 1);
}

#[tokio::test]
async fn a_token_goes_to_the_endpoint_that_it_came_from_and_to_no_other() {
    let mut world = World::new().await;
    let pair = world.authorise();
    world.import(MAIN, &pair.refresh_token).await.unwrap();
    let elsewhere = Simulator::start(procore_simulator::Config::default()).await.unwrap();
    world.restart(async |config| config.profiles = vec![table(&profile(&elsewhere))]).await;
    assert_eq!(reason(world.token(MAIN).await), "ENDPOINT_CHANGED");
    assert_eq!(reason(world.refresh(MAIN).await), "ENDPOINT_CHANGED");
    assert_eq!(elsewhere.presentations_of(&pair.refresh_token).len(), 0);
    // Nothing at all went there on behalf of this grant, the client secret included.
    assert_eq!(elsewhere.log().len(), 0);
    // The setting is repaired, and nothing was lost.
    let right = vec![table(&profile(&world.simulator))];
    world.restart(async |config| config.profiles = right).await;
    assert_eq!(world.token(MAIN).await.unwrap().generation, 2);
    assert_eq!(world.simulator.presentations_of(&pair.refresh_token).len(), 1);
}

#[tokio::test]
async fn a_profile_that_is_gone() {
    let mut world = World::new().await;
    world.import(MAIN, &world.authorise().refresh_token).await.unwrap();
    world
        .restart(async |config| {
            for profile in &mut config.profiles {
                let sandbox = profile["environments"]["sandbox"].clone();
                profile["environments"] = toml::Table::from_iter([("elsewhere".to_owned(), sandbox)]).into();
            }
        })
        .await;
    assert_eq!(reason(world.token(MAIN).await), "ENDPOINT_CHANGED");
    assert_eq!(world.refreshes(), 0);
}

fn lose_the_answer(world: &World, grant: &str) {
    world.simulator.inject(Fault::new(FaultKind::Reset).at(Phase::AfterProcessing).on(Target::grant(grant)));
}
