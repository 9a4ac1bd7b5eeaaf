//! The simulator, seen from outside: by TCP, and by the library calls that tests use.

mod faults;
mod fixture;
mod hold;
mod refresh;
mod token;
