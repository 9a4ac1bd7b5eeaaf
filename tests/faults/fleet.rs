//! P6: one bad secret or one hanging provider must not take the fleet with it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, future::join_all, stream};
use procore_simulator::{Environment, Fault, FaultKind, Hold, Outcome, Phase, RefusalKind, Target};
use token_broker::{config::Config, provider::Profile};
use token_broker_proto::v1::standing::Breaker;
use tokio::task::JoinHandle;

use crate::harness::{
    Caller, PROFILE, SANDBOX, Verdict, World, guarded, presentations, profile, reason, start_simulator,
    table, until,
};

const FLEET: usize = 200;
const IN_FLIGHT: usize = 4;

fn quick(config: &mut Config) {
    config.refresh.in_flight_per_client = u32::try_from(IN_FLIGHT).unwrap();
    config.refresh.refusal_pause = Duration::from_millis(50);
    config.breaker.open_for = Duration::from_millis(300);
}

/// A caller that asks until it has a token, or a person must act. What it heard, and how often.
fn insist(caller: &Caller, name: &str) -> JoinHandle<BTreeMap<String, usize>> {
    let (caller, name) = (caller.clone(), name.to_owned());
    tokio::spawn(async move {
        let mut heard = BTreeMap::new();
        loop {
            let word =
                caller.token(&name).await.map_or_else(|status| reason(&status), |_| "a token".to_owned());
            let over = ["a token", "REAUTHORIZATION_REQUIRED", "REFRESH_IN_DOUBT"].contains(&word.as_str());
            *heard.entry(word).or_default() += 1;
            if over {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Everything that a fleet of callers heard.
async fn chorus(calls: Vec<JoinHandle<BTreeMap<String, usize>>>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for heard in guarded("every caller has got what there is", join_all(calls)).await {
        for (word, count) in heard.unwrap() {
            *all.entry(word).or_default() += count;
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_secret_costs_what_is_in_flight() {
    let (kept, consumed) = tokio::join!(secret_reset(false), secret_reset(true));
    let row = |what: &str, (refused, verdict, heard): (usize, Verdict, BTreeMap<String, usize>)| {
        let in_all = verdict.presentations;
        [
            what.to_owned(),
            refused.to_string(),
            in_all.to_string(),
            verdict.lost.to_string(),
            format!("{heard:?}"),
        ]
    };
    table(
        "P6: the secret is reset under 200 due connections, 4 in flight",
        ["a refusal", "presented with the dead secret", "presented in all", "lost", "callers heard"],
        [row("leaves the token", kept), row("consumes the token", consumed)],
    );
}

async fn secret_reset(consumes: bool) -> (usize, Verdict, BTreeMap<String, usize>) {
    let world = World::new(quick).await;
    world.simulator.knobs(|knobs| {
        knobs.secret_reset_kills_refresh_tokens = false;
        knobs.consume_on_failed_refresh = if consumes { RefusalKind::ALL.into() } else { [].into() };
    });
    let broker = world.start().await;
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let app = world.app(&caller, "app").await;
    let fresh = world.connection(&caller, &app, "fresh").await;
    // It proves the old secret, and has a token that lives on.
    caller.token(fresh.name()).await.unwrap();
    let due = world.connections(&caller, &app, "due", FLEET).await;
    let reset = world.simulator.reset_secret(Environment::Sandbox, &app.client.client_id).unwrap();
    let before = world.simulator.log().last().map_or(0, |seen| seen.seq);

    let calls: Vec<_> = due.iter().map(|name| insist(&caller, name)).collect();
    let refusals = |grant_type: &str| {
        let log = world.simulator.log_since(before).into_iter();
        let refused = Outcome::Refused(RefusalKind::InvalidClient);
        log.filter(|seen| seen.grant_type.as_deref() == Some(grant_type) && seen.outcome == refused).count()
    };
    until("the breaker was half-open three times", async || refusals("client_credentials") >= 3).await;
    let refused = refusals("refresh_token");
    assert_eq!(world.presentations().len() - 1, refused, "somebody got through with the dead secret");
    assert!((1..=IN_FLIGHT).contains(&refused), "{refused} presentations with a dead secret");
    until("the breaker is open", async || caller.standing(&app.name).await.breaker() == Breaker::Open).await;
    assert!(caller.token(fresh.name()).await.unwrap().advice.is_none(), "a good token is served meanwhile");

    caller.rotate_secret(&app.name, &reset.client_secret).await;
    let heard = chorus(calls).await;
    let log = world.simulator.log_since(before);
    let proven = log.iter().position(|seen| seen.outcome == Outcome::Issued).expect("a harmless proof");
    let spent = log.iter().position(|seen| seen.outcome == Outcome::Rotated).unwrap();
    assert!(proven < spent, "the new secret spent a token before it was proven");
    assert!(heard.contains_key("OAUTH_CLIENT_REJECTED"), "{heard:?}");
    let lost = if consumes { refused } else { 0 };
    assert_eq!(heard["a token"], FLEET - lost, "{heard:?}");
    let verdict = world.finish(broker).await;
    assert_eq!((verdict.lost, verdict.in_vain), (lost, 0), "{verdict:?}");
    (refused, verdict, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_harmless_proof_one_canary_goes_first() {
    let world = World::new(quick).await;
    let broker = world.start().await;
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let app = world.app_at(&caller, &world.simulator, "app", (PROFILE, SANDBOX), false).await;
    caller.rotate_secret(&app.name, "wrong").await;
    let due = world.connections(&caller, &app, "due", 40).await;
    for known in world.known() {
        let slow = Fault::new(FaultKind::Hang(Some(8_000))).at(Phase::BeforeProcessing);
        world.simulator.inject(slow.on(Target::grant(known.grant_id())));
    }
    let calls: Vec<_> = due.iter().map(|name| insist(&caller, name)).collect();
    until("the wrong secret is found out", async || {
        caller.standing(&app.name).await.breaker() == Breaker::Open
    })
    .await;
    assert_eq!(world.presentations().len(), 0, "a wrong secret is found out by the call that burns nothing");

    caller.rotate_secret(&app.name, &app.client.client_secret).await;
    until("the canary is at the provider", async || !world.presentations().is_empty()).await;
    world.simulator.clear_faults();
    let impatient = stream::iter(&due).map(|name| caller.token_within(name, Duration::from_secs(1)));
    let impatient: Vec<_> = impatient.buffer_unordered(40).collect().await;
    assert!(impatient.iter().all(Result::is_err), "somebody passed the canary");
    let heard = chorus(calls).await;
    let log = world.simulator.log();
    let sung = log.iter().find_map(|seen| seen.continues.map(|_| seen.seq)).unwrap();
    let before = world.presentations().into_iter().filter(|seen| seen.seq < sung).count();
    assert_eq!(before, 1, "presentations before the canary came back");
    assert_eq!(heard["a token"], due.len(), "{heard:?}");
    let verdict = world.finish(broker).await;
    assert_eq!(verdict.lost + verdict.in_vain, 0, "{verdict:?}");
    table(
        "P6: the app may not use client credentials",
        ["before the canary came back", "callers heard"],
        [[format!("{before} presentation"), format!("{heard:?}")]],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_provider_holds_up_nobody_else() {
    let (stuck, well) = (start_simulator(7).await, start_simulator(8).await);
    let other = Profile { name: "other".to_owned(), ..profile(&well) };
    let world = World::with(stuck.clone(), vec![profile(&stuck), other], quick);
    let broker = world.start().await;
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let first = world.app(&caller, "stuck").await;
    let second = world.app_at(&caller, &well, "well", ("other", SANDBOX), true).await;
    caller.refresh(world.connection(&caller, &first, "proof").await.name()).await.unwrap();
    let hanging = world.connections(&caller, &first, "hanging", 40).await;
    let flowing = world.connections(&caller, &second, "flowing", 40).await;

    stuck.hold_token_requests(Hold::AfterProcessing);
    let waiting: Vec<_> = hanging.iter().map(|name| insist(&caller, name)).collect();
    until("the provider hangs", async || presentations(&stuck).len() > IN_FLIGHT).await;
    let heard = chorus(flowing.iter().map(|name| insist(&caller, name)).collect()).await;
    let held = presentations(&stuck).len() - 1;
    assert_eq!(held, IN_FLIGHT, "I7: in flight at a provider that hangs");
    assert_eq!(heard, [("a token".to_owned(), flowing.len())].into(), "the other provider's callers wait");
    stuck.release();
    assert_eq!(chorus(waiting).await["a token"], hanging.len());
    let verdict = world.finish_at(broker, &[&world.simulator, &well]).await;
    assert_eq!(verdict.lost + verdict.in_vain, 0, "{verdict:?}");
    table(
        "P6: one of two providers hangs",
        ["in flight there", "tokens from the other meanwhile"],
        [[held.to_string(), flowing.len().to_string()]],
    );
}
