//! The simulator, seen from outside: by TCP, and by the library calls that tests use.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod api;
mod authorize;
mod control;
mod faults;
mod fixture;
mod hold;
mod refresh;
mod revocation;
mod token;
