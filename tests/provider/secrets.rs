//! No public type shows a secret, whatever a hostile server puts where.

use std::{fmt::Debug, time::Duration};

use secrecy::SecretString;
use token_broker::{
    clock::Clock,
    provider::{Answer, Cut, EgressSettings, OneShot, Profile, Proxy, Response, TokenRequest, classify},
};
use zeroize::Zeroizing;

use crate::support::{NOW, Server, client, connect, egress, request, response, settings};

fn silent(value: &impl Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains("99, 97, 110, 97, 114, 121"), "bytes of it: {text}");
    }
}

#[test]
fn requests() {
    silent(&client());
    silent(&request());
    silent(&TokenRequest::client_credentials(&Profile::procore(), &client()));
    let body = Zeroizing::new(b"refresh_token=canary".to_vec());
    silent(&OneShot::new(body, Duration::MAX, Clock::System));
}

#[test]
fn answers_and_what_they_mean() {
    let echoes = [
        r#"{"access_token":"canary","refresh_token":"canary","token_type":"canary","scope":"canary"}"#,
        r#"{"access_token":"canary"}"#,
        r#"{"error":"canary-x"}"#,
        r#"{"error":"invalid_grant","error_description":"canary"}"#,
        r#"{"error":"invalid_client","error_description":"canary"}"#,
        "<html>canary</html>",
    ];
    for body in echoes {
        for status in [200, 302, 400, 429, 500] {
            let response =
                || -> Response { response(status, &[("location", "canary"), ("x-echo", "canary")], body) };
            silent(&response().body);
            for answer in [
                Answer::Complete { response: response() },
                Answer::Torn { response: response(), why: Cut::Closed },
            ] {
                silent(&answer);
                silent(&classify(&Profile::procore(), &answer, NOW));
            }
        }
    }
}

#[tokio::test]
async fn connections_and_settings() {
    let server = Server::answering("").await;
    silent(&connect(&server).await);
    let url = "http://proxy.test:3128".parse().unwrap();
    let proxy = Some(Proxy { url, credentials: Some(SecretString::from("user:canary")), ca: vec![] });
    let settings = EgressSettings { proxy, ..settings() };
    silent(&settings);
    silent(&egress(settings));
    let url = "https://user:canary@provider.test/".parse().unwrap();
    let error = egress(EgressSettings::default()).connect(&url).await.unwrap_err();
    silent(&error);
    assert!(!error.to_string().contains("canary"));
}
