//! Bad input at start: exit code 2, one clear line, no secret in it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use token_broker::{app::App, config::Config, seal::KeyEncryptionKeys};

use crate::{
    child,
    world::{CONSUMER, OPERATOR, config, soon},
};

#[tokio::test]
async fn an_unknown_setting_is_named() {
    let (place, config) = folder();
    let text = format!("{}\n[refreshing]\nmargin = \"1s\"\n", config.summary().unwrap());
    let said = complaint(&place, &text).await;
    assert!(said.contains("`refreshing`") && said.contains("no such setting"), "{said}");
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_not_repeated() {
    let (place, config) = folder();
    for (good, bad, named) in [
        ("token_file = ", "token_canary-in-the-file = ", "token_canary-in-the-file"),
        ("margin_share = 0.1", "margin_share = \"canary-in-the-file\"", "refresh.margin_share"),
        ("allow_private = [\"127.0.0.0/8\"]", "allow_private = [\"canary-in-the-file\"]", "allow_private"),
        ("environment = \"test\"", "environment = canary-in-the-file", "line 1 is not TOML"),
    ] {
        let text = config.summary().unwrap();
        assert!(text.contains(good), "{good} is not in {text}");
        let said = complaint(&place, &text.replace(good, bad)).await;
        assert!(said.contains(named), "{said}");
        assert!(bad.starts_with("token_") || !said.contains("canary-in-the-file"), "{said}");
    }
}

#[tokio::test]
async fn a_key_file_that_others_can_read_comes_with_the_fix() {
    let (place, config) = folder();
    fs::set_permissions(&config.keys.file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains(&format!("chmod 600 {}", config.keys.file.display())), "{said}");
}

#[tokio::test]
async fn a_key_file_that_is_not_there_comes_with_the_fix() {
    let (place, config) = folder();
    fs::remove_file(&config.keys.file).unwrap();
    let said = refused(&place, &config).await;
    let fix = format!("token-broker keys generate --out {}", config.keys.file.display());
    assert!(said.contains(&fix), "{said}");
}

#[tokio::test]
async fn a_key_that_is_missing_is_named() {
    let (place, config) = folder();
    run_once(&config).await;
    let id = key_id(&config);
    fs::remove_file(&config.keys.file).unwrap();
    KeyEncryptionKeys::generate().save_new(&config.keys.file).unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains(&id) && said.contains("not in the key file"), "{said}");
}

#[tokio::test]
async fn another_key_under_a_known_id_is_named() {
    let (place, config) = folder();
    run_once(&config).await;
    let id = key_id(&config);
    let other = place.path().join("other.keys");
    KeyEncryptionKeys::generate().save_new(&other).unwrap();
    let swapped = fs::read_to_string(&other).unwrap().replace(&key_id_of(&other), &id);
    fs::write(&config.keys.file, swapped).unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains(&id) && said.contains("is not the one"), "{said}");
}

#[tokio::test]
async fn the_database_of_another_environment() {
    let (place, config) = folder();
    run_once(&config).await;
    let said = refused(&place, &Config { environment: "other".to_owned(), ..config }).await;
    assert!(said.contains("was not made for the environment `other`"), "{said}");
}

#[tokio::test]
async fn a_second_process_on_the_same_database() {
    let (place, config) = folder();
    let first = App::start(config.clone()).await.unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains("another process") && said.contains("broker.db"), "{said}");
    // The first one is none the worse for it.
    soon("it stops", first.stop()).await.unwrap();
    run_once(&config).await;
}

#[tokio::test]
async fn a_database_of_a_newer_version() {
    let (place, config) = folder();
    run_once(&config).await;
    let options = SqliteConnectOptions::new().filename(&config.database.path);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (77, 'of the future', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains("newer version") && said.contains("77"), "{said}");
}

#[tokio::test]
async fn what_is_no_database() {
    let (place, config) = folder();
    fs::write(&config.database.path, "these are not the pages you are looking for").unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains("broker.db"), "{said}");
    assert_eq!(fs::read(&config.database.path).unwrap().len(), 43, "it was left alone");
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let (place, mut config) = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for which in ["grpc", "probes"] {
        let here = if which == "grpc" { &mut config.listen.grpc } else { &mut config.listen.probes };
        let before = std::mem::replace(here, address);
        let said = refused(&place, &config).await;
        assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
        *(if which == "grpc" { &mut config.listen.grpc } else { &mut config.listen.probes }) = before;
    }
}

#[tokio::test]
async fn static_identities_stay_on_this_machine() {
    let (place, mut config) = folder();
    config.listen.grpc.set_ip([0, 0, 0, 0].into());
    let said = refused(&place, &config).await;
    assert!(said.contains("listen.grpc") && said.contains("loopback"), "{said}");
    config.listen.grpc.set_ip([127, 0, 0, 1].into());
    config.identity.allow_static_on_loopback = false;
    let said = refused(&place, &config).await;
    assert!(said.contains("allow_static_on_loopback"), "{said}");
}

#[tokio::test]
async fn a_credential_that_can_be_guessed() {
    let (place, config) = folder();
    let file = config.identity.r#static[0].token_file.clone().unwrap();
    fs::write(&file, "canary-too-short").unwrap();
    let said = refused(&place, &config).await;
    assert!(said.contains("shorter than") && !said.contains("canary"), "{said}");
}

#[tokio::test]
async fn a_profile_that_makes_no_sense() {
    let (place, mut config) = folder();
    config.profiles = vec![toml::Table::from_iter([("name".to_owned(), "half".into())])];
    let said = refused(&place, &config).await;
    assert!(said.contains("profiles[0]") && said.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn no_configuration_where_one_was_named() {
    let output = child::run(&["serve", "--config", "/nonexistent/broker.toml"], "").await;
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/nonexistent/broker.toml"), "{said}");
}

fn folder() -> (TempDir, Config) {
    let place = tempfile::tempdir().unwrap();
    let config = config(place.path());
    (place, config)
}

/// Makes the database.
async fn run_once(config: &Config) {
    soon("it stops", App::start(config.clone()).await.unwrap().stop()).await.unwrap();
}

fn key_id(config: &Config) -> String {
    key_id_of(&config.keys.file)
}

fn key_id_of(file: &Path) -> String {
    KeyEncryptionKeys::load(file).unwrap().ids().next().unwrap().to_owned()
}

async fn refused(place: &TempDir, config: &Config) -> String {
    complaint(place, &config.summary().unwrap()).await
}

/// What a broker that does not start says, and that it says it well.
async fn complaint(place: &TempDir, config: &str) -> String {
    let file = place.path().join("config.toml");
    fs::write(&file, config).unwrap();
    let output = child::run(&["serve", "--config", file.to_str().unwrap()], "").await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    for secret in [OPERATOR, CONSUMER] {
        assert!(!said.contains(secret), "{said}");
    }
    // Its log lines apart: one complaint, or where settings are wrong, an indented line for each.
    let complaint: Vec<_> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(complaint[0].starts_with("token-broker: "), "{said}");
    assert!(complaint[1..].iter().all(|line| line.starts_with("  ")), "{said}");
    complaint.join("\n")
}
