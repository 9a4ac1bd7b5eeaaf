//! The token endpoint client against small servers written by hand, and what their answers mean.
//! Tests are named by the rows of the error and response classes in `docs/refresh.md`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod addresses;
mod answers;
mod classes;
mod connecting;
mod profiles;
mod properties;
mod proxies;
mod secrets;
mod support;
mod torn;
