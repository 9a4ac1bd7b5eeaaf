//! The public contract, as its callers see it, and bad input of every kind. Each test has a broker, a simulated
//! provider, a folder and ports of its own; child processes only where the process itself is the subject.
#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod answers;
mod audit;
mod caller;
mod canary;
mod child;
mod cli;
mod crud;
mod import;
mod lease;
mod names;
mod pages;
mod refusal;
mod rejected;
mod secrets;
mod start;
mod states;
mod tamper;
mod token;
mod world;
