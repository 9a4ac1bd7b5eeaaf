//! An independent judge: a certified OAuth provider (npm `oidc-provider`) that rotates at every use and revokes the
//! whole grant when a refresh token is presented twice. A real broker, 50 callers, access tokens that live for
//! seconds: whatever goes wrong here has cost a tenant their consent.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::{
    fs,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use token_broker_proto::v1::{
    AddClientSecretRequest, Connection, CreateConnectionRequest, CreateOAuthClientRequest,
    CreateTenantRequest, GetAccessTokenRequest, ImportConnectionRequest, OAuthClient, Tenant,
    connection::GrantType, connection_service_client::ConnectionServiceClient,
    o_auth_client_service_client::OAuthClientServiceClient, tenant_service_client::TenantServiceClient,
    token_service_client::TokenServiceClient,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};
use tonic::{Request, transport::Channel};

const CONNECTIONS: usize = 20;
const CALLERS: usize = 50;
const REFRESHES: u64 = 200;
/// The provider counts in whole seconds: a token lives for up to one less than this says.
const TOKEN_LIFE: u64 = 4;
const OPERATOR: &str = "an-operators-token-for-this-test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_provider_never_sees_a_token_twice() {
    let provider = Provider::start().await;
    let broker = Broker::start(&provider).await;
    let channel = broker.channel().await;
    set_up(&channel, &provider).await;

    let started = Instant::now();
    let done = Arc::new(AtomicBool::new(false));
    let (calls, samples) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (channel, done) = (channel.clone(), done.clone());
            let (calls, samples) = (calls.clone(), samples.clone());
            let userinfo = provider.fact("userinfo_endpoint");
            tokio::spawn(async move {
                let mut client = TokenServiceClient::new(channel);
                let mut generation = 0;
                for call in number.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = connection(number % CONNECTIONS);
                    let request = GetAccessTokenRequest { name, ..GetAccessTokenRequest::default() };
                    let token = client
                        .get_access_token(operator(request))
                        .await
                        .expect("always a token")
                        .into_inner();
                    assert!(token.generation >= generation, "a generation went back");
                    generation = token.generation;
                    calls.fetch_add(1, Ordering::Relaxed);
                    if call % 20 == 0
                        && accepted(&userinfo, &token.access_token, token.expire_time.unwrap()).await
                    {
                        samples.fetch_add(1, Ordering::Relaxed);
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            })
        })
        .collect();
    while provider.state().await["refreshes"].as_u64().unwrap() < REFRESHES {
        assert!(callers.iter().all(|caller| !caller.is_finished()), "a caller has failed, see above");
        assert!(
            started.elapsed() < Duration::from_mins(2),
            "the provider saw too few refreshes: {}",
            provider.state().await
        );
        sleep(Duration::from_millis(100)).await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let elapsed = started.elapsed();
    broker.stop().await; // what was in flight is finished

    let state = provider.state().await;
    println!(
        "{calls} calls of {CALLERS} callers in {elapsed:.1?}: {} refreshes of {CONNECTIONS} grants, {} alive, {} revoked, \
         {} errors; {samples} tokens sampled, all accepted",
        state["refreshes"],
        state["alive"],
        state["revoked"].as_array().unwrap().len(),
        state["errors"].as_array().unwrap().len(),
        calls = calls.load(Ordering::Relaxed),
        samples = samples.load(Ordering::Relaxed),
    );
    assert_eq!(state["revoked"], json!([]));
    assert_eq!(state["errors"], json!([]));
    assert_eq!(state["alive"], json!(CONNECTIONS));
    assert!(samples.load(Ordering::Relaxed) > CALLERS, "too few tokens were sampled");
}

/// Whether the provider accepts a token. `false`: the sample came too late to tell.
async fn accepted(userinfo: &str, token: &str, expire_time: prost_types::Timestamp) -> bool {
    let (status, body) = http("GET", userinfo, &format!("authorization: Bearer {token}\r\n"), "").await;
    let ends = SystemTime::try_from(expire_time).unwrap() - Duration::from_secs(1);
    let in_time = now() < ends;
    assert!(status == 200 || !in_time, "the provider refuses a token that was handed out: {status} {body}");
    in_time
}

#[expect(clippy::disallowed_methods, reason = "a caller's own clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

// === the broker's resources ===

fn connection(number: usize) -> String {
    format!("tenants/acme/connections/account-{number}")
}

async fn set_up(channel: &Channel, provider: &Provider) {
    let tenant = Tenant { display_name: "Acme".into(), ..Tenant::default() };
    let tenant = CreateTenantRequest { tenant_id: "acme".into(), tenant: Some(tenant) };
    TenantServiceClient::new(channel.clone()).create_tenant(operator(tenant)).await.unwrap();

    let mut clients = OAuthClientServiceClient::new(channel.clone());
    let app = OAuthClient {
        provider: "oidc".into(),
        environment: "test".into(),
        client_id: provider.fact("client_id"),
        ..OAuthClient::default()
    };
    let app = CreateOAuthClientRequest {
        parent: String::new(),
        oauth_client_id: "app".into(),
        oauth_client: Some(app),
    };
    clients.create_o_auth_client(operator(app)).await.unwrap();
    let secret = AddClientSecretRequest {
        name: "oauthClients/app".into(),
        client_secret: provider.fact("client_secret"),
    };
    clients.add_client_secret(operator(secret)).await.unwrap();

    let mut connections = ConnectionServiceClient::new(channel.clone());
    for (number, refresh_token) in provider.grants(CONNECTIONS).await.into_iter().enumerate() {
        let wanted = Connection {
            oauth_client: "oauthClients/app".into(),
            grant_type: GrantType::AuthorizationCode.into(),
            account_id: format!("account-{number}"),
            ..Connection::default()
        };
        let create = CreateConnectionRequest {
            parent: "tenants/acme".into(),
            connection_id: format!("account-{number}"),
            connection: Some(wanted),
        };
        connections.create_connection(operator(create)).await.unwrap();
        let import = ImportConnectionRequest {
            name: connection(number),
            refresh_token,
            ..ImportConnectionRequest::default()
        };
        connections.import_connection(operator(import)).await.unwrap();
    }
}

fn operator<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {OPERATOR}").parse().unwrap());
    request
}

// === the two processes; both die with the test ===

struct Provider {
    _process: Child,
    facts: Value,
}

impl Provider {
    async fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc");
        assert!(
            folder.join("node_modules/oidc-provider").exists(),
            "run `scripts/test tools`: it installs oidc-provider"
        );
        let mut process = Command::new("node")
            .arg(folder.join("provider.mjs"))
            .arg(TOKEN_LIFE.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the provider is a Node.js program: install Node.js 20 or newer");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
        Self { facts: serde_json::from_str(&line).expect("the provider did not start"), _process: process }
    }

    fn fact(&self, name: &str) -> String {
        self.facts[name].as_str().unwrap().to_owned()
    }

    async fn grants(&self, count: usize) -> Vec<String> {
        let asked = json!({ "count": count }).to_string();
        let answer = http("POST", &format!("{}/control/grants", self.fact("issuer")), "", &asked).await.1;
        serde_json::from_value(serde_json::from_str::<Value>(&answer).unwrap()["refresh_tokens"].take())
            .unwrap()
    }

    async fn state(&self) -> Value {
        let answer = http("GET", &format!("{}/control/state", self.fact("issuer")), "", "").await.1;
        serde_json::from_str(&answer).unwrap()
    }
}

struct Broker {
    process: Child,
    grpc: String,
    _folder: tempfile::TempDir,
}

impl Broker {
    async fn start(provider: &Provider) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let run = |arguments: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_token-broker"));
            command.args(arguments.split(' ')).current_dir(folder.path()).kill_on_drop(true);
            command
        };
        fs::write(path("broker.toml"), configuration(provider)).unwrap();
        fs::write(path("operator.token"), OPERATOR).unwrap();
        let made = run("keys generate --out broker.keys").stdout(Stdio::null()).status();
        assert!(made.await.unwrap().success());
        let mut process = run("serve --config broker.toml --address-file addresses").spawn().unwrap();
        let addresses = loop {
            if let Ok(addresses) = fs::read(path("addresses")) {
                break serde_json::from_slice::<Value>(&addresses).unwrap();
            }
            assert!(process.try_wait().unwrap().is_none(), "the broker did not start");
            sleep(Duration::from_millis(20)).await;
        };
        Self { process, grpc: format!("http://{}", addresses["grpc"].as_str().unwrap()), _folder: folder }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(self.grpc.clone()).unwrap().connect().await.unwrap()
    }

    async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(self.process.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.wait().await.unwrap().success(), "the broker did not stop in order");
    }
}

fn configuration(provider: &Provider) -> String {
    format!(
        "
        environment = 'oidc'
        listen = {{ grpc = '127.0.0.1:0', probes = '127.0.0.1:0' }}
        database.path = 'broker.db'
        keys.file = 'broker.keys'
        refresh.renew_after_share = 0.5
        egress.allow_private = ['127.0.0.0/8']
        log.level = 'warn'
        [identity]
        allow_static_on_loopback = true
        static = [{{ principal = 'test', token_file = 'operator.token', roles = ['operator'] }}]
        [[profiles]]
        name = 'oidc'
        client_auth = 'body'
        rotation = 'rotating'
        default_expires_in_s = {TOKEN_LIFE}
        environments.test = {{ token_endpoint = '{}', api_base_uri = '{}' }}
        ",
        provider.fact("token_endpoint"),
        provider.fact("issuer"),
    )
}

/// One request to the provider; its status and body.
async fn http(method: &str, url: &str, header: &str, body: &str) -> (u16, String) {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap();
    let length = body.len();
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{header}\r\n{body}"
    );
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
