//! Redis, real and broken: what it grants, keeps and tells, and that its faults cost time only.

#![expect(unreachable_pub, reason = "a binary of its own: `pub` says what a module offers to the others")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod access;
mod escrow;
mod faults;
mod lease;
mod proxy;
#[path = "../servers/mod.rs"]
mod servers;
mod signals;
mod slots;
mod support;
mod together;
mod topologies;
mod witness;
