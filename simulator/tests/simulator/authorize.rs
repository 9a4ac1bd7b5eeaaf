//! Consent and codes (A3 to A5).

use procore_simulator::{OUT_OF_BAND, Outcome};

use crate::fixture::{CALLBACK, COMPANY, ENVIRONMENT, Fixture, Response, USER, post, raw};

async fn ask(fixture: &Fixture, extra: &str) -> Response {
    let client = &fixture.client.client_id;
    let path = format!("/oauth/authorize?response_type=code&client_id={client}&{extra}");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    raw(&fixture.simulator.oauth_base(ENVIRONMENT), &request).await.response()
}

async fn decide(fixture: &Fixture, decision: &str) -> Response {
    let client = &fixture.client.client_id;
    let form = format!(
        "response_type=code&client_id={client}&redirect_uri={CALLBACK}&state=s%26s&decision={decision}&user=9&company=44"
    );
    post(&fixture.simulator.oauth_base(ENVIRONMENT), "/oauth/authorize", &form).await.response()
}

fn exchange_form(fixture: &Fixture, code: &str, redirect_uri: &str) -> String {
    let credentials = fixture.credentials();
    format!("grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}&{credentials}")
}

/// The code in a redirect; case matters, so the lower-cased head will not do.
fn code_in(location: &str) -> String {
    location.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned()
}

#[tokio::test]
async fn consent_leads_to_a_code_that_works_once() {
    let fixture = Fixture::new().await;
    let page = ask(&fixture, &format!("redirect_uri={CALLBACK}")).await;
    assert!(page.status == 200 && page.body.contains("Allow") && page.body.contains("Deny"));

    let client = &fixture.client.client_id;
    let form = format!(
        "response_type=code&client_id={client}&redirect_uri={CALLBACK}&state=s%26s&decision=allow&user=9&company=44"
    );
    let answer = post(&fixture.simulator.oauth_base(ENVIRONMENT), "/oauth/authorize", &form).await.text();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?code=")) && location.ends_with("&state=s%26s"));

    let code = code_in(location);
    let form = exchange_form(&fixture, &code, CALLBACK);
    assert_eq!(fixture.token(&form).await.status, 200);
    assert_eq!(fixture.token(&form).await.error(), (400, "invalid_grant".to_owned()));
    let log = fixture.simulator.presentations_of(&code);
    assert_eq!(log[0].outcome, Outcome::Issued);
    let grant = fixture.simulator.grant_state(log[0].grant_id.as_deref().unwrap()).unwrap();
    assert_eq!((grant.user, grant.live_refresh_fingerprints.len()), (9, 1));
}

#[tokio::test]
async fn a_denial_and_a_scope_are_redirected() {
    let fixture = Fixture::new().await;
    let denied = decide(&fixture, "deny").await;
    let location = denied.header("location").unwrap();
    assert!(location.contains("error=access_denied") && location.ends_with("&state=s%26s"));
    let scoped = ask(&fixture, &format!("redirect_uri={CALLBACK}&scope=public")).await;
    assert!(scoped.header("location").unwrap().contains("error=invalid_scope"));
}

#[tokio::test]
async fn a_foreign_redirect_uri_is_never_redirected_to() {
    let fixture = Fixture::new().await;
    for uri in [format!("{CALLBACK}/"), "http://localhost".to_owned(), String::new()] {
        let page = ask(&fixture, &format!("redirect_uri={uri}")).await;
        assert_eq!((page.status, page.header("location")), (400, None));
        assert!(page.body.contains("The requested redirect uri is malformed or doesn't match"));
    }
}

#[tokio::test]
async fn loopback_addresses_may_use_any_port() {
    let fixture = Fixture::new().await;
    let registration = procore_simulator::ClientRegistration {
        client_id: Some(fixture.client.client_id.clone()),
        redirect_uris: vec!["http://127.0.0.1/back".to_owned()],
        ..Default::default()
    };
    fixture.simulator.register_client(ENVIRONMENT, registration);
    for (uri, status) in [
        ("http://127.0.0.1:5555/back", 200),
        ("http://127.0.0.1:5555/other", 400),
        ("http://127.0.0.1.evil.example/back", 400),
        ("http://localhost:5555/back", 400),
    ] {
        assert_eq!(ask(&fixture, &format!("redirect_uri={uri}")).await.status, status, "{uri}");
    }
}

#[tokio::test]
async fn consent_may_be_automatic_and_out_of_band() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| knobs.auto_approve = true);
    let shown = ask(&fixture, &format!("redirect_uri={OUT_OF_BAND}")).await;
    assert!(shown.header("location").unwrap().starts_with("/oauth/authorize/native?code="));
}

#[tokio::test]
async fn codes_expire_and_belong_to_their_redirect_uri() {
    let fixture = Fixture::new().await;
    let code =
        || fixture.simulator.authorize(ENVIRONMENT, &fixture.client.client_id, CALLBACK, (USER, COMPANY));
    let other = exchange_form(&fixture, &code(), "https://elsewhere.example/");
    assert_eq!(fixture.token(&other).await.error().1, "invalid_grant");
    let late = code();
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 601);
    assert_eq!(fixture.token(&exchange_form(&fixture, &late, CALLBACK)).await.error().1, "invalid_grant");
}

#[tokio::test]
async fn a_replayed_code_revokes_if_so_chosen() {
    for revokes in [false, true] {
        let fixture = Fixture::new().await;
        fixture.simulator.knobs(|knobs| knobs.code_replay_revokes = revokes);
        let client = &fixture.client.client_id;
        let code = fixture.simulator.authorize(ENVIRONMENT, client, CALLBACK, (USER, COMPANY));
        let form = exchange_form(&fixture, &code, CALLBACK);
        let issued = fixture.token(&form).await.member("refresh_token");
        assert_eq!(fixture.token(&form).await.status, 400);
        assert_eq!(fixture.refresh(&issued).await.status == 400, revokes);
    }
}
