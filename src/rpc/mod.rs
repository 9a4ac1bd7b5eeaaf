//! The gRPC front.

pub mod transport;
