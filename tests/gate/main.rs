//! The gate in Postgres: what SQL can do to it, whoever says it. No code of the broker is between.
#![expect(clippy::unwrap_used, reason = "tests")]

mod console;
mod denied;
mod races;
mod refusals;
#[path = "../servers/mod.rs"]
mod servers;
mod take;
mod together;
