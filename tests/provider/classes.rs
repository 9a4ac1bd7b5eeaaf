//! Tables 3.4 and 3.5 as data: an answer, what it means, what the breaker learns.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use token_broker::{
    model::Timestamp,
    provider::{
        Answer, Classified, Cut, MAX_LIFETIME, MAX_NOT_BEFORE, NotSent, Profile, Refusals, Response, Signal,
        TripCause, UnknownCause, classify,
    },
};

use Signal::{Answered, Proven, Trip, Unknown};

use crate::support::{NOW, response};

const PAIR: &str = r#"{"access_token":"A","token_type":"bearer","expires_in":5400,"refresh_token":"R"}"#;

/// What an answer means, in short.
fn short(classified: &Classified) -> String {
    match classified {
        Classified::Rotated(issued) => {
            let token = |token: &Option<secrecy::SecretString>| {
                token.as_ref().map_or("-".to_owned(), |token| token.expose_secret().to_owned())
            };
            format!("rotated {} {}", token(&issued.access_token), token(&issued.refresh_token))
        }
        Classified::AccessOnly(_) => "access only".to_owned(),
        Classified::NotSent { .. } => "not sent".to_owned(),
        Classified::Refused { error, .. } => format!("refused {}", error.as_deref().unwrap_or("-")),
        Classified::Rejected { .. } => "rejected".to_owned(),
        Classified::Unknown { .. } => "unknown".to_owned(),
    }
}

fn complete(response: Response) -> Classified {
    classify(&Profile::procore(), &Answer::Complete { response }, NOW)
}

fn torn(response: Response, why: Cut) -> Classified {
    classify(&Profile::procore(), &Answer::Torn { response, why }, NOW)
}

type Row<'a> = (&'a str, u16, &'a str, &'a str, Signal);

const HTML: &str = "<html><body>no</body></html>";

fn error(code: &str) -> String {
    format!(r#"{{"error":"{code}","error_description":"x"}}"#)
}

fn check(rows: &[Row<'_>]) {
    for (name, status, body, expected, breaker) in rows {
        let classified = complete(response(*status, &[], body));
        assert_eq!(short(&classified), *expected, "{name}: {classified:?}");
        assert_eq!(classified.breaker(), *breaker, "{name}");
    }
}

#[test]
fn complete_successes() {
    let bom = format!("\u{feff}{PAIR}");
    check(&[
        ("200, access and refresh", 200, PAIR, "rotated A R", Proven),
        ("201 is a success too", 201, PAIR, "rotated A R", Proven),
        ("byte order mark", 200, &bom, "rotated A R", Proven),
        (
            "duplicate keys: the last",
            200,
            r#"{"access_token":"x","access_token":"A","refresh_token":"R"}"#,
            "rotated A R",
            Proven,
        ),
        ("nested", 200, r#"{"data":{"access_token":"A","refresh_token":"R"}}"#, "rotated A R", Proven),
        (
            "tokens beside an error",
            200,
            r#"{"error":"x","access_token":"A","refresh_token":"R"}"#,
            "rotated A R",
            Proven,
        ),
        ("no refresh_token", 200, r#"{"access_token":"A"}"#, "access only", Proven),
        ("refresh_token empty", 200, r#"{"access_token":"A","refresh_token":""}"#, "access only", Proven),
        ("refresh_token blank", 200, r#"{"access_token":"A","refresh_token":"  "}"#, "access only", Proven),
        ("refresh_token null", 200, r#"{"access_token":"A","refresh_token":null}"#, "access only", Proven),
        ("refresh_token a number", 200, r#"{"access_token":"A","refresh_token":1}"#, "access only", Proven),
        ("refresh_token alone", 200, r#"{"refresh_token":"R"}"#, "rotated - R", Proven),
        ("access_token empty", 200, r#"{"access_token":"","refresh_token":"R"}"#, "rotated - R", Proven),
        (
            "malformed after the pair",
            200,
            r#"{"access_token":"A","refresh_token":"R",,}"#,
            "rotated A R",
            Proven,
        ),
        ("malformed, access alone", 200, r#"{"access_token":"A","#, "unknown", Unknown),
        ("200 with invalid_grant", 200, &error("invalid_grant"), "rejected", Answered),
        ("200 with a refusal", 200, &error("slow_down"), "refused slow_down", Answered),
        (
            "200 with invalid_client",
            200,
            &error("invalid_client"),
            "refused invalid_client",
            Trip(TripCause::InvalidClient),
        ),
        ("200 with another error", 200, &error("bad_refresh_token"), "unknown", Unknown),
        ("200 empty", 200, "", "unknown", Unknown),
        ("200 HTML", 200, HTML, "unknown", Unknown),
        (
            "200 HTML around JSON",
            200,
            r#"<script>{"access_token":"A","refresh_token":"R"}</script>"#,
            "unknown",
            Unknown,
        ),
        ("200 gzip", 200, "\u{1f}\u{8b}\u{8}\0\0", "unknown", Unknown),
        ("200 wrong type", 200, r#"["access_token","refresh_token"]"#, "unknown", Unknown),
        ("200 without tokens", 200, "{}", "unknown", Unknown),
        ("204", 204, "", "unknown", Unknown),
    ]);
}

#[test]
fn complete_client_errors() {
    check(&[
        ("400 invalid_grant", 400, &error("invalid_grant"), "rejected", Answered),
        ("401 invalid_grant", 401, &error("invalid_grant"), "rejected", Answered),
        (
            "400 with an echo of the request",
            400,
            r#"{"error":"invalid_grant","refresh_token":"OLD"}"#,
            "rejected",
            Answered,
        ),
        (
            "401 invalid_client",
            401,
            &error("invalid_client"),
            "refused invalid_client",
            Trip(TripCause::InvalidClient),
        ),
        (
            "400 invalid_client",
            400,
            &error("invalid_client"),
            "refused invalid_client",
            Trip(TripCause::InvalidClient),
        ),
        (
            "400 unauthorized_client",
            400,
            &error("unauthorized_client"),
            "refused unauthorized_client",
            Trip(TripCause::UnauthorizedClient),
        ),
        ("400 invalid_request", 400, &error("invalid_request"), "refused invalid_request", Answered),
        ("400 invalid_scope", 400, &error("invalid_scope"), "refused invalid_scope", Answered),
        (
            "400 unsupported_grant_type",
            400,
            &error("unsupported_grant_type"),
            "refused unsupported_grant_type",
            Answered,
        ),
        (
            "400 temporarily_unavailable",
            400,
            &error("temporarily_unavailable"),
            "refused temporarily_unavailable",
            Answered,
        ),
        ("400 slow_down", 400, &error("slow_down"), "refused slow_down", Answered),
        ("400 unlisted", 400, &error("access_denied"), "unknown", Unknown),
        ("403 JSON without a code", 403, r#"{"message":"Forbidden"}"#, "unknown", Unknown),
        ("403 HTML", 403, HTML, "unknown", Trip(TripCause::NotJson)),
        ("404 HTML", 404, HTML, "unknown", Trip(TripCause::NotJson)),
        ("405 empty", 405, "", "unknown", Trip(TripCause::NotJson)),
        ("408", 408, "", "unknown", Trip(TripCause::NotJson)),
        ("410 text", 410, "gone", "unknown", Trip(TripCause::NotJson)),
        ("425 JSON", 425, "{}", "unknown", Unknown),
        ("400 cut JSON", 400, r#"{"error":"invalid_grant"#, "unknown", Trip(TripCause::NotJson)),
        ("429", 429, "", "refused -", Signal::None),
        ("429 HTML", 429, HTML, "refused -", Signal::None),
        ("429 slow_down", 429, &error("slow_down"), "refused slow_down", Answered),
    ]);
}

#[test]
fn complete_answers_of_other_kinds() {
    check(&[
        ("301", 301, "", "unknown", Trip(TripCause::Redirect)),
        ("302", 302, HTML, "unknown", Trip(TripCause::Redirect)),
        ("307", 307, "", "unknown", Trip(TripCause::Redirect)),
        ("308", 308, "", "unknown", Trip(TripCause::Redirect)),
        ("302 with an error", 302, &error("invalid_grant"), "unknown", Trip(TripCause::Redirect)),
        ("500", 500, HTML, "unknown", Unknown),
        ("500 invalid_grant", 500, &error("invalid_grant"), "unknown", Unknown),
        ("502", 502, HTML, "unknown", Unknown),
        ("503", 503, "", "unknown", Unknown),
        ("503 temporarily_unavailable", 503, &error("temporarily_unavailable"), "unknown", Unknown),
        ("504", 504, "", "unknown", Unknown),
        ("101", 101, "", "unknown", Unknown),
        ("999", 999, "", "unknown", Unknown),
    ]);
}

#[test]
fn a_gateways_retry_after_makes_no_refusal() {
    let classified = complete(response(503, &[("retry-after", "5")], ""));
    assert!(matches!(classified, Classified::Unknown { why: UnknownCause::Server(503) }), "{classified:?}");
}

#[test]
fn torn_answers() {
    let part = |status, body: &str| torn(response(status, &[], body), Cut::Closed);
    for (name, classified, expected) in [
        ("whole object", part(200, PAIR), "rotated A R"),
        ("after the refresh token", part(200, &PAIR[..PAIR.len() - 1]), "rotated A R"),
        ("within the refresh token", part(200, &PAIR[..PAIR.len() - 2]), "unknown"),
        (
            "after the refresh token, access to come",
            part(200, r#"{"refresh_token":"R","access_tok"#),
            "rotated - R",
        ),
        ("access alone", part(200, r#"{"access_token":"A","ex"#), "unknown"),
        ("a whole object without a refresh token", part(200, r#"{"access_token":"A"}"#), "access only"),
        (
            "nested, and who knows of what",
            part(200, r#"{"user":{"access_token":"A","refresh_token":"R"},"#),
            "unknown",
        ),
        ("empty", part(200, ""), "unknown"),
        ("error", part(400, r#"{"error":"invalid_grant"}"#), "unknown"),
        ("429: the head says it", part(429, "{"), "refused -"),
        ("302", part(302, ""), "unknown"),
        ("503", part(503, ""), "unknown"),
    ] {
        assert_eq!(short(&classified), expected, "{name}: {classified:?}");
    }
}

#[test]
fn answers_that_never_came() {
    let profile = Profile::procore();
    let silent = classify(&profile, &Answer::Silent { why: Cut::TimedOut }, NOW);
    assert!(matches!(silent, Classified::Unknown { why: UnknownCause::Silent(Cut::TimedOut) }));
    assert_eq!(silent.breaker(), Signal::Unknown);
    let not_sent = classify(&profile, &Answer::NotSent { why: NotSent::Deadline }, NOW);
    assert!(matches!(not_sent, Classified::NotSent { why: NotSent::Deadline }));
    assert_eq!(not_sent.breaker(), Signal::None);
}

#[test]
fn answers_to_a_token_that_was_not_sent() {
    let early = |status, body: &str| {
        short(&complete(Response { handed: false, ..response(status, &[("retry-after", "5")], body) }))
    };
    assert_eq!(early(429, ""), "refused -");
    assert_eq!(early(401, r#"{"error":"invalid_client"}"#), "refused invalid_client");
    assert_eq!(early(400, r#"{"error":"invalid_grant"}"#), "not sent");
    assert_eq!(early(502, ""), "not sent");
    assert_eq!(early(200, PAIR), "rotated A R", "whatever it is, it is not thrown away");
}

#[test]
fn refusals_are_the_profiles() {
    let refusals = Refusals { errors: ["busy".to_owned()].into(), too_many_requests: false };
    let profile = Profile { refusals, ..Profile::procore() };
    let class = |status, body: &str| {
        classify(&profile, &Answer::Complete { response: response(status, &[], body) }, NOW)
    };
    assert_eq!(short(&class(400, r#"{"error":"busy"}"#)), "refused busy");
    assert_eq!(short(&class(429, "{}")), "unknown");
    let unlisted = class(401, r#"{"error":"invalid_client"}"#);
    assert_eq!(short(&unlisted), "unknown");
    assert_eq!(unlisted.breaker(), Signal::Trip(TripCause::InvalidClient), "listed or not");
}

#[test]
fn a_code_that_does_not_look_like_one_is_not_repeated() {
    for error in ["canary-refresh-token", "ABC", "", &"a".repeat(41)] {
        let classified = complete(response(400, &[], format!(r#"{{"error":"{error}"}}"#)));
        let Classified::Unknown { why } = &classified else { panic!("{classified:?}") };
        assert_eq!(*why, UnknownCause::Unlisted { status: 400, error: None });
    }
}

// === what is issued ===

fn lifetime(expires_in: &str) -> Duration {
    let body = format!(r#"{{"access_token":"A","refresh_token":"R"{expires_in}}}"#);
    let Classified::Rotated(issued) = complete(response(200, &[], body)) else { panic!("{expires_in}") };
    issued.expires_at.since(NOW)
}

#[test]
fn expires_in() {
    let default = Profile::procore().default_expires_in();
    for (text, expected) in [
        ("", default),
        (r#","expires_in":5400"#, Duration::from_mins(90)),
        (r#","expires_in":"5400""#, Duration::from_mins(90)),
        (r#","expires_in":" 900 ""#, Duration::from_mins(15)),
        (r#","expires_in":5400.9"#, Duration::from_mins(90)),
        (r#","expires_in":0"#, Duration::ZERO),
        (r#","expires_in":-1"#, Duration::ZERO),
        (r#","expires_in":"-1""#, Duration::ZERO),
        (r#","expires_in":18446744073709551615"#, MAX_LIFETIME),
        (r#","expires_in":1e300"#, MAX_LIFETIME),
        (r#","expires_in":1e400"#, default),
        (r#","expires_in":"inf""#, MAX_LIFETIME),
        (r#","expires_in":"NaN""#, default),
        (r#","expires_in":null"#, default),
        (r#","expires_in":"soon""#, default),
        (r#","expires_in":[5400]"#, default),
    ] {
        assert_eq!(lifetime(text), expected, "{text}");
    }
}

#[test]
fn a_slow_answers_token_is_as_old_as_its_request() {
    let took = Duration::from_secs(119);
    let Classified::Rotated(issued) = complete(Response { took, ..response(200, &[], PAIR) }) else {
        panic!()
    };
    assert_eq!(issued.issued_at, NOW.minus(took));
    assert_eq!(issued.expires_at, NOW.minus(took).plus(Duration::from_mins(90)));
}

#[test]
fn token_types_and_scopes() {
    for (members, kind, scopes) in [
        ("", "Bearer", &[][..]),
        (r#","token_type":"bearer","scope":"a  b""#, "Bearer", &["a", "b"]),
        (r#","token_type":"BEARER","scope":["a","b",1]"#, "Bearer", &["a", "b"]),
        (r#","token_type":"DPoP","scope":1"#, "DPoP", &[]),
        (r#","token_type":7"#, "Bearer", &[]),
    ] {
        let body = format!(r#"{{"access_token":"A"{members}}}"#);
        let Classified::AccessOnly(issued) = complete(response(200, &[], body)) else { panic!("{members}") };
        assert_eq!(
            (issued.token_type.as_str(), issued.scopes.as_slice()),
            (kind, scopes.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().as_slice())
        );
    }
}

#[test]
fn oversize_tokens_are_kept() {
    let long = "x".repeat(300 * 1024);
    let body = format!(r#"{{"access_token":"{long}","refresh_token":"{long}"}}"#);
    let Classified::Rotated(issued) = complete(response(200, &[], body)) else { panic!() };
    assert_eq!(issued.refresh_token.unwrap().expose_secret().len(), long.len());
}

// === when to ask again ===

fn not_before(headers: &[(&'static str, &str)]) -> Option<Timestamp> {
    match complete(response(429, headers, "")) {
        Classified::Refused { not_before, .. } => not_before,
        other => panic!("{other:?}"),
    }
}

#[test]
fn waits_that_providers_ask_for() {
    // 1 800 000 000 is Fri, 15 Jan 2027 08:00:00 GMT.
    let after = |seconds| Some(NOW.plus(Duration::from_secs(seconds)));
    let longest = Some(NOW.plus(MAX_NOT_BEFORE));
    for (headers, expected) in [
        (&[][..], None),
        (&[("retry-after", "7")], after(7)),
        (&[("retry-after", "0")], None),
        (&[("retry-after", "Fri, 15 Jan 2027 08:00:30 GMT")], after(30)),
        (&[("retry-after", "Fri, 15 Jan 2027 07:59:30 GMT")], None),
        (&[("retry-after", "Fri, 15 Jan 9999 08:00:30 GMT")], longest),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "-7")], None),
        (&[("retry-after", "86400")], longest),
        (&[("retry-after", "99999999999999999999999999")], longest),
        (&[("x-rate-limit-reset", "1800000060")], after(60)),
        (&[("x-rate-limit-reset", "1700000000")], None),
        (&[("x-rate-limit-reset", "18446744073709551615")], longest),
        (&[("retry-after", "7"), ("x-rate-limit-reset", "1800000060")], after(60)),
        (&[("retry-after", "90"), ("x-rate-limit-reset", "1800000060")], after(90)),
        (&[("retry-after", "7"), ("retry-after", "9")], after(9)),
    ] {
        assert_eq!(not_before(headers), expected, "{headers:?}");
    }
}
