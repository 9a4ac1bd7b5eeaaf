//! F18, F19, and the first of F20: the provider is never reached. Nothing is burnt, whoever asks.

use std::{collections::BTreeMap, time::Duration};

use token_broker::provider::{self, Profile};
use token_broker_proto::v1::standing::Breaker;

use super::{
    HEADER, Row, ask,
    hosts::{Authority, Host},
};
use crate::harness::{Caller, World, profile, reason, start_simulator, table};

/// Where there is no way to ask for the harmless proof first: the refresh itself must meet the fault.
const BARE: &str = "bare";

struct Case {
    group: &'static str,
    name: &'static str,
    endpoint: String,
    heard: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_out_of_reach_costs_nothing() {
    let simulator = start_simulator().await;
    let origin = simulator.oauth_base(procore_simulator::Environment::Sandbox);
    let origin = origin.trim_start_matches("http://");
    let (ours, strangers) = (Authority::new(), Authority::new());
    let good = Host::tls(ours.certifies("127.0.0.1", 2100), origin).await;
    let expired = Host::tls(ours.certifies("127.0.0.1", 2020), origin).await;
    let misnamed = Host::tls(ours.certifies("login.elsewhere.example", 2100), origin).await;
    let untrusted = Host::tls(strangers.certifies("127.0.0.1", 2100), origin).await;
    let (silent, private) = (Host::silent().await, Host::private().await);
    let (closed, swallowing, resetting) = (Host::closed(), Host::swallowing().await, Host::resetting().await);
    let at = |scheme: &str, host: &Host| format!("{scheme}://{}/oauth/token", host.address);
    let case = |group, name, endpoint| Case { group, name, endpoint, heard: "PROVIDER_UNAVAILABLE" };
    let cases = vec![
        case("F18", "the name does not exist", "https://login.nowhere.invalid/oauth/token".to_owned()),
        case("F18", "a private address", at("https", &private)),
        case("F18", "the cloud's metadata", "https://169.254.169.254/oauth/token".to_owned()),
        case("F19", "nobody listens", at("http", &closed)),
        case("F19", "packets are swallowed", at("http", &swallowing)),
        case("F19", "TLS: expired", at("https", &expired)),
        case("F19", "TLS: another host", at("https", &misnamed)),
        case("F19", "TLS: unknown authority", at("https", &untrusted)),
        case("F19", "TLS: silence", at("https", &silent)),
        case("F20", "RST on accept", at("http", &resetting)),
        Case { heard: "a token", ..case("-", "TLS: all is well", at("https", &good)) },
    ];
    let profiles = vec![profile(&simulator), bare(&cases)];
    let world = World::with(simulator, profiles, |config| {
        let roots = config.keys.file.with_file_name("roots.pem");
        std::fs::write(&roots, ours.pem()).unwrap();
        config.egress.ca_file = Some(roots);
        config.refresh.refusal_pause = Duration::from_millis(50);
    });
    let broker = world.start().await;
    let caller = &broker.caller().await;
    world.tenant(caller).await;
    let mut rows = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        rows.push(play(&world, caller, index, case).await);
    }
    table("F18, F19: out of reach", HEADER, rows.iter().map(Row::cells));
    for (row, case) in rows.iter().zip(&cases) {
        assert_eq!(row.heard, case.heard, "{}", row.name);
        assert_eq!(row.presentations, usize::from(case.heard == "a token"), "{}", row.name);
    }
    assert_eq!(private.connections(), 0, "a private address was connected to");
    for host in [&expired, &misnamed, &untrusted, &silent, &resetting] {
        assert!(host.connections() > 0, "a row that proves nothing");
    }
    let verdict = world.finish(broker).await;
    assert_eq!(verdict.lost, 0, "{verdict:?}");
}

/// Every case's endpoint as an environment.
fn bare(cases: &[Case]) -> Profile {
    let environment = |case: &Case| provider::Environment {
        token_endpoint: case.endpoint.parse().unwrap(),
        api_base_uri: "https://api.nowhere.invalid".parse().unwrap(),
        token_info: None,
        revoke: None,
    };
    let environments: BTreeMap<_, _> =
        cases.iter().enumerate().map(|(index, case)| (format!("row-{index}"), environment(case))).collect();
    Profile { name: BARE.to_owned(), environments, client_credentials: false, ..Profile::procore() }
}

async fn play(world: &World, caller: &Caller, index: usize, case: &Case) -> Row {
    let id = format!("row-{index}");
    let mut app = world.app_at(caller, &world.simulator, &id, (BARE, &id), false).await;
    if case.heard != "a token" {
        app = app.unreachable();
    }
    let known = world.connection(caller, &app, &id).await;
    let heard = ask(caller, known.name()).await;
    let presentations = world.simulator.presentations_of(&known.refresh_token).len();
    for _ in 0..3 {
        // An operator's wish starts a flight of its own each time.
        let again = caller
            .refresh(known.name())
            .await
            .map_or_else(|status| reason(&status), |_| "a token".to_owned());
        let doubtful = case.name == "RST on accept" && again == "REFRESH_IN_DOUBT";
        assert!(doubtful || again == case.heard, "{}: {again}", case.name);
    }
    let standing = caller.standing(&app.name).await;
    let misnamed = case.name == "TLS: another host";
    assert_eq!(standing.breaker() == Breaker::Open, misnamed, "{}: {standing:?}", case.name);
    assert_eq!(standing.cause == "tls_name", misnamed, "{}: {standing:?}", case.name);
    let inspected = caller.inspect(known.name()).await;
    if case.heard != "a token" && case.name != "RST on accept" {
        assert!(inspected.attempts.is_empty(), "{}: a token was burnt", case.name);
    }
    Row { group: case.group, name: case.name.to_owned(), presentations, heard, state: inspected.grant_state }
}
