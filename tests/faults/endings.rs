//! F17 and F28: how a process, or a task in it, ends while a token is at the provider.

use std::time::Duration;

use futures_util::future::join_all;
use procore_simulator::Hold;

use crate::harness::{GUARD, Launch, World, guarded, reason, table, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_waits_for_what_is_in_flight() {
    let world = World::new(|config| config.refresh.caller_wait = GUARD).await;
    let mut broker = world.start().await;
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let app = world.app(&caller, "app").await;
    caller.refresh(world.connection(&caller, &app, "proof").await.name()).await.unwrap();
    let in_flight = world.connections(&caller, &app, "in-flight", 4).await;
    let late = world.connection(&caller, &app, "late").await;
    let before = world.presentations().len();
    world.simulator.hold_token_requests(Hold::AfterProcessing);
    let waiting = join_all(in_flight.iter().map(|name| caller.token(name)));
    let ending = async {
        let held = || world.presentations().len() - before;
        until("the provider holds the answers", async || held() == in_flight.len()).await;
        broker.terminate();
        until("it drains", async || !broker.is_ready().await).await;
        let heard = caller.token(late.name()).await.map_err(|status| reason(&status));
        assert_eq!(
            heard.err().as_deref(),
            Some("REFRESH_IN_PROGRESS"),
            "a refresh was started after SIGTERM"
        );
        assert!(!broker.has_ended(), "it left with tokens at the provider");
        assert_eq!(held(), in_flight.len(), "a token was presented after SIGTERM");
        world.simulator.release();
        held()
    };
    let (answers, held) = guarded("the last answers", async { tokio::join!(waiting, ending) }).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let status = broker.ended().await;
    assert!(status.success(), "{status}");

    let broker = world.start().await;
    let verdict = world.finish(broker).await;
    assert_eq!((verdict.lost, verdict.in_vain), (0, 0), "{verdict:?}");
    let row = [held.to_string(), answers.len().to_string(), status.to_string(), verdict.lost.to_string()];
    table("F17: SIGTERM", ["held by the provider", "answered", "exit", "lost"], [row]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_doubt_and_never_a_release() {
    let points = ["connected", "burnt", "before_send", "answered", "before_settle", "settled"];
    let rows = join_all(points.map(panicking)).await;
    table("F28: a panic in the refresh", ["at", "presented", "state after", "state after a restart"], rows);
}

async fn panicking(point: &'static str) -> [String; 4] {
    let world = World::new(|config| {
        config.refresh.body_deadline = Duration::from_secs(1);
        config.refresh.total_timeout = Duration::from_secs(1);
        config.refresh.holder_lost_after = Duration::from_secs(3);
        config.refresh.doubt_grace = GUARD;
        config.refresh.sweep_interval = Duration::from_millis(100);
        config.refresh.refusal_pause = Duration::from_millis(50);
    })
    .await;
    let launch = Launch { panic: true, ..Launch::stopping_at(point, world.file("failpoint.log")) };
    let broker = world.launch(&launch).await;
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let app = world.app(&caller, "app").await;
    let known = world.connection(&caller, &app, "panics").await;
    let (burnt, settled) = (!matches!(point, "connected" | "settled"), point == "settled");
    let heard = caller.token(known.name()).await.map_err(|status| reason(&status));
    assert_eq!(heard.err().as_deref(), Some("REFRESH_IN_PROGRESS"), "{point}");
    let expected = if burnt { "in_doubt" } else { "idle" };
    until("the sweeper has noticed", async || {
        // Callers keep asking: nothing may be sent again.
        let _ = caller.token(known.name()).await;
        caller.state(known.name()).await == expected
    })
    .await;
    let presented = world.simulator.presentations_of(&known.refresh_token).len();
    assert_eq!(presented, usize::from(["answered", "before_settle", "settled"].contains(&point)), "{point}");
    broker.kill().await;

    let broker = world.start().await;
    let caller = broker.caller().await;
    let answer = caller.token(known.name()).await;
    assert_eq!(answer.is_ok(), !burnt, "{point}: {answer:?}");
    let state = caller.state(known.name()).await;
    let verdict = world.finish(broker).await;
    assert_eq!(verdict.lost + verdict.in_vain, usize::from(burnt), "{point}: {verdict:?}");
    assert!(!settled || verdict.presentations == 2, "{point}: {verdict:?}");
    [point.to_owned(), presented.to_string(), expected.to_owned(), state]
}
