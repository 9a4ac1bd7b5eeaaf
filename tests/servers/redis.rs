//! Redis: one server, a primary with a replica and a sentinel, a cluster.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult, TlsCertificates, cmd};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// Below the range from which the system gives ports to outgoing connections, so that a server finds its port again;
/// a cluster also uses the port ten thousand above.
const PORTS: std::ops::Range<u16> = 11_000..22_000;

/// A server that can be killed, stopped, emptied and started again.
pub struct Redis {
    folder: TempDir,
    port: u16,
    scheme: &'static str,
    arguments: Vec<String>,
    process: Option<Process>,
}

/// A program whose guardian, a shell, kills it when this process is gone: its standard input then ends.
struct Process {
    _guardian: Child,
    id: Pid,
}

impl Process {
    async fn start(program: &str, arguments: &[String], log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut guardian = Command::new("sh")
            .args(["-c", r#""$@" <&- >&2 & echo $!; read -r _; kill -KILL $!; wait"#, "guardian", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let id = BufReader::new(guardian.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
        Self { _guardian: guardian, id: Pid::from_raw(id.parse().unwrap()).unwrap() }
    }

    fn signal(&self, signal: Signal) {
        // Already gone is gone.
        let _ = kill_process(self.id, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Redis {
    /// A server without persistence.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with more arguments.
    pub async fn with(arguments: &[&str]) -> Self {
        Self::prepared(arguments).started().await
    }

    /// A server that was not started yet.
    pub fn prepared(arguments: &[&str]) -> Self {
        Self::at(None, arguments)
    }

    /// A server that speaks TLS only, and asks for certificates of `clients`.
    pub async fn with_tls(tls: &Tls, clients: bool) -> Self {
        let clients = if clients { "yes" } else { "no" };
        Self::at(Some(tls), &["--tls-auth-clients", clients]).started().await
    }

    fn at(tls: Option<&Tls>, more: &[&str]) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let socket = folder.path().join("socket").display().to_string();
        let dir = folder.path().display().to_string();
        let mut arguments: Vec<String> =
            listening(tls, port).into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect();
        let mut add = |more: &[&str]| arguments.extend(more.iter().map(|&word| word.to_owned()));
        add(&["--bind", "127.0.0.1", "--dir", &dir]);
        add(&["--unixsocket", &socket, "--save", "", "--appendfsync", "no"]);
        add(&["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"]);
        add(&["--set-proc-title", "no"]); // it would be written over the environment, by which a run finds what it left
        add(more);
        Self { folder, port, scheme: scheme(tls), arguments, process: None }
    }

    async fn started(mut self) -> Self {
        self.restart().await;
        self
    }

    /// Where it listens on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn id(&self) -> Pid {
        self.process.as_ref().expect("it runs").id
    }

    /// `redis://`, or `rediss://`.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Starts it, or starts it again: with what it has on disk, which is nothing unless it was told otherwise.
    pub async fn restart(&mut self) {
        self.kill().await;
        let log = self.folder.path().join("log");
        self.process = Some(Process::start("redis-server", &self.arguments, &log).await);
        until("redis-server answers", async || self.ask::<String>(&cmd("PING")).await.is_ok()).await;
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::KILL);
            let ended = format!("/proc/{}/status", process.id.as_raw_pid());
            until("redis-server has ended", async || {
                fs::read_to_string(&ended).map_or(true, |status| status.contains("State:\tZ"))
            })
            .await;
        }
    }

    /// SIGSTOP: it accepts connections and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Forgets everything.
    pub async fn flush(&self) {
        let _: String = self.run(&cmd("FLUSHALL")).await;
    }

    /// Answers nobody for a while, not even the administrator.
    pub async fn pause(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap();
        let _: String = self.run(cmd("CLIENT").arg("PAUSE").arg(millis).arg("ALL")).await;
    }

    /// Answers nothing that writes, until [`Self::resume_writes`].
    pub async fn pause_writes(&self) {
        let _: String = self.run(cmd("CLIENT").arg("PAUSE").arg(600_000).arg("WRITE")).await;
    }

    /// Does and answers what has waited.
    pub async fn resume_writes(&self) {
        let _: String = self.run(cmd("CLIENT").arg("UNPAUSE")).await;
    }

    /// Runs a command as the administrator; it must succeed.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> T {
        self.ask(command).await.unwrap()
    }

    /// Runs a command as the administrator, over the socket file. A busy machine takes its time.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let socket = self.folder.path().join("socket");
        let client = Client::open(format!("redis+unix://{}", socket.display()))?;
        let minute = Some(Duration::from_mins(1));
        let patient =
            AsyncConnectionConfig::new().set_connection_timeout(minute).set_response_timeout(minute);
        command.query_async(&mut client.get_multiplexed_async_connection_with_config(&patient).await?).await
    }

    /// Whether its INFO has a line.
    pub async fn says(&self, line: &str) -> bool {
        // A server that changes its role drops its connections.
        let info = self.ask::<String>(&cmd("INFO")).await.unwrap_or_default();
        info.lines().any(|each| each.starts_with(line))
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }
}

/// A primary, its replica, and a sentinel that decides alone.
pub struct Sentinel {
    /// Which takes writes at first.
    pub primary: Redis,
    /// Which takes over.
    pub replica: Redis,
    port: u16,
    tls: Option<TlsCertificates>,
    _folder: TempDir,
    _process: Process,
}

impl Sentinel {
    /// What the sentinel calls the primary.
    pub const MASTER: &str = "main";

    /// All three, in agreement; with `tls` nobody talks to anybody without.
    pub async fn start(tls: Option<&Tls>) -> Self {
        let primary = Redis::at(tls, &[]).started().await;
        let port = primary.port().to_string();
        let replica = Redis::at(tls, &["--replicaof", "127.0.0.1", &port]).started().await;
        // The primary's own view: until then it counts no acknowledgement.
        let online = format!("slave0:ip=127.0.0.1,port={},state=online", replica.port());
        until("the replica is in sync", async || primary.says(&online).await).await;
        let (folder, port, name) = (tempfile::tempdir().unwrap(), free_port(), Self::MASTER);
        let config = folder.path().join("sentinel.conf");
        let listening: String = listening(tls, port)
            .iter()
            .fold(String::new(), |text, (name, value)| text + &format!("{name} {value}\n"));
        let text = format!(
            "{listening}bind 127.0.0.1\ndir {}\nset-proc-title no\nsentinel monitor {name} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 2000\n",
            folder.path().display(),
            primary.port(),
        );
        fs::write(&config, text).unwrap();
        let arguments = [config.display().to_string(), "--sentinel".to_owned()];
        let process = Process::start("redis-server", &arguments, &folder.path().join("log")).await;
        let tls = tls.map(Tls::known);
        let sentinel = Self { primary, replica, port, tls, _folder: folder, _process: process };
        until("the sentinel knows the replica", async || {
            sentinel.says("status=ok,address=", "slaves=1").await
        })
        .await;
        sentinel
    }

    /// Where the sentinel listens.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.primary.scheme, self.port)
    }

    /// Kills the primary and waits until the replica takes writes.
    pub async fn fail_over(&mut self) {
        self.primary.kill().await;
        until("the replica is promoted", async || self.replica.says("role:master").await).await;
    }

    async fn says(&self, first: &str, second: &str) -> bool {
        let client = match &self.tls {
            Some(known) => Client::build_with_tls(self.url(), known.clone()),
            None => Client::open(self.url()),
        };
        let Ok(client) = client else { return false };
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
        let info: RedisResult<String> = cmd("INFO").arg("sentinel").query_async(&mut connection).await;
        info.is_ok_and(|info| info.contains(first) && info.contains(second))
    }
}

/// Three primaries that share the keys.
pub struct Cluster(pub [Redis; 3]);

impl Cluster {
    /// All three, in agreement; with `tls` nobody talks to anybody without.
    pub async fn start(tls: Option<&Tls>) -> Self {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let node = || Redis::at(tls, &arguments).started();
        let nodes = [node().await, node().await, node().await];
        for (index, (from, to)) in [(0, 5460), (5461, 10_922), (10_923, 16_383)].into_iter().enumerate() {
            let _: String = nodes[index].run(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(from).arg(to)).await;
            let _: String = nodes[index].run(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(index + 1)).await;
            if index > 0 {
                let first = nodes[0].port();
                let _: String =
                    nodes[index].run(cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(first)).await;
            }
        }
        for node in &nodes {
            until("the cluster agrees", async || {
                let info: String = node.run(cmd("CLUSTER").arg("INFO")).await;
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
            .await;
        }
        Self(nodes)
    }

    /// Where they listen.
    pub fn urls(&self) -> Vec<String> {
        self.0.iter().map(Redis::url).collect()
    }
}

/// A certificate authority, and what it has issued: `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
pub struct Tls(TempDir);

impl Tls {
    /// An authority of its own.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        // Another name than those it issues: what names itself as its issuer is taken for self-signed.
        ca.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_key = rcgen::KeyPair::generate().unwrap();
        write("ca.pem", &ca.self_signed(&ca_key).unwrap().pem());
        let issuer = rcgen::Issuer::new(ca, ca_key);
        for name in ["server", "client"] {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            write(&format!("{name}.pem"), &params.signed_by(&key, &issuer).unwrap().pem());
            write(&format!("{name}.key"), &key.serialize_pem());
        }
        Self(folder)
    }

    /// One of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn known(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: Some(fs::read(self.path("ca.pem")).unwrap()) }
    }
}

const fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "rediss" } else { "redis" }
}

/// The settings of a server that listens at a port.
fn listening(tls: Option<&Tls>, port: u16) -> Vec<(&'static str, String)> {
    let Some(tls) = tls else { return vec![("port", port.to_string())] };
    let file = |name: &str| tls.path(name).display().to_string();
    vec![
        ("port", "0".to_owned()),
        ("tls-port", port.to_string()),
        ("tls-ca-cert-file", file("ca.pem")),
        ("tls-cert-file", file("server.pem")),
        ("tls-key-file", file("server.key")),
        ("tls-auth-clients", "no".to_owned()),
        ("tls-replication", "yes".to_owned()),
        ("tls-cluster", "yes".to_owned()),
    ]
}

/// Waits, not for ever.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        if [port, port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}
