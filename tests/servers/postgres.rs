//! A private PostgreSQL cluster: one for all tests of a binary, or one of a test's own, to be killed at will.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use token_broker::store::postgres::Migrations;
use tokio::sync::OnceCell;

/// Where Debian keeps the programs, unless they are on the path.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// Below the range from which the system gives ports to outgoing connections, so that a cluster finds its port again.
const PORTS: std::ops::Range<u16> = 22_000..32_000;
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 400
max_prepared_transactions = 10
shared_buffers = '32MB'
autovacuum = off
dynamic_shared_memory_type = mmap
";

/// The cluster stops, and its folder goes, when the guardian's standard input ends: with this value, or with the
/// process, however that ends.
const GUARDIAN: &str = r#"
trap : HUP INT TERM
folder=$1; shift
"$@" pg_ctl -D "$folder/data" -l "$folder/log" -w start >/dev/null && echo ready || echo failed
read -r _
kill -CONT $(head -n1 "$folder/data/postmaster.pid") 2>/dev/null
"$@" pg_ctl -D "$folder/data" -m immediate stop >/dev/null 2>&1
rm -rf "$folder"
"#;

/// A running cluster.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    guardian: Child,
    databases: AtomicU32,
    migrated: OnceCell<()>,
}

/// A migrated database of its own.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: String,
    port: u16,
}

/// The cluster of all tests in this binary.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(""))
}

impl Cluster {
    /// Makes and starts one, with more lines in its postgresql.conf.
    pub fn start(settings: &str) -> Self {
        Self::start_in(folder(Path::new("/dev/shm")), settings)
    }

    /// The same in a folder inside this one: on a disk, where what a commit costs is to be seen.
    pub fn start_on(disk: &Path, settings: &str) -> Self {
        Self::start_in(folder(disk), settings)
    }

    fn start_in(folder: PathBuf, settings: &str) -> Self {
        let port = free_port();
        let data = folder.join("data");
        let init = ["initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D"];
        run(as_postgres().args(init).arg(&data).stdout(Stdio::null()));
        Self::launch(folder, port, &(SETTINGS.to_owned() + settings))
    }

    fn launch(folder: PathBuf, port: u16, settings: &str) -> Self {
        let data = folder.join("data");
        let sockets = format!("port = {port}\nunix_socket_directories = '{}'\n", folder.display());
        let mut configuration = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        configuration.push_str(&(sockets + settings));
        fs::write(data.join("postgresql.conf"), configuration).unwrap();
        let prefix = as_postgres();
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&folder)
            .arg(prefix.get_program())
            .args(prefix.get_args())
            .env("PATH", path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(guardian.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert_eq!(line, "ready\n", "PostgreSQL does not start:\n{}", log());
        Self { folder, port, guardian, databases: AtomicU32::new(0), migrated: OnceCell::new() }
    }

    /// A migrated database, with a user `serving` who is fit to serve and one `owner` who is not.
    pub async fn database(&self) -> Database {
        self.migrated.get_or_init(|| self.migrate()).await;
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut admin = self.admin("postgres").await;
        let create = format!("CREATE DATABASE {name} TEMPLATE migrated OWNER owner");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
        admin.close().await.unwrap();
        self.named(&name)
    }

    /// A database without anything in it.
    pub async fn empty_database(&self) -> Database {
        let database = self.database().await;
        let mut admin = self.admin("postgres").await;
        let anew = format!("DROP DATABASE {0}; CREATE DATABASE {0} OWNER owner", database.name);
        for statement in anew.split("; ") {
            let statement = AssertSqlSafe(statement.to_owned());
            sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
        }
        database
    }

    /// A first database, in a cluster that no program has migrated: there are its users, and nothing else.
    pub async fn untouched(&self, name: &str) -> Database {
        let mut admin = self.admin("postgres").await;
        let create = format!("CREATE DATABASE {name} OWNER owner");
        for statement in ["CREATE ROLE owner LOGIN CREATEROLE CREATEDB", "CREATE ROLE serving LOGIN", &create]
        {
            let statement = AssertSqlSafe(statement.to_owned());
            sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
        }
        self.named(name)
    }

    async fn migrate(&self) {
        let database = self.untouched("migrated").await;
        let mut admin = self.admin("postgres").await;
        let mut migrations = Migrations::connect(&database.owner_url()).await.unwrap();
        migrations.run().await.unwrap();
        migrations.fit_to_serve("serving").await.unwrap();
        // As a superuser would: the state of standbys.
        sqlx::raw_sql("GRANT pg_read_all_stats TO token_broker_gate").execute(&mut admin).await.unwrap();
        drop(migrations);
        self.quiet("migrated").await;
    }

    /// Waits until nobody is connected to a database: only then it can be copied.
    async fn quiet(&self, name: &str) {
        let mut admin = self.admin("postgres").await;
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        while sqlx::query_scalar::<_, i64>(busy).bind(name).fetch_one(&mut admin).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// A database that was made by other means.
    pub fn named(&self, name: &str) -> Database {
        Database { name: name.to_owned(), port: self.port }
    }

    /// A superuser's connection.
    pub async fn admin(&self, database: &str) -> PgConnection {
        self.named(database).connect("postgres").await
    }

    /// A standby that streams from this one, as `standby`.
    pub fn standby(&self, settings: &str) -> Self {
        let folder = folder(Path::new("/dev/shm"));
        let (port, from) = (free_port(), self.port.to_string());
        let mut copy = as_postgres();
        copy.args(["pg_basebackup", "-h", "127.0.0.1", "-U", "postgres", "-c", "fast", "-p", &from, "-D"]);
        run(copy.arg(folder.join("data")).stdout(Stdio::null()));
        fs::write(folder.join("data/standby.signal"), "").unwrap();
        let primary = format!("host=127.0.0.1 port={from} user=postgres application_name=standby");
        let settings = format!("{settings}\nhot_standby = on\nprimary_conninfo = '{primary}'\n");
        Self::launch(folder, port, &settings)
    }

    /// The same database in this cluster.
    pub fn database_of(&self, other: &Database) -> Database {
        self.named(&other.name)
    }

    /// Starts it again.
    pub fn restart(&self) {
        let data = self.folder.join("data");
        let mut start = as_postgres();
        start.args(["pg_ctl", "-w", "start", "-D"]).arg(data).arg("-l").arg(self.folder.join("log"));
        let started = start.stdout(Stdio::null()).status().unwrap();
        let log = || fs::read_to_string(self.folder.join("log")).unwrap();
        assert!(started.success(), "PostgreSQL does not start again:\n{}", log());
    }

    /// An orderly stop.
    pub fn stop(&self) {
        run(as_postgres()
            .args(["pg_ctl", "-w", "-m", "fast", "stop", "-D"])
            .arg(self.folder.join("data"))
            .stdout(Stdio::null()));
    }

    /// Keeps a copy of a stopped cluster's files.
    pub fn keep_copy(&self) {
        let (data, copy) = (self.folder.join("data"), self.folder.join("copy"));
        run(as_postgres().arg("cp").arg("-a").arg(data).arg(copy));
    }

    /// Puts the copy in the place of a stopped cluster's files: what was committed since is forgotten.
    pub fn put_copy_back(&self) {
        let (data, copy) = (self.folder.join("data"), self.folder.join("copy"));
        fs::remove_dir_all(&data).unwrap();
        fs::rename(copy, data).unwrap();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// SIGKILL to every process of it: what was not written out is gone.
    pub fn kill(&self) {
        let processes = self.processes();
        self.signal(Signal::KILL);
        while processes.iter().any(|process| is_running(*process)) {
            std::thread::yield_now();
        }
        // Nobody may have taken note of its death yet: a zombie looks like an owner of these.
        let socket = format!(".s.PGSQL.{}", self.port);
        for file in ["data/postmaster.pid", &socket, &format!("{socket}.lock")] {
            let _ = fs::remove_file(self.folder.join(file));
        }
    }

    /// SIGSTOP to every process of it.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGSTOP to the process that writes the log behind everybody's back: only commits flush now.
    pub fn pause_wal_writer(&self) {
        let is_writer = |process: &Pid| {
            let title = fs::read_to_string(format!("/proc/{}/cmdline", process.as_raw_pid()));
            title.is_ok_and(|title| title.contains("walwriter"))
        };
        let writer = self.processes().into_iter().find(is_writer).unwrap();
        kill_process(writer, Signal::STOP).unwrap();
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes() {
            let _ = kill_process(process, signal);
        }
    }

    /// The postmaster first.
    pub fn processes(&self) -> Vec<Pid> {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let mut processes = vec![postmaster];
        processes.extend(children.unwrap().split_whitespace().map(str::to_owned));
        processes.iter().map(|id| Pid::from_raw(id.parse().unwrap()).unwrap()).collect()
    }

    /// Where it listens on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

impl Database {
    /// Of the user that serves.
    pub fn serving_url(&self) -> SecretString {
        self.url("serving")
    }

    /// Of the user that migrates.
    pub fn owner_url(&self) -> SecretString {
        self.url("owner")
    }

    /// Of any user.
    pub fn url(&self, user: &str) -> SecretString {
        format!("postgres://{user}@127.0.0.1:{}/{}?sslmode=disable", self.port, self.name).into()
    }

    /// A console of some user.
    pub async fn connect(&self, user: &str) -> PgConnection {
        let options = PgConnectOptions::new().host("127.0.0.1").port(self.port).database(&self.name);
        options.username(user).connect().await.unwrap()
    }
}

/// PostgreSQL refuses to run as root.
fn as_postgres() -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "env"]);
        command
    } else {
        Command::new("env")
    };
    command.arg(format!("PATH={}", path())).current_dir("/");
    command
}

fn path() -> String {
    format!("{}:{PROGRAMS}", std::env::var("PATH").unwrap_or_default())
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

/// In memory where the machine has such a file system, and open to the user that PostgreSQL runs as.
fn folder(place: &Path) -> PathBuf {
    let mut builder = tempfile::Builder::new();
    builder.prefix("broker-postgres");
    let folder = builder.tempdir_in(place).or_else(|_| builder.tempdir()).unwrap().keep();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        let id = |flag| {
            let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
        };
        chown(&folder, Some(id("-u")), Some(id("-g"))).unwrap();
    }
    folder
}

pub fn free_port() -> u16 {
    // Clusters that start at the same time begin to look at different ports.
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let start =
        std::process::id().wrapping_add(STARTED.fetch_add(1, Ordering::Relaxed).wrapping_mul(500)) % 10_000;
    let mut ports = PORTS.cycle().skip(start.try_into().unwrap()).take(PORTS.len());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

fn is_running(process: Pid) -> bool {
    let status = Path::new("/proc").join(process.as_raw_pid().to_string()).join("status");
    fs::read_to_string(status).is_ok_and(|status| !status.contains("State:\tZ"))
}
