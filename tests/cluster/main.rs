//! Faults of a fleet, with real processes: several brokers, a private PostgreSQL and a private Redis are killed, stopped,
//! parted and misled; the provider is the simulator in this process, whose log is the witness (`docs/refresh.md`).
//!
//! `cargo test --test cluster -- --nocapture` prints one table per group of faults; `scripts/chaos` throws them at random.

#![expect(unreachable_pub, reason = "a binary of its own: `pub` says what a module offers to the others")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![expect(clippy::print_stdout, reason = "the tables are for people")]

mod adjacent;
mod chaos;
mod endings;
mod guards;
mod harness;
mod healthy;
mod issuances;
mod kills;
mod operators;
mod pauses;
mod postgres_faults;
mod redis_faults;
mod restores;
#[path = "../servers/mod.rs"]
mod servers;
mod storms;
mod upgrades;
