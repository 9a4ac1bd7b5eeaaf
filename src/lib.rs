//! token-broker: a multi-tenant OAuth token broker that spends each refresh token once and loses nothing.
//! `ARCHITECTURE.md` has the map.

pub mod cli;
pub mod clock;
pub mod config;
pub mod model;
pub mod seal;
pub mod store;
