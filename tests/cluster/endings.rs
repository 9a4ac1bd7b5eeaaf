//! F17 and F28: how a replica, or a task in it, ends while tokens are at the provider and others go on.

use std::time::Duration;

use procore_simulator::Hold;

use crate::harness::{Fate, Fleet, Launch, Mishap, Setup, now, reason, table, until};

const IN_FLIGHT: usize = 4;

async fn sigterm(enough: bool) -> [String; 6] {
    let setup = Setup {
        change: if enough { |_| () } else { |config| config.shutdown.grace = Duration::from_millis(700) },
        ..Setup::default()
    };
    let mut fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(1).await, &app, "in-flight", IN_FLIGHT + 1).await;
    let (known, late) = known.split_at(IN_FLIGHT);
    fleet.simulator.hold_token_requests(Hold::AfterProcessing);
    let caller = fleet.caller(0).await;
    let calls = fleet.ask(std::slice::from_ref(&caller), known);
    fleet.all_presented(known).await;
    let mut ending = if enough { fleet.replicas[0].ending() } else { fleet.take(0, Fate::Hurried) };
    ending.terminate();
    let mut served = 0;
    if enough {
        until("it drains", async || !ending.is_ready().await).await;
        let word = caller.token(&late[0].name).await.map_err(|status| reason(&status));
        assert_eq!(word.err().as_deref(), Some("REFRESH_IN_PROGRESS"), "a refresh was started after SIGTERM");
        assert!(!ending.has_ended(), "it left with tokens at the provider");
        fleet.simulator.release();
        served = calls.all_served().await;
    }
    let status = ending.ended().await;
    assert_eq!(status.success(), enough, "{status}");
    fleet.simulator.release();
    let others = fleet.ask(&[fleet.caller(1).await], late).all_served().await;
    let verdict = fleet.finish().await;
    verdict.holds();
    let lost = verdict.lost + verdict.in_vain;
    assert!(lost <= if enough { 0 } else { IN_FLIGHT }, "{verdict:#?}");
    let grace = if enough { "enough" } else { "too short" };
    let [in_flight, served, others, lost] = [IN_FLIGHT, served, others, lost].map(|count| count.to_string());
    [grace.to_owned(), in_flight, served, others, status.to_string(), lost]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_finishes_what_is_in_flight() {
    let (long, short) = tokio::join!(sigterm(true), sigterm(false));
    table(
        "F17: SIGTERM with tokens at the provider, two others alive",
        ["grace", "in flight", "served", "served by another", "exit", "lost"],
        [long, short],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_doubt_and_never_a_release() {
    let points = ["connected", "burnt", "before_send", "answered", "before_settle", "settled"];
    let mut fleet = Fleet::start(Setup { replicas: 2, ..Setup::default() }).await;
    let mut victims = Vec::new();
    for (index, point) in points.into_iter().enumerate() {
        let name = format!("panics-{index}");
        let replica = fleet.add(&name, &name).await;
        let launch =
            Launch { panic: true, ..Launch::stopping_at(point, fleet.replicas[replica].failpoint_log()) };
        fleet.launch(replica, &launch).await;
        victims.push((point, replica));
    }
    fleet.with_redis(true).await;
    let app = fleet.proven_app_by(0).await;
    let caller = fleet.caller(0).await;
    let mut rows = Vec::new();
    let known = fleet.connections(&caller, &app, "panics", points.len()).await;
    for ((point, replica), known) in victims.iter().zip(&known) {
        let heard = fleet.caller(*replica).await.token(&known.name).await.map_err(|status| reason(&status));
        assert_eq!(heard.err().as_deref(), Some("REFRESH_IN_PROGRESS"), "{point}");
        let name = fleet.replicas[*replica].name.clone();
        fleet.mishaps.push(Mishap { replica: name, fate: Fate::Panicked, at: now() });
    }
    let others = fleet.insist(&[caller], &known);
    for ((point, _), answer) in victims.iter().zip(others.answers().await) {
        let word = answer.map_or_else(|status| reason(&status), |_| "a token".to_owned());
        let burnt = !["connected", "settled"].contains(point);
        assert_eq!(word != "a token", burnt, "{point}: {word}");
        rows.push((*point, word));
    }
    let presented: Vec<_> = known.iter().map(|known| fleet.presented(std::slice::from_ref(known))).collect();
    for (_, replica) in &victims {
        fleet.kill(*replica).await;
    }
    let verdict = fleet.finish().await;
    verdict.holds();
    let rows = rows.into_iter().zip(presented).zip(&known).map(|(((point, word), presented), known)| {
        let lost = if verdict.losses.contains_key(&known.name) { "lost" } else { "none" };
        [point.to_owned(), word, presented.to_string(), lost.to_owned()]
    });
    table("F28: a panic in the refresh", ["at", "another replica's caller", "presentations", "lost"], rows);
}
