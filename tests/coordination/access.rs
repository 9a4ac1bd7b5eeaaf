//! TLS and users.

use std::fs;

use redis::cmd;
use token_broker::{
    clock::Clock,
    config,
    coordination::{Coordination, State, Why},
};

use crate::support::{ENVIRONMENT, Redis, Tls, all_work, connection, guarded, patient, until};

const PASSWORD: &str = "canary-55c1/%:@";

fn replica(settings: &config::Redis) -> Coordination {
    Coordination::new(settings, ENVIRONMENT, Clock::System)
}

/// Why there is no connection, once one was tried.
async fn refusal(settings: &config::Redis) -> Why {
    let replica = replica(settings);
    until("it was tried", async || !matches!(replica.state(), State::Away { why: Why::Connecting, .. }))
        .await;
    match replica.state() {
        State::Away { why, .. } => why,
        State::Connected => panic!("it is let in"),
    }
}

#[tokio::test]
async fn tls_with_an_authority_of_its_own() {
    let tls = Tls::new();
    let server = Redis::with_tls(&tls, false).await;
    let url = Some(server.url());
    let settings = config::Redis { url, ca_file: Some(tls.path("ca.pem")), ..patient() };
    let replica = replica(&settings);
    guarded("it is let in", replica.connected()).await;
    all_work(&replica).await;

    let stranger = config::Redis { ca_file: Some(Tls::new().path("ca.pem")), ..settings.clone() };
    let why = refusal(&stranger).await;
    assert!(matches!(why, Why::File(..)), "its folder is gone: {why}");
    let other = Tls::new();
    for ca_file in [Some(other.path("ca.pem")), None] {
        let why = refusal(&config::Redis { ca_file, ..settings.clone() }).await;
        assert!(why.to_string().contains("certificate"), "{why}");
    }
    let plain = config::Redis { url: Some(server.url().replace("rediss:", "redis:")), ..settings };
    assert!(matches!(refusal(&plain).await, Why::Unreachable(_)));
}

#[tokio::test]
async fn tls_on_both_sides() {
    let tls = Tls::new();
    let server = Redis::with_tls(&tls, true).await;
    let url = Some(server.url());
    let anonymous = config::Redis { url, ca_file: Some(tls.path("ca.pem")), ..patient() };
    assert!(matches!(refusal(&anonymous).await, Why::Unreachable(_)));
    let known = config::Redis {
        client_cert_file: Some(tls.path("client.pem")),
        client_key_file: Some(tls.path("client.key")),
        ..anonymous
    };
    let replica = replica(&known);
    guarded("it is let in", replica.connected()).await;
    all_work(&replica).await;
}

#[tokio::test]
async fn a_user_with_the_least_that_is_needed() {
    let server = Redis::start().await;
    let rules = "on resetkeys ~token-broker:test:* resetchannels &token-broker:test:* -@all +@connection +get +set +del \
                 +pexpire +pexpireat +zadd +zrem +zcard +zscore +zrange +zrangebylex +zremrangebyscore +time +eval +publish \
                 +subscribe +info +wait";
    let mut user = cmd("ACL");
    user.arg("SETUSER").arg("broker").arg(format!(">{PASSWORD}"));
    for rule in rules.split_whitespace() {
        user.arg(rule);
    }
    let _: String = server.run(&user).await;
    let _: String = server.run(cmd("ACL").arg("SETUSER").arg("default").arg("resetpass")).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let by_file = config::Redis {
        url: Some(server.url()),
        user: Some("broker".to_owned()),
        password_file: Some(file.clone()),
        ..patient()
    };
    let in_url = folder.path().join("url");
    let encoded = PASSWORD.replace('%', "%25").replace('/', "%2F").replace(':', "%3A").replace('@', "%40");
    fs::write(&in_url, format!("redis://broker:{encoded}@127.0.0.1:{}/0\n", server.port())).unwrap();
    let by_url = config::Redis { url_file: Some(in_url), ..patient() };
    for settings in [&by_file, &by_url] {
        let replica = replica(settings);
        guarded("it is let in", replica.connected()).await;
        all_work(&replica).await;
        assert_eq!(replica.health().refused, None);
        assert_eq!(replica.health().persistent, None, "CONFIG is not among its commands");
        assert!(!format!("{replica:?}").contains("canary"));
    }

    fs::write(&file, "canary-wrong").unwrap();
    let replica = replica(&by_file);
    until("it is refused", async || matches!(replica.state(), State::Away { why: Why::Credentials, .. }))
        .await;
    let told = format!("{:?} {}", replica.health(), replica.witness(connection()).await.unwrap_err());
    assert!(told.contains("refuses the user or the password") && !told.contains("canary"), "{told}");
    // A password that was changed counts from the next connection on.
    fs::write(&file, PASSWORD).unwrap();
    guarded("it is let in", replica.connected()).await;
}

#[tokio::test]
async fn a_user_without_a_command_is_told() {
    let server = Redis::start().await;
    let _: String = server.run(cmd("ACL").arg("SETUSER").arg("default").arg("-get").arg("-eval")).await;
    let replica = replica(&config::Redis { url: Some(server.url()), ..patient() });
    guarded("it is let in", replica.connected()).await;
    assert!(replica.witness(connection()).await.is_err());
    assert_eq!(replica.health().refused, Some(Why::Refused("NOPERM".into())));
}

#[tokio::test]
async fn files_that_are_not_there_are_named() {
    let server = Redis::start().await;
    let absent = Some("/nonexistent/file".into());
    let base = config::Redis { url: Some(server.url()), ..patient() };
    for settings in [
        config::Redis { password_file: absent.clone(), ..base.clone() },
        config::Redis { ca_file: absent.clone(), ..base.clone() },
        config::Redis { url: None, url_file: absent, ..base },
    ] {
        assert_eq!(refusal(&settings).await.to_string(), "the file `/nonexistent/file` is absent");
    }
}

#[tokio::test]
async fn a_url_in_a_file_cannot_ask_for_less_than_verified_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    for url in ["rediss://:canary@127.0.0.1:6379/#insecure", "unix:///canary", "canary"] {
        fs::write(&file, url).unwrap();
        let why = refusal(&config::Redis { url_file: Some(file.clone()), ..patient() }).await;
        assert_eq!(why.to_string(), "it cannot be reached: not a server's URL");
    }
}
