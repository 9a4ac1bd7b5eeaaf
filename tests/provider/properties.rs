//! Whatever arrives: no panic, and no token that was not sent.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use token_broker::provider::{Answer, Classified, Cut, Issued, Profile, Response, classify};

use crate::support::{NOW, response};

fn headers() -> impl Strategy<Value = Vec<(HeaderName, HeaderValue)>> {
    let name = prop_oneof![Just("retry-after"), Just("x-rate-limit-reset"), Just("content-type")];
    let text = prop_oneof![
        "[0-9]{1,30}".boxed(),
        "[ -~]{0,40}".boxed(),
        Just("Fri, 15 Jan 2027 08:00:30 GMT".to_owned()).boxed()
    ];
    let value = text.prop_filter_map("a header value", |text| HeaderValue::from_str(&text).ok());
    proptest::collection::vec((name.prop_map(HeaderName::from_static), value), 0..4)
}

/// Bytes, JSON-like bytes, and JSON.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let jsonish = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        ":",
        ",",
        "\\",
        "\\u",
        "d800",
        "null",
        "-1",
        "1e999",
        "\"access_token\"",
        "\"refresh_token\"",
        "\"expires_in\"",
        "\"error\"",
        "\"invalid_grant\"",
        "\u{feff}",
        " ",
        "é",
    ]);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(jsonish, 0..60).prop_map(|parts| parts.concat().into_bytes()),
    ]
}

/// A valid answer: the members that matter among others, in any order.
fn valid() -> impl Strategy<Value = (Map<String, Value>, Vec<String>)> {
    // Quotes and backslashes are where a reader goes wrong.
    let token = || prop_oneof![r#"["\\/u{}:, a-z]{0,20}x"#, "\\PC{0,30}x"];
    let tokens = (token(), token(), 0..100_000_000_u32);
    let noise = proptest::collection::vec(("[a-z]{1,8}", "\\PC{0,20}"), 0..4);
    (tokens, noise, any::<bool>()).prop_flat_map(|((access, refresh, expires_in), noise, nest)| {
        let mut members = Map::new();
        for (name, value) in noise {
            let decoy = json!({"refresh_token": value, "list": [value, {"access_token": value}]});
            members.insert(format!("z{name}"), if nest { decoy } else { value.into() });
        }
        members.insert("access_token".to_owned(), access.into());
        members.insert("refresh_token".to_owned(), refresh.into());
        members.insert("expires_in".to_owned(), expires_in.into());
        let names: Vec<String> = members.keys().cloned().collect();
        (Just(members), Just(names).prop_shuffle())
    })
}

fn text(members: &Map<String, Value>, order: &[String]) -> String {
    let members: Vec<_> =
        order.iter().map(|name| format!("{}: {}", json!(name), members[name.as_str()])).collect();
    format!("{{{}}}", members.join(", "))
}

fn check(issued: &Issued, members: &Map<String, Value>) -> Result<(), TestCaseError> {
    let found = [("access_token", &issued.access_token), ("refresh_token", &issued.refresh_token)];
    for (name, token) in found {
        if let Some(token) = token {
            prop_assert_eq!(token.expose_secret(), members[name].as_str().unwrap(), "{}", name);
        }
    }
    let exact = Duration::from_secs(members["expires_in"].as_u64().unwrap());
    let lifetime = issued.expires_at.since(NOW);
    prop_assert!(lifetime == exact || lifetime == Profile::procore().default_expires_in(), "{lifetime:?}");
    Ok(())
}

proptest! {
    #[test]
    fn nothing_that_arrives_makes_it_panic(
        status in 100_u16..1000,
        headers in headers(),
        body in body(),
        handed: bool,
        torn: bool,
    ) {
        let mut response = Response { handed, ..response(status, &[], body) };
        response.headers.extend(headers);
        let answer = if torn { Answer::Torn { response, why: Cut::Closed } } else { Answer::Complete { response } };
        let classified = classify(&Profile::procore(), &answer, NOW);
        let _ = classified.breaker();
        if let Classified::Rotated(issued) | Classified::AccessOnly(issued) = classified {
            let tokens = [issued.access_token, issued.refresh_token];
            prop_assert!(tokens.iter().flatten().count() > 0);
            prop_assert!(tokens.iter().flatten().all(|token| !token.expose_secret().is_empty()));
        }
    }

}

/// Where the text of a member ends.
fn end_of(name: &str, members: &Map<String, Value>, whole: &str) -> usize {
    let member = format!("{}: {}", json!(name), members[name]);
    whole.find(&member).unwrap() + member.len()
}

proptest! {
    // Each case tries every prefix.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_prefix_yields_the_exact_token_or_none((members, order) in valid()) {
        let whole = text(&members, &order);
        let [access_end, refresh_end] = ["access_token", "refresh_token"].map(|name| end_of(name, &members, &whole));
        for end in 0..=whole.len() {
            // Both cut off and, as some servers do it, ended as if it were all.
            let part = || response(200, &[], &whole.as_bytes()[..end]);
            let torn = Answer::Torn { response: part(), why: Cut::Closed };
            for answer in [torn, Answer::Complete { response: part() }] {
                match classify(&Profile::procore(), &answer, NOW) {
                    Classified::Rotated(issued) => {
                        prop_assert!(end >= refresh_end);
                        prop_assert_eq!(issued.access_token.is_some(), end >= access_end);
                        check(&issued, &members)?;
                    }
                    Classified::Unknown { .. } => prop_assert!(end < refresh_end, "lost at {}", end),
                    other => return Err(TestCaseError::fail(format!("{other:?}"))),
                }
            }
        }
    }
}
