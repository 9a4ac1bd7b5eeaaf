//! How bytes reach the gRPC server and leave it: accepted sockets tuned for small calls, and replies that
//! are finished together sent together.

mod cork;
mod incoming;

pub use cork::Cork;
pub use incoming::{Incoming, listen};
