//! Servers as processes of their own, on processors that `main` names.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{SERVERS_RUN_ON, caller};

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
    said: PathBuf,
}

impl Server {
    /// Starts a program, under another one where there is one, and waits until it says where it listens.
    pub(crate) async fn start(under: &[&str], program: &[&str], address_file: &Path) -> anyhow::Result<Self> {
        let _ = std::fs::remove_file(address_file);
        let said = address_file.with_extension("stderr");
        let mut process = Command::new("taskset")
            .args(["-c", SERVERS_RUN_ON])
            .args(under)
            .args(program)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&said)?)
            .kill_on_drop(true)
            .spawn()
            .context("taskset")?;
        loop {
            if let Ok(text) = std::fs::read(address_file) {
                let addresses: serde_json::Value = serde_json::from_slice(&text)?;
                let address = addresses["grpc"].as_str().context("no address")?.parse()?;
                // tonic's `serve` listens when it is polled, and cannot say so.
                if TcpStream::connect(address).await.is_ok() {
                    return Ok(Self { address, process, said });
                }
            }
            ensure!(process.try_wait()?.is_none(), "{}", std::fs::read_to_string(&said)?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// One reply, as it came.
    pub(crate) async fn reply(&self) -> anyhow::Result<Bytes> {
        let channel = caller::connect(self.address).await?;
        caller::reply(channel).await.with_context(|| self.said())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.id()?, signal)?)
    }

    /// Its process id: what it was started under has made room for it.
    pub(crate) fn id(&self) -> anyhow::Result<Pid> {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).context("the server is gone")
    }

    /// Stops it, and returns what it said on its standard error.
    pub(crate) async fn stop(mut self) -> anyhow::Result<String> {
        self.signal(Signal::TERM)?;
        let status = self.process.wait().await?;
        let said = self.said();
        ensure!(status.success(), "{status}: {said}");
        Ok(said)
    }

    /// What it said on its standard error.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

/// Starts this program as one of the broker's rivals.
pub(crate) async fn rival(under: &[&str], kind: &str, reply: &Bytes, place: &Path) -> anyhow::Result<Server> {
    let (reply_file, address_file) = (file(place, kind, "reply"), file(place, kind, "address"));
    std::fs::write(&reply_file, reply)?;
    let this = std::env::current_exe()?;
    let words = [this.as_path(), Path::new("serve"), Path::new(kind), &reply_file, &address_file];
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    Server::start(under, &words.context("a path that is text")?, &address_file).await
}

fn file(place: &Path, kind: &str, what: &str) -> PathBuf {
    place.join(format!("{kind}.{what}"))
}

/// What a rival returns.
pub(crate) fn read(reply_file: &str) -> anyhow::Result<Bytes> {
    Ok(std::fs::read(reply_file).context("the reply")?.into())
}

/// A rival says where it listens.
pub(crate) fn announce(address_file: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let unfinished = address_file.with_extension("unfinished");
    std::fs::write(&unfinished, serde_json::json!({ "grpc": address }).to_string())?;
    Ok(std::fs::rename(unfinished, address_file)?)
}

/// A rival is told to stop.
pub(crate) async fn stopped() {
    let _ = token_broker::lifecycle::stop_requested().await;
}
