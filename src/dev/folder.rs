//! The local folder of `dev`: database, key, credentials, and the configuration that ties them together.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{Rng as _, rand_core::UnwrapErr, rngs::SysRng};

use super::provider::Provider;
use crate::{
    config::{Config, Identity, LogFormat, Role, StaticIdentity},
    seal::KeyEncryptionKeys,
};

/// The folder.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes what is missing; what is there stays as it is.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let folder = Self(path.to_owned());
        if !folder.keys().exists() {
            KeyEncryptionKeys::generate().save_new(&folder.keys())?;
        }
        for credential in [folder.operator_token_file(), folder.consumer_token_file()] {
            if !credential.exists() {
                write_credential(&credential)
                    .with_context(|| format!("cannot write {}", credential.display()))?;
            }
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn operator_token_file(&self) -> PathBuf {
        self.0.join("operator.token")
    }

    pub(super) fn consumer_token_file(&self) -> PathBuf {
        self.0.join("consumer.token")
    }

    fn keys(&self) -> PathBuf {
        self.0.join("kek.toml")
    }

    /// A broker on this folder, which may reach the simulator and nothing else that is private.
    pub(super) fn config(&self, provider: &Provider, grpc: u16, probes: u16) -> anyhow::Result<Config> {
        let mut config =
            Config { environment: "dev".to_owned(), replica: "dev".to_owned(), ..Config::default() };
        config.listen.grpc.set_port(grpc);
        config.listen.probes.set_port(probes);
        config.database.path = self.0.join("token-broker.db");
        config.keys.file = self.keys();
        config.egress.allow_private = vec!["127.0.0.0/8".parse()?];
        config.log.format = LogFormat::Text;
        config.refresh.sweep_interval = Duration::from_secs(1);
        config.refresh.ramp = Duration::ZERO;
        config.profiles = vec![provider.profile()];
        config.identity = Identity {
            allow_static_on_loopback: true,
            r#static: vec![
                identity("operator", self.operator_token_file(), Role::Operator)?,
                identity(
                    "consumer",
                    self.consumer_token_file(),
                    Role::Consumer { tenants: vec!["demo".parse()?] },
                )?,
            ],
        };
        Ok(config)
    }
}

fn identity(principal: &str, token_file: PathBuf, role: Role) -> anyhow::Result<StaticIdentity> {
    let principal = principal.parse()?;
    Ok(StaticIdentity { principal, token_file: Some(token_file), token_sha256: None, roles: vec![role] })
}

fn write_credential(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0_u8; 32];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(URL_SAFE_NO_PAD.encode(bytes).as_bytes())
}
