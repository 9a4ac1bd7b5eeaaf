//! Named points of a refresh at which the fault tests stop a real process and kill it. Without the feature
//! `dev` they are nothing.

/// The points in the order in which a refresh passes them.
pub const POINTS: [&str; 14] = [
    "started",
    "permitted",
    "admitted",
    "ready",
    "connected",
    "before_burn",
    "burnt",
    "taken",
    "before_send",
    "answered",
    "before_settle",
    "settled",
    "before_wake",
    "woken",
];

/// Which point stops its task, if any.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    #[cfg(feature = "dev")]
    stop: Option<Stop>,
}

#[cfg(feature = "dev")]
#[derive(Clone, Debug)]
struct Stop {
    at: String,
    log: std::path::PathBuf,
    action: Action,
}

#[cfg(feature = "dev")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Stop,
    Hold,
    Panic,
}

/// Between two looks whether a held task may go on.
#[cfg(feature = "dev")]
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

#[cfg(feature = "dev")]
impl Failpoints {
    /// `TOKEN_BROKER_FAILPOINT` names the point, `TOKEN_BROKER_FAILPOINT_LOG` a file that gets a line whenever
    /// a task stops there. `TOKEN_BROKER_FAILPOINT_ACTION` may be `panic`, or `hold`: until there is a file of the log's
    /// name with the extension `go`.
    #[must_use]
    pub fn from_env() -> Self {
        let stop =
            std::env::var("TOKEN_BROKER_FAILPOINT").ok().zip(std::env::var_os("TOKEN_BROKER_FAILPOINT_LOG"));
        let action = match std::env::var("TOKEN_BROKER_FAILPOINT_ACTION").as_deref() {
            Ok("panic") => Action::Panic,
            Ok("hold") => Action::Hold,
            _ => Action::Stop,
        };
        Self { stop: stop.map(|(at, log)| Stop { at, log: log.into(), action }) }
    }

    /// Passes, or stops here: for ever, or until it may go on.
    ///
    /// # Panics
    /// Where a test wants it.
    pub async fn reach(&self, point: &'static str) {
        debug_assert!(POINTS.contains(&point), "an unlisted failpoint");
        let Some(stop) = self.stop.as_ref().filter(|stop| stop.at == point) else { return };
        let go = stop.log.with_extension("go");
        if stop.action == Action::Hold && go.exists() {
            return;
        }
        let line = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&stop.log)
            .and_then(|mut log| std::io::Write::write_all(&mut log, format!("{point}\n").as_bytes()));
        tracing::warn!(point, ok = line.is_ok(), "stopped at a failpoint");
        assert!(stop.action != Action::Panic, "at the failpoint {point}");
        while stop.action == Action::Stop || !go.exists() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(not(feature = "dev"))]
impl Failpoints {
    /// None: they are compiled out.
    #[must_use]
    pub const fn from_env() -> Self {
        Self {}
    }

    /// Passes.
    #[expect(clippy::unused_async, reason = "the same shape as with the feature")]
    pub async fn reach(&self, _point: &'static str) {}
}
