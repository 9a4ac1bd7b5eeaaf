//! Faults, with real processes: the broker is started, killed, traced and misled as a binary; the provider is the
//! simulator in this process, whose log is the witness (`docs/refresh.md`, invariants I1 to I9).
//!
//! `cargo test --test faults -- --nocapture` prints one table per group of faults.

#![expect(unreachable_pub, reason = "a binary of its own: `pub` says what a module offers to the others")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![expect(clippy::print_stdout, reason = "the tables are for people")]

mod harness;
mod kill_matrix;
mod provider;

mod trace;
