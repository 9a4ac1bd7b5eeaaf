//! The broker as a process that can be stopped in its tracks.

#![allow(dead_code, reason = "shared with tests/cluster, which uses another part")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

use super::{Caller, guarded, until};

/// How a broker is started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// Another build of the broker than this one.
    pub program: Option<PathBuf>,
    /// The failpoint at which refreshes stop, and the file that counts them.
    pub stop_at: Option<(String, PathBuf)>,
    /// Whether they panic there instead.
    pub panic: bool,
    /// Whether they go on once they are let go.
    pub hold: bool,
    /// Where `strace` writes what it sees.
    pub trace: Option<PathBuf>,
}

/// A running broker; it dies with this value.
pub struct Broker {
    child: Child,
    credential: String,
    log: PathBuf,
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    probes: SocketAddr,
}

impl Broker {
    /// Starts a broker on a folder with a `config.toml`, and waits until it serves.
    pub async fn start(folder: &Path, credential: &str, launch: &Launch) -> Self {
        let addresses = folder.join("addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let path = folder.join("broker.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut command = launch.command();
        command
            .arg("serve")
            .args([Path::new("--config"), &folder.join("config.toml")])
            .args([Path::new("--address-file"), &addresses])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker =
            Self { child, credential: credential.to_owned(), log: path, grpc: nowhere, probes: nowhere };
        until("a broker serves", async || {
            let ended = broker.child.try_wait().unwrap();
            assert!(ended.is_none(), "the broker ended, {ended:?}:\n{}", broker.log());
            addresses.exists()
        })
        .await;
        let text = std::fs::read(&addresses).unwrap();
        let addresses = serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        let at = |name: &str| addresses[name].as_str().unwrap().parse().unwrap();
        (broker.grpc, broker.probes) = (at("grpc"), at("probes"));
        broker
    }

    /// A caller on a connection of its own, with every right.
    pub async fn caller(&self) -> Caller {
        Caller::connect(self.grpc, &self.credential).await
    }

    /// SIGKILL: no drain, no flush.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        guarded("a killed broker is gone", self.child.wait()).await.unwrap();
    }

    /// Whether it wants to be called.
    pub async fn is_ready(&self) -> bool {
        self.readiness().await.split_whitespace().nth(1) == Some("200")
    }

    /// What `/readyz` answers.
    pub async fn readiness(&self) -> String {
        let mut probe = TcpStream::connect(self.probes).await.unwrap();
        probe.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        guarded("the broker ends", self.child.wait()).await.unwrap()
    }

    /// SIGTERM; it must drain and exit well.
    pub async fn stop(self) {
        self.terminate();
        let log = self.log.clone();
        let status = self.ended().await;
        assert!(status.success(), "{status}:\n{}", std::fs::read_to_string(log).unwrap());
    }

    /// Everything it and its predecessors on this folder have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the broker has not been waited for")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(id, signal).unwrap();
    }
}

impl Launch {
    /// Stops refreshes at a failpoint.
    pub fn stopping_at(point: &str, log: PathBuf) -> Self {
        Self { stop_at: Some((point.to_owned(), log)), ..Self::default() }
    }

    /// Holds refreshes at a failpoint until there is a file of the log's name with the extension `go`.
    pub fn holding_at(point: &str, log: PathBuf) -> Self {
        Self { hold: true, ..Self::stopping_at(point, log) }
    }

    fn command(&self) -> Command {
        let broker = self.program.as_deref().unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_token-broker")));
        let mut command = match &self.trace {
            None => Command::new(broker),
            Some(trace) => {
                // `-D`: the broker stays our child, and is what signals reach.
                let mut strace = Command::new("strace");
                strace.args(["-D", "-f", "-tt", "-yy", "-s", "4096", "-o"]).arg(trace);
                let calls = [
                    "fsync,fdatasync,pwrite64,connect",
                    "sendto,write,writev,sendmsg",
                    "recvfrom,read,recvmsg,readv",
                ];
                strace.arg("-e").arg(format!("trace={}", calls.join(","))).arg(broker);
                strace
            }
        };
        if let Some((point, log)) = &self.stop_at {
            command.env("TOKEN_BROKER_FAILPOINT", point).env("TOKEN_BROKER_FAILPOINT_LOG", log);
        }
        if self.panic {
            command.env("TOKEN_BROKER_FAILPOINT_ACTION", "panic");
        }
        if self.hold {
            command.env("TOKEN_BROKER_FAILPOINT_ACTION", "hold");
        }
        command
    }
}
