//! `token-broker migrate`, as people and deployments call it.

use std::{path::Path, process::Command};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Executor as _;
use token_broker::{
    clock::Clock,
    store::postgres::{Postgres, Settings, Unfit},
};

use crate::{
    fixtures::{serving, settings},
    servers::postgres::{Cluster, shared},
};

/// Exit code, and everything that was said.
fn migrate(url: &SecretString, arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("owner.url");
    std::fs::write(&file, format!("{}\n", url.expose_secret())).unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_token-broker")));
    let output = command.arg("migrate").arg("--owner-url-file").arg(&file).args(arguments).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

#[tokio::test]
async fn migrate_makes_a_database_fit_and_says_so() {
    let database = shared().empty_database().await;
    let (code, said) = migrate(&database.owner_url(), &["--check"]);
    assert_eq!((code, said.matches("pending").count()), (2, 10), "{said}");
    assert!(said.contains("not up to date"), "{said}");

    let (code, said) = migrate(&database.owner_url(), &["--serving-user", "serving"]);
    assert_eq!((code, said.matches("applied now").count()), (0, 10), "{said}");
    serving(&database).await.ping().await.unwrap();

    let (code, said) = migrate(&database.owner_url(), &["--check", "--output", "json"]);
    assert_eq!((code, said.matches("\"applied\"").count()), (0, 10), "{said}");
    let mut owner = database.connect("owner").await;
    owner.execute("UPDATE token_broker.migrations SET checksum = '' WHERE version = 3").await.unwrap();
    let (code, said) = migrate(&database.owner_url(), &["--check"]);
    assert!(code == 2 && said.contains("reads differently"), "{said}");
    assert_eq!(migrate(&database.owner_url(), &[]).0, 2, "nor is it run over");
}

/// Who may not create roles is told what somebody else must run; that done, it goes on.
#[tokio::test]
async fn who_may_not_create_roles_is_told_what_to_run() {
    let cluster = Cluster::start("");
    let mut admin = cluster.admin("postgres").await;
    for statement in ["CREATE ROLE weak LOGIN", "CREATE ROLE serves LOGIN", "CREATE DATABASE d OWNER weak"] {
        admin.execute(statement).await.unwrap();
    }
    let database = cluster.named("d");
    let (code, said) = migrate(&database.url("weak"), &["--serving-user", "serves"]);
    assert!(code == 2 && said.contains("CREATE ROLE") && said.contains("TO \"weak\""), "{said}");
    let sql = said.split_once("let someone who may run").unwrap().1.to_owned();
    let mut admin = cluster.admin("d").await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();

    let (code, said) = migrate(&database.url("weak"), &["--serving-user", "serves"]);
    assert!(code == 2 && said.contains("GRANT token_broker_serving"), "{said}");
    let sql = said.split_once("let someone who may run").unwrap().1.to_owned();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
    let (code, said) = migrate(&database.url("weak"), &["--check"]);
    assert_eq!(code, 0, "{said}");
    let settings = Settings { url: database.url("serves"), ..settings(&database) };
    Postgres::open(&settings, Clock::System).await.unwrap().ping().await.unwrap();
    let missing = migrate(&database.url("weak"), &["--serving-user", "absent"]);
    assert!(missing.0 == 2 && missing.1.contains("no database user absent"), "{}", missing.1);
    let unfit = Unfit::TooOld { found: 0 }.to_string();
    assert!(unfit.contains("token-broker migrate"), "{unfit}");
}

#[test]
fn a_password_is_not_echoed() {
    let url = "postgres://owner:canary@127.0.0.1:1/d".into();
    let (code, said) = migrate(&url, &[]);
    assert!(code == 2 && !said.contains("canary"), "{said}");
    let (code, said) = migrate(&"mysql://owner:canary@h/d".into(), &[]);
    assert!(code == 2 && !said.contains("canary"), "{said}");
}
