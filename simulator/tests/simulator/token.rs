//! The token endpoint's requests and answers (A6 to A10, A16, A31, and the isolation of A1).

use procore_simulator::{
    ClientRegistration, Environment, ExpiresIn, OauthStatus, Outcome, RefusalKind, TokenStyle, TokenTypeCase,
    fingerprint,
};
use serde_json::json;

use crate::fixture::{ENVIRONMENT, Fixture, post, post_text, raw};

#[tokio::test]
async fn three_encodings_and_a_trailing_slash_are_accepted() {
    let fixture = Fixture::new().await;
    let base = fixture.simulator.oauth_base(ENVIRONMENT);
    let (id, secret) = (&fixture.client.client_id, &fixture.client.client_secret);
    let members = |token: &str| {
        [
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token.to_owned()),
            ("client_id", id.clone()),
            ("client_secret", secret.clone()),
        ]
    };

    let body: serde_json::Map<_, _> = members(&fixture.pair.refresh_token)
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .into_iter()
        .collect();
    let body = serde_json::to_string(&body).unwrap();
    let first = raw(&base, &post_text("/oauth/token", "application/json", &body)).await.response();

    let fields = members(&first.member("refresh_token")).map(|(name, value)| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    });
    let mut body = fields.concat();
    body.push_str("--b--\r\n");
    let request = post_text("/oauth/token/", "multipart/form-data; boundary=b", &body);
    let second = raw(&base, &request).await.response();

    assert_eq!(fixture.refresh(&second.member("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn the_answer_is_as_documented() {
    let fixture = Fixture::new().await;
    let response = fixture.refresh(&fixture.pair.refresh_token).await;
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("pragma"), Some("no-cache"));
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
    let order: Vec<_> = ["access_token", "token_type", "expires_in", "refresh_token", "created_at"]
        .map(|member| response.body.find(&format!("\"{member}\":")).unwrap())
        .into();
    assert!(order.is_sorted(), "{}", response.body);
    assert_eq!(response.json()["expires_in"], 5400);
    assert_eq!(response.member("token_type"), "bearer");
    assert!(response.json()["created_at"].is_i64());
}

#[tokio::test]
async fn knobs_change_the_look_of_the_answer() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| {
        knobs.access_ttl = 900;
        knobs.expires_in = ExpiresIn::Text;
        knobs.token_type = TokenTypeCase::Capital;
        knobs.access_token_style = TokenStyle::Base64Url43;
        knobs.refresh_token_style = TokenStyle::Jwt;
        knobs.jwt_bytes = 2048;
    });
    let response = fixture.refresh(&fixture.pair.refresh_token).await;
    assert_eq!(response.json()["expires_in"], "900");
    assert_eq!(response.member("token_type"), "Bearer");
    assert_eq!(response.member("access_token").len(), 43);
    assert!((2040..=2060).contains(&response.member("refresh_token").len()));
    assert_eq!(fixture.pair.refresh_token.len(), 64);
}

#[tokio::test]
async fn issued_access_tokens_keep_their_life() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| knobs.access_ttl = 900);
    let short = fixture.refresh(&fixture.pair.refresh_token).await.member("access_token");
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 1000);
    assert_eq!(fixture.info(&fixture.pair.access_token).await.status, 200);
    assert_eq!(fixture.info(&short).await.status, 401);
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 5401);
    assert_eq!(fixture.info(&fixture.pair.access_token).await.status, 401);
    // Refresh tokens do not expire.
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 400 * 86_400);
    let live = fixture.simulator.live_pair(&fixture.pair.grant_id).unwrap();
    assert_eq!(fixture.refresh(&live.refresh_token).await.status, 200);
}

#[tokio::test]
async fn refusals_have_their_codes_and_statuses() {
    let fixture = Fixture::new().await;
    let credentials = fixture.credentials();
    let cases = [
        (format!("grant_type=password&{credentials}"), 400, "unsupported_grant_type"),
        (credentials.clone(), 400, "invalid_request"),
        (format!("grant_type=refresh_token&{credentials}"), 400, "invalid_request"),
        (format!("grant_type=refresh_token&refresh_token=made-up&{credentials}"), 400, "invalid_grant"),
        ("grant_type=client_credentials&client_id=x&client_secret=y".to_owned(), 401, "invalid_client"),
        (format!("grant_type=client_credentials&scope=public&{credentials}"), 400, "invalid_scope"),
    ];
    for (form, status, code) in &cases {
        let response = fixture.token(form).await;
        assert_eq!(response.error(), (*status, (*code).to_owned()), "{form}");
        assert!(response.header("www-authenticate").unwrap().contains(code));
    }
    fixture.simulator.knobs(|knobs| knobs.oauth_status = OauthStatus::All401);
    for (form, _, code) in &cases {
        assert_eq!(fixture.token(form).await.error(), (401, (*code).to_owned()), "{form}");
    }
}

#[tokio::test]
async fn basic_authentication_is_a_knob() {
    let fixture = Fixture::new().await;
    let pair = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        format!("{}:{}", fixture.client.client_id, fixture.client.client_secret),
    );
    let request = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\nauthorization: Basic {pair}\r\ncontent-length: 29\r\nconnection: close\r\n\r\ngrant_type=client_credentials"
    );
    let base = fixture.simulator.oauth_base(ENVIRONMENT);
    assert_eq!(raw(&base, &request).await.response().status, 401);
    fixture.simulator.knobs(|knobs| knobs.basic_auth = true);
    assert_eq!(raw(&base, &request).await.response().status, 200);
}

#[tokio::test]
async fn client_credentials_yield_parallel_tokens_without_refresh_token() {
    let fixture = Fixture::new().await;
    let form = format!("grant_type=client_credentials&{}", fixture.credentials());
    let (first, second) = (fixture.token(&form).await, fixture.token(&form).await);
    assert!(first.json().get("refresh_token").is_none());
    for token in [first.member("access_token"), second.member("access_token")] {
        let info = fixture.info(&token).await;
        assert_eq!(info.status, 200);
        assert!(info.json()["resource_owner_id"].is_null());
    }
    fixture.simulator.knobs(|knobs| knobs.client_credentials_revokes_previous = true);
    let third = fixture.token(&form).await;
    assert_eq!(fixture.info(&second.member("access_token")).await.status, 401);
    assert_eq!(fixture.info(&third.member("access_token")).await.status, 200);
    assert!(fixture.simulator.log().iter().all(|entry| entry.outcome == Outcome::Issued));
}

#[tokio::test]
async fn an_app_without_data_connector_has_no_client_credentials() {
    let fixture = Fixture::new().await;
    let registration = ClientRegistration { client_credentials: false, ..ClientRegistration::default() };
    let client = fixture.simulator.register_client(ENVIRONMENT, registration);
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        client.client_id, client.client_secret
    );
    assert_eq!(fixture.token(&form).await.error(), (400, "unauthorized_client".to_owned()));
}

#[tokio::test]
async fn environments_do_not_mix() {
    let fixture = Fixture::new().await;
    let form = fixture.refresh_form(&fixture.pair.refresh_token);
    for (environment, client_known) in
        [(Environment::Sandbox, false), (Environment::Monthly, true), (Environment::Federal, false)]
    {
        let base = fixture.simulator.oauth_base(environment);
        assert_eq!(post(&base, "/oauth/token", &form).await.response().error().1, "invalid_grant");
        let form = format!("grant_type=client_credentials&{}", fixture.credentials());
        let status = post(&base, "/oauth/token", &form).await.response().status;
        assert_eq!(status == 200, client_known, "{environment}");
    }
    let foreign = &fixture.simulator.presentations_of(&fixture.pair.refresh_token)[0];
    assert!(!foreign.known);
    assert_eq!(foreign.environment, Environment::Sandbox);
    // Strangers cannot consume the token either.
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
}

#[tokio::test]
async fn oauth_is_absent_from_the_api_host_unless_aliased() {
    let fixture = Fixture::new().await;
    let form = fixture.refresh_form(&fixture.pair.refresh_token);
    let base = fixture.simulator.api_base(ENVIRONMENT);
    let refused = post(&base, "/oauth/token", &form).await.response();
    assert_ne!(refused.status, 200);
    assert!(fixture.simulator.log().is_empty());
    fixture.simulator.knobs(|knobs| knobs.oauth_on_api_host = true);
    assert_eq!(post(&base, "/oauth/token", &form).await.response().status, 200);
}

#[tokio::test]
async fn a_throttled_client_is_told_429() {
    let fixture = Fixture::new().await;
    fixture.simulator.knobs(|knobs| {
        knobs.token_requests_per_10s = Some(1);
        knobs.consume_on_failed_refresh.clear();
    });
    let next = fixture.refresh(&fixture.pair.refresh_token).await.member("refresh_token");
    let throttled = fixture.refresh(&next).await;
    assert_eq!((throttled.status, throttled.header("retry-after")), (429, Some("10")));
    let log = fixture.simulator.log();
    assert_eq!(log[1].outcome, Outcome::Refused(RefusalKind::RateLimited));
    fixture.simulator.knobs(|knobs| knobs.clock_skew = 11);
    assert_eq!(fixture.refresh(&next).await.status, 200);
}

#[tokio::test]
async fn equal_seeds_mint_equal_tokens() {
    let (one, other) = (Fixture::new().await, Fixture::new().await);
    assert_eq!(one.pair.refresh_token, other.pair.refresh_token);
    assert_eq!(one.pair.refresh_fingerprint, fingerprint(&one.pair.refresh_token));
}
