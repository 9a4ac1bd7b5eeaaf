//! The guards of the heart, each where the others cannot hide it: a database that refuses a single step, a provider
//! that holds its answers, callers that leave. What nobody could see from outside is looked up in the rows.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use procore_simulator::{Fault, FaultKind, Hold, Phase, RetryHint};
use token_broker::{error::Reason, model::Generation, refresh::Medium};

use crate::world::{A_WHILE, World, soon};

mod world;

#[tokio::test]
async fn what_is_not_burnt_is_not_presented() {
    let mut world = World::new(|_| {}).await;
    for (raise, reason) in
        [("ABORT, 'broken'", Reason::StoreUnavailable), ("IGNORE", Reason::RefreshInProgress)]
    {
        world.sabotage("NEW.state = 'dispatched'", raise).await;
        assert_eq!(soon(world.operator("one")).await.unwrap().unwrap_err().reason, reason);
        assert_eq!(world.presented(), 0);
    }
    world.heal().await;
    assert_eq!(soon(world.operator("one")).await.unwrap(), Ok(Generation(2)));
}

#[tokio::test]
async fn a_burn_is_committed_before_its_token_is_presented() {
    let mut world = World::new(|_| {}).await;
    // Proven beforehand: from here on only refresh tokens are held.
    assert_eq!(soon(world.caller("two")).await.unwrap(), Ok(Generation(2)));
    world.simulator.hold_token_requests(Hold::BeforeProcessing);
    let caller = world.caller("one");
    world.until_presented(2).await;
    assert_eq!(world.row("one").await, ("dispatched".to_owned(), 1));
    world.simulator.release();
    assert_eq!(soon(caller).await.unwrap(), Ok(Generation(2)));
}

#[tokio::test]
async fn no_token_is_seen_before_it_is_durable() {
    let mut world = World::new(|_| {}).await;
    world.sabotage("NEW.generation > OLD.generation", "ABORT, 'broken'").await;
    let first = world.caller("one");
    world.until_presented(1).await;
    tokio::time::sleep(A_WHILE).await;
    let second = world.caller("one");
    tokio::time::sleep(A_WHILE).await;
    assert!(
        !first.is_finished() && !second.is_finished(),
        "somebody has a token that nobody would find again"
    );
    assert_eq!(world.row("one").await, ("dispatched".to_owned(), 1));
    world.heal().await;
    for caller in [first, second] {
        assert_eq!(soon(caller).await.unwrap(), Ok(Generation(2)));
    }
    assert_eq!((world.row("one").await, world.presented()), (("idle".to_owned(), 2), 1));
}

/// A second medium that refuses has nothing.
#[tokio::test]
async fn no_token_is_seen_while_no_medium_has_it() {
    let mut world = World::with_journal().await;
    assert_eq!(soon(world.caller("two")).await.unwrap(), Ok(Generation(2)));
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let caller = world.caller("one");
    world.until_presented(2).await;
    world.journal.close().await.unwrap();
    world.sabotage("NEW.generation > OLD.generation", "ABORT, 'broken'").await;
    world.simulator.release();
    tokio::time::sleep(A_WHILE).await;
    assert!(!caller.is_finished(), "somebody has a token that nobody would find again");
    world.heal().await;
    assert_eq!(soon(caller).await.unwrap(), Ok(Generation(2)));
}

/// The journal has the answer, the database not yet, and the cache refuses it: something is told of the connection all
/// the time. Its callers have waited for it.
#[tokio::test]
async fn an_answer_at_hand_is_served_before_it_is_committed() {
    let mut world = World::with_journal().await;
    world.sabotage("NEW.generation > OLD.generation", "ABORT, 'broken'").await;
    let (first, second) = (world.caller("one"), world.caller("one"));
    let callers = tokio::spawn(async move { [first.await.unwrap(), second.await.unwrap()] });
    while !callers.is_finished() {
        world.cache.remove("tenants/acme/connections/one");
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(callers).await.unwrap(), [Ok(Generation(2)), Ok(Generation(2))]);
    assert_eq!(world.row("one").await, ("dispatched".to_owned(), 1));
    world.heal().await;
    assert!(soon(world.refresher.offer_everything(Medium::Journal, None)).await);
    assert_eq!((world.row("one").await, world.presented()), (("idle".to_owned(), 2), 1));
}

#[tokio::test]
async fn what_all_have_waited_for_is_read_once() {
    let world = World::new(|_| {}).await;
    world.simulator.hold_token_requests(Hold::BeforeProcessing);
    let callers: Vec<_> = (0..10).map(|_| tokio::spawn(world.token("shared"))).collect();
    tokio::time::sleep(A_WHILE).await; // all of them wait
    world.simulator.release();
    let mut read = Vec::new();
    for caller in callers {
        read.push(soon(caller).await.unwrap().unwrap());
    }
    assert!(read.iter().all(|entry| Arc::ptr_eq(entry, &read[0])));
}

#[tokio::test]
async fn a_lease_of_which_nobody_told_is_found() {
    let world = World::new(|_| {}).await;
    let lease = soon(world.token("shared")).await.unwrap();
    world.still_has_the_one_before(&lease);
    assert_eq!(soon(world.caller("shared")).await.unwrap(), Ok(lease.generation));
}

#[tokio::test]
async fn a_caller_that_leaves_costs_nothing() {
    let mut world = World::new(|_| {}).await;
    assert_eq!(soon(world.caller("two")).await.unwrap(), Ok(Generation(2)));
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let caller = world.caller("one");
    world.until_presented(2).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    world.simulator.release();
    assert_eq!(soon(world.caller("one")).await.unwrap(), Ok(Generation(2)));
    assert_eq!((world.row("one").await, world.presented()), (("idle".to_owned(), 2), 2));
}

#[tokio::test]
async fn a_drain_ends_with_everything_durable_and_starts_nothing() {
    let mut world = World::new(|settings| settings.in_flight_per_client = 1).await;
    assert_eq!(soon(world.caller("one")).await.unwrap(), Ok(Generation(2)));
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let in_flight = world.operator("one");
    world.until_presented(2).await;
    let in_queue = world.caller("two");
    tokio::time::sleep(A_WHILE).await;
    let refresher = world.refresher.clone();
    let drain = tokio::spawn(async move { refresher.drain().await });
    tokio::time::sleep(A_WHILE).await;
    assert!(!drain.is_finished(), "a refresh is in flight");
    world.simulator.release();
    soon(drain).await.unwrap();
    assert_eq!(world.row("one").await, ("idle".to_owned(), 3));
    assert_eq!(soon(in_flight).await.unwrap(), Ok(Generation(3)));
    assert_eq!(soon(in_queue).await.unwrap().unwrap_err().reason, Reason::RefreshInProgress);
    assert_eq!(soon(world.operator("two")).await.unwrap().unwrap_err().reason, Reason::RefreshInProgress);
    assert_eq!((world.row("two").await, world.presented()), (("idle".to_owned(), 1), 2));
}

#[tokio::test]
async fn a_breaker_that_opens_stops_those_who_were_let_in() {
    let mut world = World::new(|settings| settings.in_flight_per_client = 1).await;
    assert_eq!(soon(world.caller("one")).await.unwrap(), Ok(Generation(2)));
    let body = r#"{"error":"invalid_client"}"#.to_owned();
    world.simulator.inject(Fault::new(FaultKind::Status { code: 401, headers: vec![], body, retry: None }));
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let first = world.operator("one");
    world.until_presented(2).await;
    let second = world.operator("two");
    tokio::time::sleep(A_WHILE).await;
    world.simulator.release();
    for refused in [first, second] {
        let refused = soon(refused).await.unwrap();
        assert_eq!(refused.unwrap_err().reason, Reason::OauthClientRejected);
    }
    assert_eq!((world.row("two").await, world.presented()), (("idle".to_owned(), 1), 2));
}

#[tokio::test]
async fn what_the_provider_asks_for_is_heeded() {
    let mut world = World::new(|_| {}).await;
    assert_eq!(soon(world.caller("two")).await.unwrap(), Ok(Generation(2)));
    let busy = FaultKind::status(429, Some(RetryHint::Seconds(60)));
    world.simulator.inject(Fault::new(busy).at(Phase::BeforeProcessing));
    // An operator is not held back by the setback of the first, only by the provider's word.
    for _ in 0..2 {
        let refused = soon(world.operator("one")).await.unwrap().unwrap_err();
        assert_eq!(refused.reason, Reason::ProviderRateLimited);
        assert!(refused.retry_after.unwrap().as_secs() > 30, "{refused:?}");
        tokio::time::sleep(A_WHILE).await;
    }
    assert_eq!((world.row("one").await, world.presented()), (("idle".to_owned(), 1), 2));
}

/// A refresh holds its client's only permit and waits for the process's; a flight to the client's own token comes.
#[tokio::test]
async fn who_is_on_trial_waits_for_nobody_who_waits_for_the_trial() {
    let world = World::new(|settings| (settings.in_flight, settings.in_flight_per_client) = (1, 1)).await;
    world.simulator.hold_token_requests(Hold::BeforeProcessing);
    let elsewhere = world.caller("elsewhere");
    soon(world.simulator.wait_for_log(|log| !log.is_empty())).await;
    let one = world.caller("one");
    tokio::time::sleep(A_WHILE).await;
    let shared = world.caller("shared");
    tokio::time::sleep(A_WHILE).await;
    world.simulator.release();
    for caller in [elsewhere, one, shared] {
        let served = soon(caller).await.unwrap();
        assert!(served.is_ok(), "{served:?}");
    }
}
