//! F20 to F23: the provider was asked, and answers oddly, late, or not at all.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use procore_simulator::{Fault, FaultKind, Phase, RetryHint, Target};
use tokio::net::TcpListener;

use super::{HEADER, Row, ask, bodies};
use crate::harness::{Caller, Known, World, table, until};

/// A fault, and what must come of it.
pub(super) struct Case {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    pub(super) heard: &'static str,
    pub(super) state: &'static str,
    pub(super) presentations: usize,
}

/// A fault after which nobody knows, so that a person must act.
fn doubt(group: &'static str, name: &'static str, kind: FaultKind, phase: Phase) -> Case {
    let fault = Fault::new(kind).at(phase);
    Case { group, name, fault, heard: "REFRESH_IN_DOUBT", state: "reauth_required", presentations: 1 }
}

fn silence() -> Vec<Case> {
    let slowly = |case: Case| Case { heard: "REFRESH_IN_PROGRESS", ..case };
    let late = FaultKind::Hang(Some(5_000));
    vec![
        doubt("F20", "read, FIN", FaultKind::Close, Phase::BeforeProcessing),
        doubt("F20", "read, RST", FaultKind::Reset, Phase::BeforeProcessing),
        doubt("F20", "read, processed, FIN", FaultKind::Close, Phase::AfterProcessing),
        doubt("F20", "read, processed, RST", FaultKind::Reset, Phase::AfterProcessing),
        doubt("F20", "read, processed, bytes that are no HTTP", FaultKind::Garbage, Phase::AfterProcessing),
        slowly(doubt("F20", "read, processed, silence", FaultKind::Hang(None), Phase::AfterProcessing)),
        Case {
            state: "idle",
            ..slowly(doubt("F20", "200 after every caller has left", late, Phase::AfterProcessing))
        },
    ]
}

fn redirects(elsewhere: &str) -> Vec<Case> {
    let case = |name, code, location: &str| {
        let kind = FaultKind::Redirect { code, location: location.to_owned() };
        doubt("F22", name, kind, Phase::BeforeProcessing)
    };
    vec![
        case("301 to another host", 301, elsewhere),
        case("302 to another host", 302, elsewhere),
        case("307 to another host", 307, elsewhere),
        case("308 to another host", 308, elsewhere),
        case("301 to itself", 301, "/oauth/token"),
        case("302 to itself", 302, "/oauth/token"),
        case("307 to itself", 307, "/oauth/token"),
        case("308 to itself", 308, "/oauth/token"),
    ]
}

fn patience() -> Vec<Case> {
    let wait = |name, hint| Case {
        group: "F23",
        name,
        fault: Fault::new(FaultKind::status(429, hint)).at(Phase::BeforeProcessing),
        heard: "PROVIDER_RATE_LIMITED",
        state: "idle",
        presentations: 2,
    };
    vec![
        wait("429, Retry-After in seconds", Some(RetryHint::Seconds(2))),
        wait("429, Retry-After as a date", Some(RetryHint::Date(3))),
        wait("429, X-Rate-Limit-Reset only", Some(RetryHint::RateLimitReset(3))),
        wait("429 without a hint", None),
    ]
}

fn failures() -> Vec<Case> {
    let error = |name, code, phase| doubt("F23", name, FaultKind::status(code, None), phase);
    let oauth = |code: &str| FaultKind::Status {
        code: 400,
        headers: Vec::new(),
        body: format!(r#"{{"error":"{code}"}}"#),
        retry: None,
    };
    let hint = Some(RetryHint::Seconds(1));
    let html = FaultKind::Status {
        code: 403,
        headers: Vec::new(),
        body: "<p>Request blocked.</p>".to_owned(),
        retry: None,
    };
    vec![
        doubt("F23", "503, Retry-After", FaultKind::status(503, hint), Phase::BeforeProcessing),
        error("503", 503, Phase::BeforeProcessing),
        error("500, processed", 500, Phase::AfterProcessing),
        error("502, processed", 502, Phase::AfterProcessing),
        error("504, and the origin completes later", 504, Phase::ProcessLater(500)),
        doubt("F23", "403 from something in between", html, Phase::BeforeProcessing),
        Case {
            heard: "PROVIDER_UNAVAILABLE",
            presentations: 5,
            fault: Fault::new(oauth("invalid_request")).at(Phase::BeforeProcessing).times(None),
            ..doubt("1.3", "400 invalid_request, always", FaultKind::Close, Phase::BeforeProcessing)
        },
        Case {
            heard: "REAUTHORIZATION_REQUIRED",
            ..doubt("F25", "400 invalid_grant", oauth("invalid_grant"), Phase::ConsumeOnly)
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_answer_is_asked_for_once() {
    let world = &World::new(|config| {
        config.refresh.total_timeout = Duration::from_secs(10);
        config.refresh.holder_lost_after = Duration::from_secs(16);
        config.refresh.doubt_grace = Duration::from_millis(300);
        config.refresh.sweep_interval = Duration::from_millis(100);
        config.refresh.refusal_pause = Duration::from_secs(1);
        config.breaker.open_for = Duration::from_millis(300);
    })
    .await;
    let broker = world.start().await;
    let caller = &broker.caller().await;
    world.tenant(caller).await;
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let there = format!("http://{}/oauth/token", elsewhere.local_addr().unwrap());
    let cases = [silence(), bodies::cases(), redirects(&there), patience(), failures()];
    let rows: Vec<_> = stream::iter(cases.into_iter().flatten().enumerate())
        .map(|(index, case)| async move { play(world, caller, index, case).await })
        .buffered(12)
        .collect()
        .await;
    table("F20 to F23: odd answers", HEADER, rows.iter().map(|(row, _)| row.cells()));
    for (row, case) in &rows {
        let Row { name, presentations, heard, state, .. } = row;
        assert_eq!((heard.as_str(), state.as_str()), (case.heard, case.state), "{name}");
        assert_eq!(*presentations, case.presentations, "{name}");
    }
    let nobody = tokio::time::timeout(Duration::ZERO, elsewhere.accept()).await;
    assert!(nobody.is_err(), "a redirect was followed");
    world.finish(broker).await;
    let rows = world.rows().await;
    for (name, grant) in rows.grants {
        let calls_for_a_person = grant.events.iter().filter(|kind| *kind == "reauth_required").count();
        assert_eq!(calls_for_a_person, usize::from(grant.state == "reauth_required"), "{name}: {grant:?}");
    }
}

/// One row: an app and a connection of its own.
async fn play(world: &World, caller: &Caller, index: usize, case: Case) -> (Row, Case) {
    let id = format!("row-{index}");
    let app = world.app(caller, &id).await;
    let known = world.connection(caller, &app, &id).await;
    world.simulator.inject(case.fault.clone().on(Target::grant(known.grant_id())));
    let heard = ask(caller, known.name()).await;
    let not_before = world.rows().await.grants[known.name()].not_before;
    let state = ask_until_over(caller, &known).await;
    let seen = world.simulator.presentations_of(&known.refresh_token);
    if case.presentations == 2 {
        let again = seen.last().map_or(0, |seen| seen.at_ms);
        let not_before = not_before.expect("a 429 says when to come again").div_euclid(1000);
        assert!(again >= not_before, "{}: presented {} ms too early", case.name, not_before - again);
    }
    let (group, name) = (case.group, case.name.to_owned());
    (Row { group, name, presentations: seen.len(), heard, state }, case)
}

/// Callers and an operator ask until the grant has a new pair, or needs a person.
async fn ask_until_over(caller: &Caller, known: &Known) -> String {
    let mut state = String::new();
    until("the fault is over", async || {
        let inspected = caller.inspect(known.name()).await;
        let generation = inspected.connection.map_or(0, |connection| connection.generation);
        state = inspected.grant_state;
        let over = state == "reauth_required" || (state == "idle" && generation > known.first());
        if !over {
            // The operator's wish forgets the setbacks in memory: what the grant says must suffice.
            let _ = tokio::join!(caller.token(known.name()), caller.refresh(known.name()));
        }
        over
    })
    .await;
    state
}
