//! Logs: one line per event, for machines or for people. No token is ever in one: secrets are types without a
//! printable form.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::config::{Level, Log, LogFormat};

/// Logs to the standard error from here on. A second call changes nothing.
pub fn init(log: &Log) {
    let level = match log.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    };
    // Libraries below us log bytes at `trace` and bind values at `debug`: never, whatever is asked for.
    let filter = EnvFilter::new(format!("warn,token_broker={level}"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match log.format {
        LogFormat::Json => registry.with(lines.json()).try_init(),
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
    };
}
