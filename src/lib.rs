//! token-broker: a multi-tenant OAuth token broker that spends each refresh token once and loses nothing.
//! `ARCHITECTURE.md` has the map.

pub mod app;
pub mod audit;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coordination;
#[cfg(feature = "dev")]
pub mod dev;
pub mod error;
pub mod failpoint;
mod file_lock;
pub mod identity;
pub mod journal;
pub mod lifecycle;
pub mod model;
pub mod provider;
pub mod refresh;
pub mod rpc;
pub mod seal;
pub mod store;
pub mod telemetry;
pub mod web;
