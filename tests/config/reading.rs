//! From file and variables to settings; what is wrong is named, and never shown.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use token_broker::config::{Config, Level, Network, Role, duration};

use crate::{keys, load, problems};

const CANARY: &str = "canary-3e7a";

#[test]
fn unknown_settings_are_refused_everywhere() {
    for section in
        ["listen", "database", "journal", "keys", "refresh", "breaker", "egress", "identity", "log"]
    {
        assert_eq!(keys(&format!("[{section}]\nnonsense = 1")), [format!("{section}.nonsense")]);
    }
    assert_eq!(keys("nonsense = 1"), ["nonsense"]);
    assert_eq!(keys("[egress.proxy]\nurl = 'http://proxy:1'\nnonsense = 1"), ["egress.proxy.nonsense"]);
    let identity = "[identity]\nallow_static_on_loopback = true\n[[identity.static]]\nprincipal = 'a'\n\
                    token_file = 't'\n";
    assert_eq!(
        keys(&format!("{identity}roles = ['operator']\nnonsense = 1")),
        ["identity.static[0].nonsense"]
    );
    assert_eq!(
        keys(&format!("{identity}roles = [{{ consumer = {{ tenants = [], nonsense = 1 }} }}]")),
        ["identity.static[0].roles[0].consumer.nonsense"]
    );
    let [problem] = &problems("", &[("TOKEN_BROKER__REFRESH__NONSENSE", "1")])[..] else { panic!() };
    assert!(problem.starts_with("`refresh.nonsense` (TOKEN_BROKER__REFRESH__NONSENSE): there is no such"));
}

#[test]
fn a_variable_goes_before_the_file() {
    let config = load(
        "[refresh]\nmargin = '30s'\nin_flight = 8\n[log]\nlevel = 'warn'",
        &[
            ("TOKEN_BROKER__REFRESH__MARGIN", "90s"),
            ("TOKEN_BROKER__REFRESH__IN_FLIGHT_PER_CLIENT", "2"),
            ("TOKEN_BROKER__REFRESH__MARGIN_SHARE", "0.2"),
            ("TOKEN_BROKER__LOG__LEVEL", "debug"),
            ("TOKEN_BROKER__ENVIRONMENT", "true"),
            ("TOKEN_BROKER__LISTEN__GRPC", "[::1]:9"),
            ("TOKEN_BROKER__EGRESS__ALLOW_PRIVATE", "['10.0.0.0/8']"),
            ("TOKEN_BROKER__IDENTITY__ALLOW_STATIC_ON_LOOPBACK", "true"),
            (
                "TOKEN_BROKER__IDENTITY__STATIC",
                "[{ principal = 'a', token_file = 't', roles = ['operator'] }]",
            ),
            ("TOKEN_BROKER__EGRESS__PROXY__URL", "http://proxy:3128"),
            ("TOKEN_BROKER_SERVER", "http://elsewhere"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.refresh.margin, Duration::from_secs(90));
    assert_eq!((config.refresh.in_flight, config.refresh.in_flight_per_client), (8, 2));
    assert_eq!(config.log.level, Level::Debug);
    // Text, because the setting is text.
    assert_eq!(config.environment, "true");
    assert_eq!(config.listen.grpc, "[::1]:9".parse().unwrap());
    assert_eq!(config.egress.allow_private, ["10.0.0.0/8".parse::<Network>().unwrap()]);
    assert_eq!(config.identity.r#static[0].roles, [Role::Operator]);
    assert_eq!(config.egress.proxy.unwrap().url, "http://proxy:3128");
}

#[test]
fn nothing_at_all_is_the_defaults() {
    assert_eq!(Config::load(None, []).unwrap(), Config::default());
}

#[test]
fn every_problem_is_found_and_no_value_is_shown() {
    let found = problems(
        &format!(
            "environment = 7\n[listen]\ngrpc = '{CANARY}'\n[refresh]\nmargin = '{CANARY}'\nin_flight = '{CANARY}'\n\
             margin_share = 3.0\n[log]\nlevel = '{CANARY}'\n[egress]\nallow_private = ['10.0.0.0/8', '{CANARY}']\n\
             [[identity.static]]\nprincipal = '{CANARY}/'\ntoken_sha256 = '{CANARY}'\nroles = ['{CANARY}']"
        ),
        &[("TOKEN_BROKER__BREAKER__UNKNOWNS", CANARY), ("TOKEN_BROKER__EGRESS__PROXY", CANARY)],
    );
    let keys: Vec<_> = found.iter().map(|problem| problem.split('`').nth(1).unwrap()).collect();
    for key in [
        "environment",
        "listen.grpc",
        "refresh.margin",
        "refresh.in_flight",
        "refresh.margin_share",
        "log.level",
        "egress.allow_private[1]",
        "identity.static[0].principal",
        "breaker.unknowns",
        "egress.proxy",
    ] {
        assert!(keys.contains(&key), "{key} in {found:#?}");
    }
    assert!(found.iter().all(|problem| !problem.contains(CANARY)), "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("(TOKEN_BROKER__BREAKER__UNKNOWNS)")));
    assert!(found.iter().any(|problem| problem.contains(".toml): expected a duration")));
}

#[test]
fn a_file_that_is_not_toml_is_not_shown() {
    let found = problems(&format!("\n\ntoken = {CANARY}"), &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("line 3 is not TOML"), "{found:?}");
    let error = Config::load(Some(Path::new("/nonexistent/file.toml")), []).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/file.toml"));
}

#[test]
fn variables_that_name_nothing_are_refused() {
    for name in ["TOKEN_BROKER__", "TOKEN_BROKER__REFRESH____MARGIN"] {
        assert!(problems("", &[(name, CANARY)])[0].contains("does not name a setting"));
    }
    let found = problems("environment = 'a'", &[("TOKEN_BROKER__ENVIRONMENT__NAME", CANARY)]);
    assert!(found[0].contains("does not name a setting"));
}

#[test]
fn durations_read_as_people_write_them() {
    for (text, millis) in [
        ("250ms", 250),
        ("60s", 60_000),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("1d 2h", 93_600_000),
        ("0s", 0),
    ] {
        assert_eq!(duration::parse(text).unwrap(), Duration::from_millis(millis), "{text}");
        let written = duration::format(Duration::from_millis(millis));
        assert_eq!(duration::parse(&written).unwrap(), Duration::from_millis(millis));
    }
    for text in
        ["", " ", "60", "s", "1.5s", "-1s", "1y", "99999999999999999999s", "18446744073709551615d", "1é"]
    {
        assert!(duration::parse(text).is_err(), "{text}");
    }
}

#[test]
fn ranges_contain_what_they_say() {
    let contains =
        |range: &str, address: &str| range.parse::<Network>().unwrap().contains(address.parse().unwrap());
    assert!(contains("127.0.0.0/8", "127.255.0.1"));
    assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"));
    assert!(!contains("127.0.0.0/8", "128.0.0.1"));
    assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "::1"));
    assert!(contains("10.1.2.3/32", "10.1.2.3") && !contains("10.1.2.3/32", "10.1.2.2"));
    assert!(contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe80::1"));
    assert!(contains("::/0", "::1"));
    for text in ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
    assert!(!"127.0.0.0/8".parse::<Network>().unwrap().contains(Ipv4Addr::UNSPECIFIED.into()));
}
