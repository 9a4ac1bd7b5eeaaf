//! Compiles the contract with protox: no system protoc.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 5] = [
    "tokenbroker/v1/reason.proto",
    "tokenbroker/v1/token_service.proto",
    "tokenbroker/v1/tenant_service.proto",
    "tokenbroker/v1/oauth_client_service.proto",
    "tokenbroker/v1/connection_service.proto",
];

/// Messages that carry a secret: their `Debug` is written by hand in `redact.rs`.
const SECRET: [&str; 3] = ["GetAccessTokenResponse", "AddClientSecretRequest", "ImportConnectionRequest"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=tokenbroker");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut prost = tonic_prost_build::Config::new();
    prost.skip_debug(SECRET.map(|message| format!(".tokenbroker.v1.{message}")));
    tonic_prost_build::configure().compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
