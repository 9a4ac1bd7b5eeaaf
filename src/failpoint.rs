//! Named points of a refresh at which the fault tests stop a real process and kill it. Without the feature
//! `dev` they are nothing.

/// The points in the order in which a refresh passes them.
pub const POINTS: [&str; 14] = [
    "started",
    "admitted",
    "permitted",
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
    panic: bool,
}

#[cfg(feature = "dev")]
impl Failpoints {
    /// `TOKEN_BROKER_FAILPOINT` names the point, `TOKEN_BROKER_FAILPOINT_LOG` a file that gets a line whenever
    /// a task stops there. With `TOKEN_BROKER_FAILPOINT_ACTION=panic` it panics instead.
    #[must_use]
    pub fn from_env() -> Self {
        let stop =
            std::env::var("TOKEN_BROKER_FAILPOINT").ok().zip(std::env::var_os("TOKEN_BROKER_FAILPOINT_LOG"));
        let panic = std::env::var_os("TOKEN_BROKER_FAILPOINT_ACTION").is_some_and(|action| action == "panic");
        Self { stop: stop.map(|(at, log)| Stop { at, log: log.into(), panic }) }
    }

    /// Passes, or stops here for ever.
    ///
    /// # Panics
    /// Where a test wants it.
    pub async fn reach(&self, point: &'static str) {
        debug_assert!(POINTS.contains(&point), "an unlisted failpoint");
        let Some(stop) = self.stop.as_ref().filter(|stop| stop.at == point) else { return };
        let line = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&stop.log)
            .and_then(|mut log| std::io::Write::write_all(&mut log, format!("{point}\n").as_bytes()));
        tracing::warn!(point, ok = line.is_ok(), "stopped at a failpoint");
        assert!(!stop.panic, "at the failpoint {point}");
        std::future::pending::<()>().await;
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
