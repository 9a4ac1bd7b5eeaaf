//! The command line, end to end: a process for each command, and a broker in this one.

use serde_json::Value;

use crate::{
    child,
    world::{COMPANY, OPERATOR, World, config, seconds_from_now, soon, write_private},
};

#[tokio::test]
async fn keys_and_configuration() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("new.keys");
    let file = file.to_str().unwrap();
    let made = done(&["keys", "generate", "--out", file, "--output", "json"]).await;
    let id = made["keys"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("kek-"), "{made}");
    assert_eq!(done(&["keys", "list", "--file", file, "--output", "json"]).await, made);
    let (code, said) = failed(&["keys", "generate", "--out", file, "--output", "json"], "").await;
    assert_eq!((code, said["code"].as_str()), (2, Some("USAGE")), "{said}");

    let mut config = config(place.path());
    let path = place.path().join("config.toml");
    std::fs::write(&path, config.summary().unwrap()).unwrap();
    let arguments = ["check-config", "--config", path.to_str().unwrap(), "--output", "json"];
    let shown = done(&arguments).await;
    assert_eq!(shown["environment"], "test");
    assert!(!shown.to_string().contains(OPERATOR));
    config.keys.file = place.path().join("absent.keys");
    std::fs::write(&path, config.summary().unwrap()).unwrap();
    let output = child::run(&arguments, "").await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("keys generate"));
}

#[tokio::test]
async fn from_nothing_to_a_token() {
    let world = World::bare(|_| {}).await;
    let shell = Shell::of(&world);
    let tenant = shell.done("tenant create acme --display-name Acme", "").await;
    assert_eq!((&tenant["name"], &tenant["display_name"]), (&"tenants/acme".into(), &"Acme".into()));
    let create = "oauth-client create acme/app --provider procore --environment sandbox --client-id";
    let client = shell.done(&format!("{create} {}", world.app.client_id), "").await;
    assert_eq!(client["name"], "tenants/acme/oauthClients/app");
    let secret = format!("{}\n", world.app.client_secret);
    let client = shell.done("oauth-client add-secret acme/app", &secret).await;
    assert_eq!(client["secret_versions"][0]["current"], true);
    assert!(!client.to_string().contains(&world.app.client_secret));
    let create = format!("connection create acme/main --oauth-client acme/app --account-id {COMPANY}");
    let connection = shell.done(&create, "").await;
    assert_eq!(connection["state"], "STATE_PENDING_AUTHORIZATION");
    let (code, said) = shell.failed("token get acme/main", "").await;
    assert_eq!((code, said["reason"].as_str()), (1, Some("AUTHORIZATION_PENDING")), "{said}");
    assert_eq!(said["code"], "FAILED_PRECONDITION");
    assert!(!said["help"].as_array().unwrap().is_empty());

    let pair = world.authorise();
    let imported = shell.done("connection import acme/main", &format!("{}\n", pair.refresh_token)).await;
    assert_eq!((&imported["state"], &imported["generation"]), (&"STATE_ACTIVE".into(), &1.into()));
    let token = shell.done("token get acme/main --min-ttl 60s", "").await;
    assert_eq!((&token["generation"], &token["token_type"]), (&2.into(), &"Bearer".into()));
    assert_eq!(token["request_headers"]["Procore-Company-Id"], COMPANY.to_string());
    let live = world.simulator.live_pair(&pair.grant_id).unwrap();
    assert!(!token.to_string().contains(&live.access_token));
    let revealed = shell.output("token get acme/main --reveal", "").await;
    assert_eq!(String::from_utf8(revealed.stdout).unwrap().trim(), live.access_token);
    assert_eq!(shell.done("connection refresh acme/main", "").await["generation"], 3);
    let inspected = shell.done("connection inspect acme/main", "").await;
    assert_eq!(inspected["grant_state"], "idle");
    assert_eq!(inspected["attempts"][0]["cause"], "operator");
    assert_eq!(world.simulator.presentations_of(&pair.refresh_token).len(), 1);
}

#[tokio::test]
async fn the_rest_of_the_day() {
    let world = World::new().await;
    let shell = Shell::of(&world);
    assert_eq!(shell.done("tenant list", "").await["tenants"][0]["name"], "tenants/acme");
    assert_eq!(shell.done("oauth-client list acme", "").await["oauth_clients"][0]["display_name"], "");
    assert_eq!(
        shell.done("connection list acme", "").await["connections"][0]["state"],
        "STATE_PENDING_AUTHORIZATION"
    );
    let tenant = shell.done("tenant update acme --display-name New", "").await;
    assert_eq!(
        (&tenant["display_name"], shell.done("tenant get acme", "").await),
        (&"New".into(), tenant.clone())
    );
    let update = "connection update acme/main --max-min-ttl 2m";
    assert_eq!(shell.done(update, "").await["max_min_ttl"], "120s");
    shell.done("oauth-client add-secret acme/app", "another secret").await;
    let promoted = shell.done("oauth-client promote-secret acme/app 2", "").await;
    assert_eq!(promoted["secret_versions"][1]["current"], true);
    let update = "oauth-client update acme/app --client-credentials-tenant acme";
    assert_eq!(shell.done(update, "").await["client_credentials_tenants"][0], "tenants/acme");
    let pair = world.authorise();
    let access = world.place.path().join("access");
    write_private(&access, &pair.access_token);
    let import = format!(
        "connection import acme/main --access-token-file {} --access-token-expire-time {}",
        access.display(),
        seconds_from_now(3600)
    );
    assert_eq!(shell.done(&import, &pair.refresh_token).await["generation"], 1);
    let (code, said) = shell.failed("connection delete acme/main --etag 99", "").await;
    assert_eq!((code, said["reason"].as_str()), (1, Some("ETAG_MISMATCH")));
    shell.done("connection delete acme/main", "").await;
    shell.done("oauth-client delete acme/app", "").await;
    shell.done("tenant delete acme", "").await;
    assert_eq!(shell.done("tenant list", "").await["tenants"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn exit_codes() {
    let world = World::with(|config| {
        for profile in &mut config.profiles {
            profile["environments"]["sandbox"]["token_endpoint"] = "http://127.0.0.1:1/oauth/token".into();
        }
    })
    .await;
    let shell = Shell::of(&world);
    // 1: the broker says no.
    let (code, said) = shell.failed("tenant get absent", "").await;
    assert_eq!((code, said["reason"].as_str()), (1, Some("NOT_FOUND")));
    shell.done("connection import acme/main", &world.authorise().refresh_token).await;
    // 2: the arguments or the files are wrong.
    for wrong in [
        "tenant get Acme",
        "tenant",
        "connection get acme",
        "token get acme/main --min-ttl soon",
        "connection import acme/main --refresh-token-file /nonexistent",
        "tenant list --server https://127.0.0.1:1",
    ] {
        assert_eq!(shell.output(wrong, "").await.status.code(), Some(2), "{wrong}");
    }
    assert_eq!(shell.output("connection import acme/main", "").await.status.code(), Some(2));
    // 3: try again.
    let (code, said) = shell.failed("token get acme/main", "").await;
    assert_eq!((code, said["reason"].as_str()), (3, Some("PROVIDER_UNAVAILABLE")), "{said}");
    assert!(said["retry_delay"].is_string(), "{said}");
    let nobody = Shell { server: "http://127.0.0.1:1".to_owned(), ..shell };
    let (code, said) = nobody.failed("tenant list", "").await;
    assert_eq!((code, said["code"].as_str()), (3, Some("UNREACHABLE")));
}

/// A person's shell.
struct Shell {
    server: String,
    token_file: String,
}

impl Shell {
    fn of(world: &World) -> Self {
        let token_file = world.place.path().join("olga.credential").to_str().unwrap().to_owned();
        Self { server: format!("http://{}", world.address()), token_file }
    }

    async fn output(&self, line: &str, input: &str) -> std::process::Output {
        let known = ["--server", &self.server, "--token-file", &self.token_file, "--output", "json"];
        let named: Vec<_> = line.split(' ').filter(|word| word.starts_with("--")).collect();
        let known = known.chunks(2).filter(|pair| !named.contains(&pair[0])).flatten().copied();
        let arguments: Vec<_> = line.split(' ').chain(known).collect();
        soon(line, child::run(&arguments, input)).await
    }

    async fn done(&self, line: &str, input: &str) -> Value {
        let output = self.output(line, input).await;
        read_done(&output)
    }

    /// The exit code, and what was said.
    async fn failed(&self, line: &str, input: &str) -> (i32, Value) {
        read_failed(&self.output(line, input).await)
    }
}

async fn done(arguments: &[&str]) -> Value {
    read_done(&child::run(arguments, "").await)
}

async fn failed(arguments: &[&str], input: &str) -> (i32, Value) {
    read_failed(&child::run(arguments, input).await)
}

fn read_done(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn read_failed(output: &std::process::Output) -> (i32, Value) {
    assert!(output.stdout.is_empty());
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    (output.status.code().unwrap(), said["error"].clone())
}
