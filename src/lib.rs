//! token-broker: a multi-tenant OAuth token broker that spends each refresh token once and loses nothing.
//! `ARCHITECTURE.md` has the map.

pub mod clock;
pub mod model;
pub mod provider;
pub mod store;
