//! Tools that need no broker.

use std::fs;

use super::run;

#[tokio::test]
async fn keys_are_made_and_listed_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let (made, result) = run(&format!("keys generate --out {}", file.display())).await;
    result.unwrap();
    let (listed, result) = run(&format!("keys list --file {}", file.display())).await;
    result.unwrap();
    assert_eq!(made, listed);
    assert!(listed.contains("kek-") && listed.contains("wraps"), "{listed}");
    let text = fs::read_to_string(&file).unwrap();
    let key = text.lines().last().unwrap().split_once(' ').unwrap().1;
    assert!(!listed.contains(key));

    let (_, result) = run(&format!("keys generate --out {}", file.display())).await;
    assert_eq!(result.unwrap_err().exit_code(), 2);
    let (_, result) = run("keys list --file /nonexistent/keys").await;
    assert!(format!("{:?}", result.unwrap_err()).contains("keys generate --out /nonexistent/keys"));
}

#[tokio::test]
async fn check_config_shows_what_is_in_force_and_every_problem() {
    let dir = tempfile::tempdir().unwrap();
    let (config, keys) = (dir.path().join("broker.toml"), dir.path().join("keys"));
    let check = format!("check-config --config {}", config.display());

    fs::write(&config, format!("environment = 'production'\nkeys.file = '{}'", keys.display())).unwrap();
    let (shown, result) = run(&check).await;
    assert!(shown.contains("environment = \"production\""), "{shown}");
    assert!(format!("{:?}", result.unwrap_err()).contains("keys.file"));

    run(&format!("keys generate --out {}", keys.display())).await.1.unwrap();
    run(&check).await.1.unwrap();
    let (json, _) = run(&format!("{check} --output json")).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["refresh"]["margin"], "1m");

    fs::write(&config, "nonsense = 1\n[refresh]\nmargin = 'soon'").unwrap();
    let (shown, result) = run(&check).await;
    let failure = result.unwrap_err();
    let text = format!("{failure:?}");
    assert!(shown.is_empty() && text.contains("`nonsense`") && text.contains("`refresh.margin`"), "{text}");
    assert_eq!(failure.exit_code(), 2);

    fs::write(
        &config,
        "[database]\npath = '/nonexistent/x.db'\n[egress]\nca_file = '/nonexistent/ca.pem'\n[egress.proxy]\n\
         url = 'http://proxy:1'\nca_file = '/nonexistent/proxy.pem'\n[keys]\nfile = '/nonexistent/keys'",
    )
    .unwrap();
    let text = format!("{:?}", run(&check).await.1.unwrap_err());
    for key in ["database.path", "egress.ca_file", "egress.proxy.ca_file", "keys.file"] {
        assert!(text.contains(&format!("`{key}`")), "{text}");
    }
}
