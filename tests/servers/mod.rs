//! Real servers for the tests, on ports and folders of their own. Everything ends with the test, and with the test's
//! process, however that ends.
#![allow(dead_code, unreachable_pub, reason = "shared by several test programs, each of which uses a part")]

pub mod pgbouncer;
pub mod postgres;
pub mod redis;
