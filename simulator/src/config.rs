//! What a simulator is started with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::directory::ClientRegistration;
use crate::knobs::Knobs;

/// One of Procore's separate worlds, each with its own hosts and token space (`development_environments`).
///
/// On-demand sandboxes are companies of [`Production`](Self::Production), not a world of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// `login.procore.com` and `api.procore.com`.
    Production,
    /// The developer sandbox, with credentials of its own.
    Sandbox,
    /// The monthly sandbox: production's client pairs, but tokens of its own.
    Monthly,
    /// The federal zone, `procoregov.com`.
    Federal,
}

/// How to start a [`Simulator`](crate::Simulator).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Seeds every random choice, so that equal call orders mint equal tokens.
    pub seed: u64,
    /// Address the listeners bind to; loopback by default.
    pub bind: IpAddr,
    /// First of nine consecutive ports (control, then login and API of each environment); 0 takes free ones.
    pub port_base: u16,
    /// Presentation log as JSON lines, appended and flushed before each answer is sent.
    pub log_file: Option<PathBuf>,
    /// Behaviour, changeable later while running.
    pub knobs: Knobs,
    /// Clients registered at start.
    pub clients: Vec<ClientSeed>,
}

/// A client registered at start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSeed {
    /// Where it is registered.
    pub environment: Environment,
    /// What is registered.
    pub client: ClientRegistration,
}

impl Environment {
    /// Every environment, in port order.
    pub const ALL: [Self; 4] = [Self::Production, Self::Sandbox, Self::Monthly, Self::Federal];

    /// The environment whose client registrations this one uses.
    pub(crate) fn credential_store(self) -> Self {
        if self == Self::Monthly { Self::Production } else { self }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Monthly => "monthly",
            Self::Federal => "federal",
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            bind: Ipv4Addr::LOCALHOST.into(),
            port_base: 0,
            log_file: None,
            knobs: Knobs::default(),
            clients: Vec::new(),
        }
    }
}
