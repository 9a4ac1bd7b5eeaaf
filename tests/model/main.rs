//! The model checker that drives the real state machine (`src/model/grant.rs`, `witness.rs`, `replay.rs`)
//! through everything that replicas, networks, providers, people and forgetful databases may do
//! (`docs/refresh.md`), and the mutations that it must catch.
//!
//! `cargo test --test model -- --nocapture` prints one line per configuration and mutation.

#![expect(unreachable_pub, reason = "a binary of its own: `pub` says what a module offers to the others")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod authority;
mod configurations;
mod database;
mod decisions;
mod history;
mod journal;
mod mutations;
mod properties;
mod protocol;
mod provider;
mod replica;
mod table;
mod world;
