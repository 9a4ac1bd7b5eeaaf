//! The journal of received answers: what is kept, what a crash leaves of it, disks that are full or fail, and the way
//! back into a store.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod disk;
mod drain;
mod horizon;
mod keeping;
mod support;
mod sync;
mod wire;
