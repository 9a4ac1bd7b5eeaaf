//! Answers that no provider should give: what the caller sees, and that nothing is lost that could be kept.

use procore_simulator::{Cut, Fault, FaultKind, Phase, RetryHint, Simulator, Target, TornEnd};
use token_broker_proto::v1::{
    GetAccessTokenResponse,
    advice::Cause,
    connection::{GrantType, State},
};
use tonic::Status;

use crate::{
    refusal::reason,
    world::{World, eventually, seconds_from_now, soon},
};

/// What becomes of it.
enum End {
    /// A token whose life is so many seconds, and a refresh token for the next one.
    Kept(i64),
    /// A last token: there will be no other before a person acts.
    Last,
    /// Nobody knows; never again.
    Doubt,
    /// The provider said no, for good.
    Dead,
    /// No token yet, and a refresh token with which one is had.
    Again,
    /// Not now; the refresh token is as good as before.
    Later(&'static str),
}

const DAY: i64 = 86_400;
const ACCESS: &str = r#""access_token":"{{access_token}}""#;
const REFRESH: &str = r#""refresh_token":"{{refresh_token}}""#;

#[tokio::test]
async fn with_tokens_and_a_life() {
    let lives = |text: &str| body(&format!(r#"{{{ACCESS},{REFRESH},"expires_in":{text}}}"#));
    play(vec![
        ("as text", lives(r#""5400""#), End::Kept(5400)),
        ("with a fraction", lives("5400.9"), End::Kept(5400)),
        ("that is over", lives("-1"), End::Kept(0)),
        ("of no time", lives("0"), End::Kept(0)),
        ("of ages", lives("1e18"), End::Kept(3650 * DAY)),
        ("that is a word", lives(r#""soon""#), End::Kept(900)),
        ("that is nothing", lives("null"), End::Kept(900)),
        ("that is missing", body(&format!("{{{ACCESS},{REFRESH}}}")), End::Kept(900)),
    ])
    .await;
}

#[tokio::test]
async fn with_tokens_in_them() {
    let object = |members: &[&str]| body(&format!("{{{}}}", members.join(",")));
    let decoys = [r#""access_token":"decoy""#, r#""refresh_token":"decoy""#, ACCESS, REFRESH];
    let created = FaultKind::Body {
        template: "{{body}}".to_owned(),
        code: Some(201),
        content_type: Some("text/html".to_owned()),
    };
    let torn = FaultKind::TornBody { cut: Cut::After("refresh_token".to_owned()), end: TornEnd::Reset };
    play(vec![
        ("names twice", object(&[ACCESS, REFRESH, ACCESS, REFRESH]), End::Kept(900)),
        ("decoys first", object(&decoys), End::Kept(900)),
        ("a byte order mark", body("\u{feff}{{body}}"), End::Kept(5400)),
        ("an envelope", body(r#"{"data":{{body}}}"#), End::Kept(5400)),
        ("an error beside them", object(&[ACCESS, REFRESH, r#""error":"invalid_grant""#]), End::Kept(900)),
        ("a gigabyte", FaultKind::Huge(1 << 30), End::Kept(5400)),
        ("another success", created, End::Kept(5400)),
        ("torn behind the pair", torn, End::Kept(5400)),
        ("chunks that end in garbage", FaultKind::ChunkedGarbage, End::Kept(5400)),
        ("an empty refresh token", object(&[ACCESS, r#""refresh_token":"""#]), End::Last),
        ("a blank refresh token", object(&[ACCESS, r#""refresh_token":" ""#]), End::Last),
        ("a refresh token of null", object(&[ACCESS, r#""refresh_token":null"#]), End::Last),
        ("no refresh token", object(&[ACCESS]), End::Last),
    ])
    .await;
}

#[tokio::test]
async fn with_a_refresh_token_alone() {
    let world = World::new().await;
    let lonely = body(&format!("{{{REFRESH}}}"));
    // The next one is had with it.
    case(&world, 0, "a lonely refresh token", lonely, Phase::AfterProcessing, End::Again).await;
}

#[tokio::test]
async fn without() {
    let elsewhere = Simulator::start(procore_simulator::Config::default()).await.unwrap();
    let redirect = |code| FaultKind::Redirect {
        code,
        location: format!("{}/oauth/token", elsewhere.oauth_base(crate::world::SANDBOX)),
    };
    let status = |code, body: &str| FaultKind::Status {
        code,
        headers: Vec::new(),
        body: body.to_owned(),
        retry: None,
    };
    let quoted = FaultKind::Body { template: "{{body}}".to_owned(), code: Some(500), content_type: None };
    let torn = FaultKind::TornBody { cut: Cut::Inside("refresh_token".to_owned()), end: TornEnd::Close };
    play(vec![
        ("a page", body("<html>Sign in</html>"), End::Doubt),
        ("a page that quotes tokens", body("<html>{{refresh_token}}</html>"), End::Doubt),
        ("nothing", body(""), End::Doubt),
        ("an empty object", body("{}"), End::Doubt),
        ("a list", body("[{{body}}]"), End::Doubt),
        ("moved for ever", redirect(301), End::Doubt),
        ("moved for now", redirect(307), End::Doubt),
        ("seen elsewhere", redirect(303), End::Doubt),
        ("compressed", FaultKind::Gzip { declared: true }, End::Doubt),
        ("compressed without a word", FaultKind::Gzip { declared: false }, End::Doubt),
        ("garbage", FaultKind::Garbage, End::Doubt),
        ("silence", FaultKind::Close, End::Doubt),
        ("torn within the refresh token", torn, End::Doubt),
        ("a failure that quotes tokens", quoted, End::Doubt),
        ("a broken gateway", status(502, "<html>Bad gateway</html>"), End::Doubt),
        ("a refusal nobody knows", status(400, r#"{"error":"no_such_error"}"#), End::Doubt),
        ("a forbidding page", status(403, "<html>Forbidden</html>"), End::Doubt),
        ("a dead grant", status(400, r#"{"error":"invalid_grant"}"#), End::Dead),
        ("a dead grant by another number", status(401, r#"{"error":"invalid_grant"}"#), End::Dead),
        ("a dead grant in a success", status(200, r#"{"error":"invalid_grant"}"#), End::Dead),
    ])
    .await;
    assert_eq!(elsewhere.log().len(), 0, "nobody follows a redirect");
}

#[tokio::test]
async fn that_came_before_anything_was_done() {
    let refused = |error: &str| FaultKind::Status {
        code: 400,
        headers: Vec::new(),
        body: format!(r#"{{"error":"{error}"}}"#),
        retry: None,
    };
    let world = World::new().await;
    for (index, (what, kind, reason)) in [
        ("a busy provider", FaultKind::status(429, None), "PROVIDER_RATE_LIMITED"),
        ("a busy page", FaultKind::status(429, Some(RetryHint::Seconds(1))), "PROVIDER_RATE_LIMITED"),
        ("a slow provider", refused("slow_down"), "PROVIDER_RATE_LIMITED"),
        ("a provider that is away", refused("temporarily_unavailable"), "PROVIDER_UNAVAILABLE"),
        ("a wrong secret", refused("invalid_client"), "OAUTH_CLIENT_REJECTED"),
        ("a wrong grant type", refused("unauthorized_client"), "OAUTH_CLIENT_REJECTED"),
    ]
    .into_iter()
    .enumerate()
    {
        case(&world, index, what, kind, Phase::BeforeProcessing, End::Later(reason)).await;
    }
}

fn body(template: &str) -> FaultKind {
    FaultKind::Body { template: template.to_owned(), code: None, content_type: None }
}

async fn play(cases: Vec<(&str, FaultKind, End)>) {
    let world = World::new().await;
    for (index, (what, kind, end)) in cases.into_iter().enumerate() {
        case(&world, index, what, kind, Phase::AfterProcessing, end).await;
    }
}

/// One answer, to a connection and an OAuth client of its own: nothing is learnt from the case before.
async fn case(world: &World, index: usize, what: &str, kind: FaultKind, phase: Phase, end: End) {
    let client = format!("tenants/acme/oauthClients/c{index}");
    let name = &format!("tenants/acme/connections/c{index}");
    world.oauth_client(&client, "procore", &[]).await;
    world.create(name, &client, GrantType::AuthorizationCode).await.unwrap();
    let first = world.authorise();
    world.import(name, &first.refresh_token).await.unwrap();
    world.simulator.inject(Fault::new(kind).at(phase).on(Target::grant(&first.grant_id)));
    let seen = soon(what, world.token(name)).await;
    let next = world.simulator.live_pair(&first.grant_id).map(|pair| pair.access_token);
    match end {
        End::Kept(life) => {
            let token = seen.unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
            assert_eq!((Some(&token.access_token), token.generation), (next.as_ref(), 2), "{what}");
            lives(what, &token, life);
            assert_eq!(world.refresh(name).await.unwrap().generation, 3, "{what}");
        }
        End::Last => {
            let token = seen.unwrap_or_else(|refused| panic!("{what}: {refused:?}"));
            assert_eq!((Some(&token.access_token), token.generation), (next.as_ref(), 2), "{what}");
            assert_eq!(token.advice.unwrap().cause(), Cause::ReauthorizationRequired, "{what}");
            ends(world, what, name, State::ReauthorizationRequired, "reauth_required").await;
        }
        End::Again => {
            assert_eq!(reason(seen), "REFRESH_IN_PROGRESS", "{what}");
            assert_eq!(world.connection(name).await.generation, 2, "{what}");
            assert_eq!(soon(what, world.token(name)).await.unwrap().generation, 3, "{what}");
        }
        End::Doubt => {
            refuses(world, what, name, seen, "REFRESH_IN_DOUBT").await;
            ends(world, what, name, State::InDoubt, "in_doubt").await;
        }
        End::Dead => {
            refuses(world, what, name, seen, "REAUTHORIZATION_REQUIRED").await;
            ends(world, what, name, State::ReauthorizationRequired, "reauth_required").await;
        }
        End::Later(expected) => {
            assert_eq!(reason(seen), expected, "{what}");
            assert_eq!(world.connection(name).await.state(), State::Active, "{what}");
            let token = eventually(what, async || world.token(name).await.ok()).await;
            assert_eq!(token.generation, 2, "{what}");
            assert_eq!(world.events(name).await, [""; 0], "{what}");
            assert_eq!(world.simulator.presentations_of(&first.refresh_token).len(), 2, "{what}");
            return;
        }
    }
    assert_eq!(world.simulator.presentations_of(&first.refresh_token).len(), 1, "{what}");
}

/// Within the seconds that this machine may have lost.
fn lives(what: &str, token: &GetAccessTokenResponse, life: i64) {
    let left = token.expire_time.unwrap().seconds - seconds_from_now(0).seconds;
    assert!((life - 120..=life).contains(&left), "{what}: {left} seconds");
}

async fn refuses(
    world: &World,
    what: &str,
    name: &str,
    seen: Result<GetAccessTokenResponse, Status>,
    expected: &str,
) {
    assert_eq!(reason(seen), expected, "{what}");
    assert_eq!(reason(world.token(name).await), expected, "{what}");
    assert_eq!(reason(world.refresh(name).await), expected, "{what}");
}

async fn ends(world: &World, what: &str, name: &str, state: State, event: &str) {
    assert_eq!(world.connection(name).await.state(), state, "{what}");
    assert_eq!(world.events(name).await, [event], "{what}");
}
