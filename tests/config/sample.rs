//! `docs/config.toml` documents every setting with its default.

use token_broker::config::{Config, Redis};

use crate::load;

const SAMPLE: &str = include_str!("../../docs/config.toml");

#[test]
fn the_sample_is_the_defaults() {
    assert_eq!(load(SAMPLE, &[]).unwrap(), Config::default());
}

#[test]
fn the_sample_has_every_setting() {
    let sample: toml::Table = SAMPLE.parse().unwrap();
    let mut defaults = toml::Table::try_from(Config::default()).unwrap();
    // What has no default worth writing stands in comments.
    for absent in ["replica", "profiles"] {
        assert!(SAMPLE.contains(&format!("# {absent} =")) || SAMPLE.contains(&format!("# [[{absent}]]")));
        defaults.remove(absent);
    }
    assert!(SAMPLE.contains("# [[identity.static]]"));
    defaults["identity"].as_table_mut().unwrap().remove("static");
    assert_eq!(paths(&sample), paths(&defaults));
}

#[test]
fn what_the_sample_shows_in_comments_is_accepted() {
    let shown: String = SAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with('[') || setting.split(' ').nth(1) == Some("=") => setting,
            _ => line,
        })
        .filter(|line| *line != "[[profiles]]")
        .map(|line| {
            line.replace("allow_static_on_loopback = false", "allow_static_on_loopback = true") + "\n"
        })
        .collect();
    let config = load(&shown, &[]).unwrap();
    assert_eq!(config.replica, "broker-0");
    assert_eq!(config.identity.r#static.len(), 2);
    assert!(config.egress.proxy.is_some());
    let redis = config.redis.unwrap();
    let defaults = Redis {
        url: redis.url.clone(),
        user: redis.user.clone(),
        password_file: redis.password_file.clone(),
        ca_file: redis.ca_file.clone(),
        client_cert_file: redis.client_cert_file.clone(),
        client_key_file: redis.client_key_file.clone(),
        ..Redis::default()
    };
    assert_eq!(redis, defaults);
    // Every one of its settings is there; these stand in the text above it.
    let mut expected = toml::Table::try_from(&redis).unwrap();
    for key in ["url_file", "sentinel", "cluster"] {
        assert!(SAMPLE.contains(&format!("`{key}`")));
    }
    expected.retain(|key, _| !SAMPLE.contains(&format!("\n# {key} = ")));
    assert!(expected.is_empty(), "{expected:?}");
}

#[test]
fn a_summary_gives_the_same_configuration_again() {
    let config =
        load("environment = 'production'\n[egress]\nallow_private = ['10.0.0.0/8', 'fd00::/8']", &[]);
    let config = config.unwrap();
    assert_eq!(load(&config.summary().unwrap(), &[]).unwrap(), config);
}

fn paths(table: &toml::Table) -> Vec<String> {
    let mut paths: Vec<_> = table
        .iter()
        .flat_map(|(key, value)| match value {
            toml::Value::Table(section) => {
                paths(section).into_iter().map(|path| format!("{key}.{path}")).collect()
            }
            _ => vec![key.clone()],
        })
        .collect();
    paths.sort();
    paths
}
