//! Each fault does what it says, as a raw TCP client sees it (A13).

use std::time::Duration;

use procore_simulator::{
    Cut, Endpoint, Fault, FaultKind, Outcome, Phase, RetryHint, Target, TornEnd, fingerprint,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::{ENVIRONMENT, Fixture, Raw, read};

/// What a refresh meets under a fault.
async fn refresh_under(fault: Fault) -> (Fixture, Raw) {
    let fixture = Fixture::new().await;
    fixture.simulator.inject(fault);
    let raw = fixture.token_raw(&fixture.refresh_form(&fixture.pair.refresh_token)).await;
    (fixture, raw)
}

fn live(fixture: &Fixture) -> String {
    fixture.simulator.live_pair(&fixture.pair.grant_id).unwrap().refresh_token
}

#[tokio::test]
async fn close_ends_in_order_and_without_an_answer() {
    let (fixture, raw) = refresh_under(Fault::new(FaultKind::Close)).await;
    assert!(raw.bytes.is_empty() && raw.end.is_ok());
    assert_ne!(live(&fixture), fixture.pair.refresh_token);
}

#[tokio::test]
async fn on_connect_nothing_is_read() {
    let (fixture, raw) = refresh_under(Fault::new(FaultKind::Close).at(Phase::OnConnect)).await;
    assert!(raw.bytes.is_empty());
    assert!(fixture.simulator.log().is_empty());
    assert_eq!(live(&fixture), fixture.pair.refresh_token);
}

#[tokio::test]
async fn hang_is_silent_until_the_client_leaves() {
    let fixture = Fixture::new().await;
    fixture.simulator.inject(Fault::new(FaultKind::Hang(None)));
    let form = fixture.refresh_form(&fixture.pair.refresh_token);
    let mut request = std::pin::pin!(fixture.token_raw(&form));
    tokio::select! {
        _ = &mut request => panic!("a hanging request was answered"),
        () = fixture.simulator.wait_for_presentations(1) => {}
    }
    let more = tokio::time::timeout(Duration::from_millis(50), request).await;
    assert!(more.is_err(), "nothing comes");
    assert_eq!(fixture.simulator.log()[0].outcome, Outcome::Rotated);
}

#[tokio::test]
async fn hang_with_a_duration_answers_after_all() {
    let (fixture, raw) = refresh_under(Fault::new(FaultKind::Hang(Some(5)))).await;
    assert_eq!(raw.response().member("refresh_token"), live(&fixture));

    let fault = Fault::new(FaultKind::Hang(Some(5))).at(Phase::BeforeProcessing);
    let (fixture, raw) = refresh_under(fault).await;
    assert_eq!(raw.response().member("refresh_token"), live(&fixture));
    let log = fixture.simulator.log();
    assert_eq!(log.iter().map(|entry| entry.outcome).collect::<Vec<_>>(), [Outcome::Held, Outcome::Rotated]);
    assert_eq!(log[1].continues, Some(1));
    assert!(log[1].first_presentation);
    assert_eq!(fixture.simulator.presentations_of(&fixture.pair.refresh_token).len(), 1);
}

#[tokio::test]
async fn torn_answers_end_where_they_should() {
    let tear = |cut: Cut, end: TornEnd| Fault::new(FaultKind::TornBody { cut, end });
    let field = || "refresh_token".to_owned();

    let (fixture, raw) = refresh_under(tear(Cut::After(field()), TornEnd::Close)).await;
    assert!(raw.end.is_ok());
    assert!(raw.text().ends_with(&format!("\"refresh_token\":\"{}\"", live(&fixture))));

    let (fixture, raw) = refresh_under(tear(Cut::After(field()), TornEnd::Reset)).await;
    assert!(raw.is_reset());
    assert!(raw.text().ends_with(&format!("\"refresh_token\":\"{}\"", live(&fixture))));

    let (fixture, raw) = refresh_under(tear(Cut::Inside(field()), TornEnd::Close)).await;
    assert!(raw.text().ends_with(&live(&fixture)[..32]));

    let (_, raw) = refresh_under(tear(Cut::Before(field()), TornEnd::Close)).await;
    assert!(raw.text().ends_with("\"expires_in\":5400,"));

    let (_, raw) = refresh_under(tear(Cut::Bytes(3), TornEnd::Close)).await;
    assert!(raw.text().ends_with("\r\n\r\n{\"a"));
}

#[tokio::test]
async fn a_torn_answer_may_hang() {
    let fixture = Fixture::new().await;
    let kind = FaultKind::TornBody { cut: Cut::Bytes(1), end: TornEnd::Hang };
    fixture.simulator.inject(Fault::new(kind));
    let mut stream = post_refresh(&fixture).await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n{") {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await.is_err());
}

#[tokio::test]
async fn statuses_carry_hints_and_bodies() {
    let before = |kind: FaultKind| Fault::new(kind).at(Phase::BeforeProcessing);
    let (fixture, raw) = refresh_under(before(FaultKind::status(429, Some(RetryHint::Seconds(3))))).await;
    assert_eq!(raw.response().status, 429);
    assert_eq!(raw.response().header("retry-after"), Some("3"));
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);

    let (_, raw) = refresh_under(before(FaultKind::status(503, Some(RetryHint::Date(60))))).await;
    assert!(raw.response().header("retry-after").unwrap().ends_with("gmt"));

    let (_, raw) = refresh_under(before(FaultKind::status(429, Some(RetryHint::RateLimitReset(9))))).await;
    assert!(raw.response().header("x-rate-limit-reset").is_some());

    let body = "<h1>Bad Gateway</h1>".to_owned();
    let kind = FaultKind::Status { code: 502, headers: vec![("x-a".into(), "b".into())], body, retry: None };
    let (fixture, raw) = refresh_under(Fault::new(kind)).await;
    let response = raw.response();
    assert_eq!((response.status, response.body.as_str()), (502, "<h1>Bad Gateway</h1>"));
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.header("x-a"), Some("b"));
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.error().1, "invalid_grant");
}

#[tokio::test]
async fn a_redirect_names_its_target() {
    let kind = FaultKind::Redirect { code: 307, location: "http://127.0.0.1:9/elsewhere".to_owned() };
    let (_, raw) = refresh_under(Fault::new(kind).at(Phase::BeforeProcessing)).await;
    let response = raw.response();
    assert_eq!((response.status, response.header("location")), (307, Some("http://127.0.0.1:9/elsewhere")));
}

#[tokio::test]
async fn slow_answers_are_whole() {
    let kind = FaultKind::Slow { delay_ms: 1, drop_bytes: 100, pause_ms: 1 };
    let (fixture, raw) = refresh_under(Fault::new(kind)).await;
    assert_eq!(raw.response().member("refresh_token"), live(&fixture));
}

#[tokio::test]
async fn garbage_is_not_http() {
    let (_, raw) = refresh_under(Fault::new(FaultKind::Garbage)).await;
    assert!(!raw.bytes.is_empty() && !raw.bytes.starts_with(b"HTTP"));
}

#[tokio::test]
async fn huge_answers_are_as_long_as_asked() {
    let (_, raw) = refresh_under(Fault::new(FaultKind::Huge(3_000_000))).await;
    let response = raw.response();
    assert_eq!(response.body.len(), 3_000_000);
    assert_eq!(response.header("content-length"), Some("3000000"));
    assert!(response.json()["refresh_token"].is_string());
}

#[tokio::test]
async fn a_template_replaces_the_body() {
    let template = "\u{feff}{\"access_token\":\"{{access_token}}\",\"expires_in\":\"-1\",\"refresh_token\":\"\",\
                    \"refresh_token\":\"{{refresh_token}}\"}";
    let kind = FaultKind::Body { template: template.to_owned(), code: None, content_type: None };
    let (fixture, raw) = refresh_under(Fault::new(kind)).await;
    let body = raw.response().body;
    assert!(body.starts_with("\u{feff}{\"access_token\":\"ey"));
    assert!(body.contains(&format!("\"refresh_token\":\"\",\"refresh_token\":\"{}\"", live(&fixture))));

    let content_type = Some("text/html".to_owned());
    let kind = FaultKind::Body { template: "<p>{{body}}</p>".to_owned(), code: Some(201), content_type };
    let (_, raw) = refresh_under(Fault::new(kind)).await;
    let response = raw.response();
    assert_eq!((response.status, response.header("content-type")), (201, Some("text/html")));
    assert!(response.body.starts_with("<p>{\"access_token\""));
}

#[tokio::test]
async fn gzip_is_well_formed() {
    for declared in [true, false] {
        let (fixture, raw) = refresh_under(Fault::new(FaultKind::Gzip { declared })).await;
        let response = raw.response();
        assert_eq!(response.header("content-encoding").is_some(), declared);
        let start = raw.bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let gzip = &raw.bytes[start..];
        assert_eq!(gzip[..4], [0x1f, 0x8b, 8, 0]);
        // Ten bytes of header, five of one stored block, eight of trailer.
        let body: serde_json::Value = serde_json::from_slice(&gzip[15..gzip.len() - 8]).unwrap();
        assert_eq!(body["refresh_token"], live(&fixture).as_str());
    }
}

#[tokio::test]
async fn chunked_garbage_breaks_after_the_body() {
    let (fixture, raw) = refresh_under(Fault::new(FaultKind::ChunkedGarbage)).await;
    assert_eq!(raw.response().header("transfer-encoding"), Some("chunked"));
    assert!(raw.text().contains(&live(&fixture)));
    assert!(raw.text().ends_with("no such size\r\n"));
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_is_read() {
    let fixture = Fixture::new().await;
    let fault = Fault::new(FaultKind::status(429, Some(RetryHint::Seconds(1)))).at(Phase::BeforeBody);
    fixture.simulator.inject(fault);
    let base = fixture.simulator.oauth_base(ENVIRONMENT);
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream).await.response().status, 429);
    let log = fixture.simulator.log();
    assert_eq!((log.len(), log[0].outcome, log[0].known), (1, Outcome::Unread, false));
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
}

#[tokio::test]
async fn a_gateway_may_give_up_before_the_origin_is_done() {
    let (fixture, raw) =
        refresh_under(Fault::new(FaultKind::status(504, None)).at(Phase::ProcessLater(1))).await;
    assert_eq!(raw.response().status, 504);
    fixture.simulator.wait_for_log(|log| log.len() == 2).await;
    let log = fixture.simulator.log();
    assert_eq!((log[0].outcome, log[1].outcome), (Outcome::Held, Outcome::Rotated));
    assert_eq!(log[1].issued_fingerprint, Some(fingerprint(&live(&fixture))));
}

#[tokio::test]
async fn a_fault_may_consume_and_issue_nothing() {
    let (fixture, raw) = refresh_under(Fault::new(FaultKind::status(500, None)).at(Phase::ConsumeOnly)).await;
    assert_eq!(raw.response().status, 500);
    assert_eq!(fixture.simulator.log()[0].outcome, Outcome::Consumed);
    assert!(fixture.simulator.live_pair(&fixture.pair.grant_id).is_none());
}

#[tokio::test]
async fn targets_skip_times_and_grants_are_respected() {
    let fixture = Fixture::new().await;
    let other = fixture.simulator.grant(ENVIRONMENT, &fixture.client.client_id, 8, 42);
    let target = Target { skip: 1, ..Target::grant(&fixture.pair.grant_id) };
    let fault = Fault::new(FaultKind::status(500, None)).at(Phase::BeforeProcessing).on(target).times(2);
    fixture.simulator.inject(fault);
    assert_eq!(fixture.refresh(&other.refresh_token).await.status, 200);
    let mut token = fixture.refresh(&fixture.pair.refresh_token).await.member("refresh_token");
    for _ in 0..2 {
        assert_eq!(fixture.refresh(&token).await.status, 500);
    }
    assert!(fixture.simulator.faults().is_empty());
    token = fixture.refresh(&token).await.member("refresh_token");
    assert_eq!(token, live(&fixture));
}

#[tokio::test]
async fn other_endpoints_fail_as_well() {
    let fixture = Fixture::new().await;
    let target = Target::endpoint(Endpoint::Api);
    fixture.simulator.inject(Fault::new(FaultKind::status(503, None)).on(target));
    let me = fixture.get_api("/rest/v1.0/me", &fixture.pair.access_token, None).await;
    assert_eq!(me.status, 503);
    fixture.simulator.inject(Fault::new(FaultKind::status(503, None)).on(Target::endpoint(Endpoint::Token)));
    fixture.simulator.clear_faults();
    assert_eq!(fixture.refresh(&fixture.pair.refresh_token).await.status, 200);
    assert_eq!(fixture.simulator.log()[0].fault, None);
}

async fn post_refresh(fixture: &Fixture) -> TcpStream {
    let base = fixture.simulator.oauth_base(ENVIRONMENT);
    let form = fixture.refresh_form(&fixture.pair.refresh_token);
    let request = crate::fixture::post_text("/oauth/token", "application/x-www-form-urlencoded", &form);
    let mut stream = TcpStream::connect(base.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}
