//! `PgBouncer` in front of a cluster, with transaction pooling and fewer servers than clients.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use secrecy::SecretString;
use tempfile::TempDir;

use super::postgres::{Cluster, Database, free_port};

/// It ends with this value, or when its guardian's standard input ends with this process.
const GUARDIAN: &str = r#"trap : HUP INT TERM; "$@" >/dev/null 2>&1 & read -r _; kill -KILL $!"#;

/// A running pooler.
pub struct PgBouncer {
    guardian: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts it and waits until it accepts connections.
    pub async fn start(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let users = folder.path().join("users");
        fs::write(&users, "\"serving\" \"\"\n").unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n\
             default_pool_size = 3\nmax_client_conn = 200\n",
            cluster.port(),
            users.display()
        );
        let ini = folder.path().join("pgbouncer.ini");
        fs::write(&ini, settings).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", GUARDIAN, "guardian", "pgbouncer"]);
        if rustix::process::geteuid().is_root() {
            // It refuses root, and drops to this user once it has read its files.
            command.args(["-u", "postgres"]);
        }
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let guardian =
            command.arg(&ini).env("PATH", path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pooler = Self { guardian, port, _folder: folder };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::task::yield_now().await;
        }
        pooler
    }

    /// Of the user that serves, by way of the pooler.
    pub fn serving_url(&self, database: &Database) -> SecretString {
        format!("postgres://serving@127.0.0.1:{}/{}?sslmode=disable", self.port, database.name).into()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}
