//! How settings go together.

use std::time::Duration;

use token_broker::config::{Config, Identity, Refresh, TokenDigest};

use crate::{keys, load};

const ADMIN: &str = "[identity]\nallow_static_on_loopback = true\n[[identity.static]]\nprincipal = 'admin'\n\
                     token_file = 'admin.token'\nroles = ['operator']\n";

#[test]
fn the_defaults_are_valid_in_any_tempo() {
    assert_eq!(Config::default().validate(), []);
    for factor in [0.01, 0.1, 3.0] {
        let refresh = Refresh::default().scaled(factor);
        assert_eq!(refresh.total_timeout, Duration::from_mins(2).mul_f64(factor));
        assert_eq!(Config { refresh, ..Config::default() }.validate(), []);
    }
}

#[test]
fn a_holder_that_is_still_at_work_is_not_lost() {
    assert_eq!(keys("[refresh]\nholder_lost_after = '125s'"), ["refresh.holder_lost_after"]);
    assert_eq!(keys("[refresh]\ntotal_timeout = '180s'"), ["refresh.holder_lost_after"]);
    load("[refresh]\nholder_lost_after = '126s'", &[]).unwrap();
}

#[test]
fn shares_caps_and_zeros_are_refused() {
    for (setting, key) in [
        ("margin_share = 0.0", "margin_share"),
        ("margin_share = nan", "margin_share"),
        ("renew_after_share = 1.0", "renew_after_share"),
        ("renew_after_share = 0.95", "renew_after_share"),
        ("in_flight_per_client = 33", "in_flight_per_client"),
        ("in_flight_per_client = 0", "in_flight_per_client"),
        ("in_flight = 0", "in_flight"),
        ("margin = '0s'", "margin"),
        ("sweep_interval = '0s'", "sweep_interval"),
    ] {
        let found = keys(&format!("[refresh]\n{setting}"));
        assert!(found.contains(&format!("refresh.{key}")), "{setting}: {found:?}");
    }
    assert_eq!(keys("[breaker]\nunknowns = 0\nopen_for = '0s'"), ["breaker.open_for", "breaker.unknowns"]);
    assert_eq!(keys("[listen]\nprobes = '127.0.0.1:7171'"), ["listen.probes"]);
    assert_eq!(keys("environment = 'Prod'"), ["environment"]);
    assert_eq!(keys("replica = 'two words'"), ["replica"]);
}

#[test]
fn whatever_is_in_flight_finds_room_in_the_journal() {
    for (settings, key) in [
        ("[refresh]\nin_flight = 33", "reserve_bytes"),
        ("[journal]\nreserve_bytes = 33554431", "reserve_bytes"),
        ("[journal]\nreserve_bytes = 9007199254740993", "reserve_bytes"),
        ("[journal]\nsegment_bytes = 8388607", "segment_bytes"),
        ("[journal]\nsegment_bytes = 1073741825", "segment_bytes"),
        ("[journal]\nhorizon = '0s'", "horizon"),
        ("[journal]\npath = ''", "path"),
    ] {
        assert_eq!(keys(settings), [format!("journal.{key}")], "{settings}");
    }
    load("[refresh]\nin_flight = 8\n[journal]\nsegment_bytes = 8388608\nreserve_bytes = 8388608", &[])
        .unwrap();
}

#[test]
fn a_proxy_has_no_secret_in_its_url() {
    for url in
        ["http://user:pw@proxy:1", "http://user@proxy:1", "socks5://proxy:1", "proxy:1", "http://proxy/x"]
    {
        assert_eq!(keys(&format!("[egress.proxy]\nurl = '{url}'")), ["egress.proxy.url"], "{url}");
    }
    load("[egress.proxy]\nurl = 'https://proxy.internal:3128'", &[]).unwrap();
}

#[test]
fn a_database_has_no_secret_in_its_url() {
    for url in ["postgres://u:pw@h/d", "postgres://u@h/d?password=pw", "mysql://u@h/d", "h/d"] {
        assert_eq!(keys(&format!("[database]\nurl = '{url}'")), ["database.url"], "{url}");
    }
    let direct = "[database]\nurl = 'postgres://u@h/d'\ndirect_url = 'postgres://u:pw@h/d'";
    assert_eq!(keys(direct), ["database.direct_url"]);
    let twice = "[database]\nurl = 'postgres://u@h/d'\nurl_file = 'f'";
    assert_eq!(keys(twice), ["database.url"]);
    assert_eq!(keys("[database]\ndirect_url = 'postgres://u@h/d'"), ["database.direct_url"]);
    assert_eq!(keys("[database]\npool = 0"), ["database.pool"]);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("database.url");
    let config = load(&format!("[database]\nurl_file = '{}'", path.display()), &[]).unwrap();
    assert!(config.database.is_postgres());
    assert!(config.database.postgres_url().unwrap_err().what.contains("cannot be read"));
    std::fs::write(&path, "postgres://u:canary@h/d\n").unwrap();
    let url = config.database.postgres_url().unwrap().unwrap();
    assert!(!format!("{url:?} {}", config.summary().unwrap()).contains("canary"));
    assert!(load("", &[]).unwrap().database.postgres_url().unwrap().is_none());
}

#[test]
fn static_identities_stay_on_loopback() {
    load(ADMIN, &[]).unwrap();
    load(ADMIN, &[("TOKEN_BROKER__LISTEN__GRPC", "[::1]:7171")]).unwrap();
    assert_eq!(keys(&format!("listen.grpc = '0.0.0.0:7171'\n{ADMIN}")), ["listen.grpc"]);
    assert_eq!(keys(&ADMIN.replace("true", "false")), ["identity.static"]);
    // Nothing to protect where there are none.
    load("[listen]\ngrpc = '0.0.0.0:7171'", &[]).unwrap();
}

#[test]
fn a_static_identity_is_complete_and_unique() {
    assert_eq!(keys(&ADMIN.replace("token_file = 'admin.token'\n", "")), ["identity.static[0]"]);
    assert_eq!(keys(&ADMIN.replace("['operator']", "[]")), ["identity.static[0].roles"]);
    let twice =
        format!("{ADMIN}[[identity.static]]\nprincipal = 'admin'\ntoken_file = 't'\nroles = ['operator']");
    assert_eq!(keys(&twice), ["identity.static[1].principal"]);
}

#[test]
fn token_files_are_read_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let token = "canary-0123456789-0123456789";
    let path = dir.path().join("admin.token");
    let identity =
        || -> Identity { load(&ADMIN.replace("admin.token", path.to_str().unwrap()), &[]).unwrap().identity };
    assert!(identity().principals().unwrap_err()[0].what.contains("cannot be read"));

    std::fs::write(&path, "canary-short\n").unwrap();
    let problems = identity().principals().unwrap_err();
    assert!(problems[0].what.contains("shorter than 24 bytes") && !problems[0].what.contains("canary"));

    std::fs::write(&path, format!("{token}\n")).unwrap();
    let principals = identity().principals().unwrap();
    assert!(principals[0].token.matches(token) && !principals[0].token.matches("canary"));
    assert_eq!(principals[0].token, TokenDigest::of(token).unwrap());
    assert!(!format!("{principals:?}").contains("canary"));
}

#[test]
fn a_digest_stands_for_its_token_and_is_withheld() {
    // printf %s 'abcdefghijklmnopqrstuvwxyz' | sha256sum
    let digest = "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73";
    let config =
        load(&ADMIN.replace("token_file = 'admin.token'", &format!("token_sha256 = '{digest}'")), &[]);
    let config = config.unwrap();
    assert!(config.identity.principals().unwrap()[0].token.matches("abcdefghijklmnopqrstuvwxyz"));
    assert!(!config.summary().unwrap().contains(&digest[..8]));
    assert!(!format!("{config:?}").contains(&digest[..8]));
}
