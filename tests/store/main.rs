//! The stores: one contract for all of them, what is `SQLite`'s own, and the property that holds them to the model.
#![expect(clippy::unwrap_used, reason = "tests")]

mod contract;
mod fitness;
mod fixtures;
mod migrating;
mod pool;
mod postgres;
mod property;
#[path = "../servers/mod.rs"]
mod servers;
mod sqlite;
