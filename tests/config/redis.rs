//! `[redis]`.

use std::time::Duration;

use token_broker::config::Redis;

use crate::{keys, load, problems};

#[test]
fn redis_is_in_one_place_or_nowhere() {
    assert_eq!(load("", &[]).unwrap().redis, None);
    let url = "url = 'rediss://redis:6379/2'";
    let file = "url_file = 'redis.url'";
    let sentinel = "sentinel = { master = 'main', urls = ['redis://s:26379'] }";
    let cluster = "cluster = ['redis://[::1]:6379', 'redis://b:6379']";
    for (index, one) in [url, file, sentinel, cluster].into_iter().enumerate() {
        load(&format!("[redis]\n{one}"), &[]).unwrap();
        for other in [url, file, sentinel, cluster].into_iter().skip(index + 1) {
            assert_eq!(keys(&format!("[redis]\n{one}\n{other}")), ["redis"]);
        }
    }
    assert_eq!(keys("[redis]"), ["redis"]);
    let config = load("", &[("TOKEN_BROKER__REDIS__URL", "redis://r:1")]).unwrap();
    assert_eq!(config.redis, Some(Redis { url: Some("redis://r:1".to_owned()), ..Redis::default() }));
}

#[test]
fn a_url_has_no_secret_and_no_switch_and_is_not_shown() {
    for url in [
        "redis://:canary@r:1",
        "redis://canary@r:1",
        "rediss://r:1/#insecure",
        "redis://r:1?protocol=resp3",
        "redis://r:1/canary",
        "http://r:1",
        "unix:///canary",
        "r:1",
        "",
    ] {
        assert_eq!(keys(&format!("[redis]\nurl = '{url}'")), ["redis.url"], "{url}");
        assert_eq!(
            keys(&format!("[redis]\ncluster = ['redis://a:1', '{url}']"))[0],
            "redis.cluster[1]",
            "{url}"
        );
        let sentinel = format!("[redis]\nsentinel = {{ master = 'm', urls = ['{url}'] }}");
        assert_eq!(keys(&sentinel), ["redis.sentinel.urls[0]"], "{url}");
        assert!(problems(&sentinel, &[]).iter().all(|problem| !problem.contains("canary")));
    }
    assert_eq!(keys("[redis]\ncluster = ['redis://a:1', 'rediss://b:1']"), ["redis.cluster"]);
    assert_eq!(keys("[redis]\ncluster = ['redis://a:1/1']"), ["redis.cluster[0]"]);
}

#[test]
fn the_rest_of_redis() {
    for (setting, key) in [
        ("nonsense = 1", "redis.nonsense"),
        ("password = 'canary'", "redis.password"),
        ("client_cert_file = 'c.pem'", "redis.client_cert_file"),
        ("client_key_file = 'c.key'", "redis.client_cert_file"),
        ("prefix = ''", "redis.prefix"),
        ("prefix = '{all}'", "redis.prefix"),
        ("connect_timeout = '0s'", "redis.connect_timeout"),
        ("response_timeout = '0s'", "redis.response_timeout"),
        ("response_timeout = '4s'", "redis.lease_ttl"),
        ("lease_ttl = '0s'", "redis.lease_ttl"),
        ("escrow_for = '0s'", "redis.escrow_for"),
    ] {
        let found = problems(&format!("[redis]\nurl = 'redis://r:1'\n{setting}"), &[]);
        assert!(found.len() == 1 && found[0].starts_with(&format!("`{key}`")), "{setting}: {found:?}");
        assert!(!found[0].contains("canary"));
    }
    for (sentinel, key) in [
        ("{ master = '', urls = ['redis://s:1'] }", "redis.sentinel.master"),
        ("{ master = 'm', urls = [] }", "redis.sentinel.urls"),
        ("{ urls = ['redis://s:1'] }", "redis.sentinel.master"),
        ("{ master = 'm', urls = ['redis://s:1'], nonsense = 1 }", "redis.sentinel.nonsense"),
    ] {
        assert!(keys(&format!("[redis]\nsentinel = {sentinel}")).contains(&key.to_owned()), "{sentinel}");
    }
    let all = "[redis]\nurl = 'redis://r:1'\nuser = 'broker'\npassword_file = 'p'\nca_file = 'ca'\n\
               client_cert_file = 'c'\nclient_key_file = 'k'\nprefix = 'a-b_c.d:e'\nconnect_timeout = '2s'\n\
               response_timeout = '100ms'\nlease_ttl = '5s'\nescrow_for = '7d'\nwait_for_replicas = 1";
    let config = load(all, &[]).unwrap();
    assert_eq!(config.redis.as_ref().unwrap().escrow_for, Duration::from_hours(7 * 24));
    assert_eq!(load(&config.summary().unwrap(), &[]).unwrap(), config);
}
