//! F15: callers that leave early, and callers that come all at once.

use std::time::Duration;

use futures_util::future::join_all;
use procore_simulator::Hold;

use crate::harness::{GUARD, World, guarded, table, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_outlives_its_callers() {
    let world = World::new(|config| config.refresh.caller_wait = GUARD).await;
    let broker = world.start().await;
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let app = world.app(&caller, "app").await;
    caller.refresh(world.connection(&caller, &app, "proof").await.name()).await.unwrap();
    let known = world.connection(&caller, &app, "left").await;

    world.simulator.hold_token_requests(Hold::AfterProcessing);
    // On connections of their own: a server ends one on which too much is given up at once.
    let crowd = join_all((0..10).map(|_| broker.caller())).await;
    let hurried = (0..100).map(|call| crowd[call % 10].token_within(known.name(), Duration::from_millis(10)));
    let mut gone = Vec::new();
    for _ in 0..100 {
        let (caller, name) = (broker.caller().await, known.name().to_owned());
        gone.push(tokio::spawn(async move { caller.token(&name).await.is_ok() }));
    }
    let hurried = guarded("deadlines pass", join_all(hurried)).await;
    assert!(hurried.iter().all(Result::is_err), "somebody got a token that nobody has");
    let seen = || world.simulator.presentations_of(&known.refresh_token).len();
    until("the token is at the provider", async || seen() == 1).await;
    for call in &gone {
        // Its connection goes with it.
        call.abort();
    }
    guarded("callers leave", join_all(gone)).await;
    let generation = async || caller.inspect(known.name()).await.connection.unwrap().generation;
    assert_eq!(generation().await, known.first(), "settled before the answer came");
    world.simulator.release();
    until("the refresh settles without them", async || generation().await > known.first()).await;
    assert_eq!(seen(), 1);
    let verdict = world.finish(broker).await;
    assert_eq!(verdict.lost, 0, "{verdict:?}");
    table("F15: 200 callers leave", ["presented", "settled"], [[seen().to_string(), "yes".to_owned()]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_are_one_refresh() {
    let world = World::new(|config| config.refresh.caller_wait = GUARD).await;
    let broker = world.start().await;
    let first = broker.caller().await;
    world.tenant(&first).await;
    let app = world.app(&first, "app").await;
    let known = world.connection(&first, &app, "wanted").await;
    let callers = join_all((0..8).map(|_| broker.caller())).await;
    let calls = callers.iter().cycle().take(1000).map(|caller| caller.token(known.name()));
    let answers = guarded("everybody is answered", join_all(calls)).await;
    let next = known.first() + 1;
    let got = answers.iter().flatten().filter(|token| token.generation == next).count();
    assert_eq!(got, 1000, "{:?}", answers.iter().find(|answer| answer.is_err()));
    let seen = world.simulator.presentations_of(&known.refresh_token).len();
    assert_eq!(seen, 1);
    let verdict = world.finish(broker).await;
    assert_eq!(verdict.lost, 0, "{verdict:?}");
    table(
        "F15: 1000 callers on 8 HTTP/2 connections",
        ["presented", "answered"],
        [[seen.to_string(), got.to_string()]],
    );
}
