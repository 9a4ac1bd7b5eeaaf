//! F2: SIGSTOP of the working replica at every step, past every lease and time-out, with others at work; then SIGCONT.

use std::time::Duration;

use futures_util::future::join_all;
use procore_simulator::{Fault, FaultKind};
use token_broker::failpoint::POINTS;
use tokio::task::JoinHandle;

use crate::harness::{Caller, Fleet, Known, Launch, Setup, guarded, reason, table, until};

/// Replicas that go on.
const AWAKE: usize = 2;
/// The answer comes while its reader is stopped.
const ON_THE_WIRE: &str = "provider: answers the stopped replica";

/// A replica that is stopped, and the connection it works on.
struct Victim {
    step: &'static str,
    replica: usize,
    known: Known,
    call: JoinHandle<bool>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_stopped_harms_nobody() {
    let mut fleet = Fleet::start(Setup { replicas: AWAKE, ..Setup::default() }).await;
    let steps: Vec<_> = POINTS.into_iter().chain([ON_THE_WIRE]).collect();
    for (index, step) in steps.iter().enumerate() {
        let name = format!("stopped-{index}");
        let replica = fleet.add(&name, &name).await;
        let held = fleet.replicas[replica].holding_at(step);
        let launch = if *step == ON_THE_WIRE { Launch::default() } else { held };
        // They learn of the app from the others.
        fleet.launch(replica, &launch).await;
    }
    fleet.with_redis(true).await;
    let app = fleet.proven_app_by(0).await;
    let caller = fleet.caller(0).await;
    let known = fleet.connections(&caller, &app, "wanted", steps.len()).await;
    let mut victims = Vec::new();
    for ((index, step), known) in steps.into_iter().enumerate().zip(known) {
        let replica = AWAKE + index;
        if step == ON_THE_WIRE {
            let late = FaultKind::Slow { delay_ms: 1000, drop_bytes: 0, pause_ms: 0 };
            fleet.simulator.inject(known.meets(Fault::new(late)));
        }
        let (caller, heard, name) = (fleet.caller(replica).await, fleet.heard(), known.name.clone());
        let call = tokio::spawn(async move { heard.token(&caller, &name).await.is_ok() });
        victims.push(Victim { step, replica, known, call });
    }
    for victim in &victims {
        until(&format!("it is at {}", victim.step), async || match victim.step {
            ON_THE_WIRE => presented(&fleet, &victim.known) == 1,
            _ => fleet.replicas[victim.replica].reached() > 0,
        })
        .await;
        fleet.replicas[victim.replica].broker().pause();
    }
    let before: Vec<_> = victims.iter().map(|victim| presented(&fleet, &victim.known)).collect();
    let others = join_all((0..AWAKE).map(|replica| fleet.caller(replica))).await;
    let meanwhile = join_all(victims.iter().map(|victim| insist(&fleet, &others, &victim.known))).await;
    let meantime: Vec<_> = victims.iter().map(|victim| presented(&fleet, &victim.known)).collect();
    for victim in &victims {
        fleet.replicas[victim.replica].let_go();
        fleet.replicas[victim.replica].broker().resume();
    }
    let mut rows = Vec::new();
    for (index, victim) in victims.into_iter().enumerate() {
        let got = guarded("its caller is answered", victim.call).await.unwrap();
        let state = others[0].state(&victim.known.name).await;
        let counts = [before[index], meantime[index], presented(&fleet, &victim.known)];
        let [before, meantime, after] = counts.map(|count| count.to_string());
        let got = if got { "a token" } else { "a refusal" };
        let cells = [before, meanwhile[index].clone(), meantime, got.to_owned(), after, state];
        rows.push((victim.known.name, victim.step, cells));
    }
    let verdict = fleet.finish().await;
    let rows = rows.into_iter().map(|(name, step, [before, meanwhile, meantime, got, after, state])| {
        let lost = if verdict.losses.contains_key(&name) { "lost" } else { "none" };
        [step.to_owned(), before, meanwhile, meantime, got, after, state, lost.to_owned()]
    });
    table(
        "F2: SIGSTOP past every lease and time-out, another replica at work, SIGCONT",
        [
            "stopped at",
            "presented",
            "others' callers, meanwhile",
            "presented",
            "its own caller, after SIGCONT",
            "presented",
            "then",
            "lost",
        ],
        rows,
    );
    verdict.lossless();
}

fn presented(fleet: &Fleet, known: &Known) -> usize {
    fleet.simulator.presentations_of(&known.refresh_token).len()
}

/// Asks the others until there is a token, or only a person can help: every lease and time-out is over then.
async fn insist(fleet: &Fleet, others: &[Caller], known: &Known) -> String {
    let heard = fleet.heard();
    let mut word = String::new();
    until("another replica has an answer", async || {
        for caller in others {
            let answer = tokio::time::timeout(Duration::from_secs(1), heard.token(caller, &known.name)).await;
            word = match answer {
                Ok(Ok(_)) => "a token".to_owned(),
                Ok(Err(status)) => reason(&status),
                Err(_) => "nothing yet".to_owned(),
            };
        }
        ["a token", "REAUTHORIZATION_REQUIRED"].contains(&word.as_str())
    })
    .await;
    word
}
