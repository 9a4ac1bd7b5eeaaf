//! The gRPC contract of token-broker (`tokenbroker.v1`) and what is generated from it.

/// `tokenbroker.v1`.
pub mod v1 {
    #![expect(missing_docs, clippy::pedantic, reason = "generated: the documentation is in the .proto files")]
    tonic::include_proto!("tokenbroker.v1");
}

mod redact;

/// The compiled descriptors, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
