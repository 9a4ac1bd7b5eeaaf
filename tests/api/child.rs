//! The binary as a child process.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use token_broker::config::Config;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use crate::world::{eventually, soon};

/// A broker that serves.
pub(crate) struct Serving {
    pub(crate) grpc: SocketAddr,
    process: Child,
}

impl Serving {
    /// Its log is `broker.log` in that folder.
    pub(crate) async fn start(config: &Config, place: &Path) -> Self {
        let addresses = place.join("addresses.json");
        fs::write(place.join("config.toml"), config.summary().unwrap()).unwrap();
        let mut process = command()
            .arg("serve")
            .args([Path::new("--config"), &place.join("config.toml")])
            .args([Path::new("--address-file"), &addresses])
            .stderr(File::create(place.join("broker.log")).unwrap())
            .spawn()
            .unwrap();
        let addresses = eventually("the broker serves", async || {
            assert_eq!(process.try_wait().unwrap(), None, "the broker ended");
            fs::read_to_string(&addresses).ok()
        })
        .await;
        let addresses: serde_json::Value = serde_json::from_str(&addresses).unwrap();
        Self { grpc: addresses["grpc"].as_str().unwrap().parse().unwrap(), process }
    }

    /// By SIGTERM.
    pub(crate) async fn stop(mut self) {
        let id = i32::try_from(self.process.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        let status = soon("the broker stops", self.process.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

/// Runs the binary to its end.
pub(crate) async fn run(arguments: &[&str], input: &str) -> Output {
    let mut process = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // A process that does not read its input is none the worse for it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    soon("the process ends", process.wait_with_output()).await.unwrap()
}

/// Without whatever this process was started with.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token-broker"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOKEN_BROKER") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command
}
