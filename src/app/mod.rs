//! From a configuration to a running broker: the boot story, top to bottom.

use std::{collections::HashSet, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

mod background;
mod backing;

use self::backing::Backing;
use crate::{
    cache::Cache,
    clock::Clock,
    config::{self, Config},
    failpoint::Failpoints,
    identity::{Authenticator, Principal, Role, StaticIdentity},
    journal::Journal,
    provider::{Egress, EgressSettings, Profile, Proxy, Resolver},
    refresh::{Directory, Parts, Refresher},
    rpc,
    seal::{KeyEncryptionKeys, Keyring},
    web,
};

/// A running broker.
pub struct App {
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where probes are served.
    pub probes: SocketAddr,
    refresher: Arc<Refresher>,
    journal: Option<Journal>,
    grace: Option<Duration>,
    stop: CancellationToken,
    serving: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl App {
    /// Opens, checks and starts everything, or says what is wrong. Nothing is served before all is well.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let clock = Clock::System;
        let keks = KeyEncryptionKeys::load(&config.keys.file).context("the key-encryption keys")?;
        let Backing { store, fleet, shared } = Backing::open(&config, &clock).await?;
        let Config {
            environment,
            replica,
            listen,
            refresh,
            breaker,
            egress,
            identity,
            retention,
            shutdown,
            profiles,
            ..
        } = config;
        let keyring = Arc::new(Keyring::new(keks, store.clone(), environment));
        backing::verify(&keyring, shared.is_some()).await?;

        let cache = Arc::new(Cache::default());
        let refresher = Refresher::new(Parts {
            store: store.clone(),
            directory: Directory::new(store.clone(), all_profiles(&profiles)?),
            keyring,
            egress: egress_of(&egress, refresh.connect_timeout, clock.clone())?,
            cache: cache.clone(),
            clock: clock.clone(),
            settings: refresh,
            breaker,
            replica,
            fleet: fleet.clone(),
            failpoints: Failpoints::from_env(),
        });

        let grpc = rpc::listen(listen.grpc).with_context(|| format!("cannot listen on {}", listen.grpc))?;
        let probes = TcpListener::bind(listen.probes).await;
        let probes = probes.with_context(|| format!("cannot listen on {}", listen.probes))?;
        let (grpc_address, probes_address) = (grpc.address, probes.local_addr()?);
        let stop = CancellationToken::new();
        let parts = rpc::Parts {
            authenticator: authenticator(&identity)?,
            store: store.clone(),
            refresher: refresher.clone(),
            cache,
            clock,
        };
        let looks_at = web::Probes { store, refresher: refresher.clone(), fleet: fleet.clone() };
        let (stop_rpc, stop_web) = (stop.clone(), stop.clone());
        // With other replicas there is another medium; alone nothing but the database keeps an answer.
        let grace = shared.is_some().then_some(shutdown.grace);
        let mut serving = vec![
            tokio::spawn(async move { Ok(rpc::serve(parts, grpc, stop_rpc.cancelled_owned()).await?) }),
            tokio::spawn(async move { Ok(web::serve(probes, looks_at, stop_web).await?) }),
        ];
        serving.extend(background::start(&refresher, &fleet, shared, &retention));
        tracing::info!(grpc = %grpc_address, probes = %probes_address, "serving");
        let journal = fleet.journal;
        Ok(Self { grpc: grpc_address, probes: probes_address, refresher, journal, grace, stop, serving })
    }

    /// Starts nothing new, finishes what is in flight, leaves nothing only in memory. Within `shutdown.grace`, where
    /// other replicas go on.
    pub async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("draining");
        // Without other replicas it takes as long as it takes.
        let grace = self.grace.unwrap_or(Duration::MAX);
        let drained = tokio::time::timeout(grace, self.refresher.drain()).await;
        self.stop.cancel();
        for task in self.serving {
            task.await??;
        }
        if let Some(journal) = self.journal {
            journal.close().await.context("the journal")?;
        }
        anyhow::ensure!(
            drained.is_ok(),
            "the grace has ended and refreshes are still in flight: they will be in doubt"
        );
        tracing::info!("stopped");
        Ok(())
    }
}

/// The built-in profile, and the configured ones, which may replace it.
fn all_profiles(tables: &[toml::Table]) -> anyhow::Result<Vec<Profile>> {
    let mut profiles = vec![Profile::procore()];
    for (index, table) in tables.iter().enumerate() {
        let profile = Profile::deserialize(table.clone()).with_context(|| format!("profiles[{index}]"))?;
        profiles.retain(|known| known.name != profile.name);
        profiles.push(profile);
    }
    Ok(profiles)
}

fn egress_of(egress: &config::Egress, connect_timeout: Duration, clock: Clock) -> anyhow::Result<Egress> {
    for network in &egress.allow_private {
        tracing::warn!(%network, "egress to a private network is allowed");
    }
    let proxy = egress.proxy.as_ref().map(|proxy| {
        let ca = proxy.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        anyhow::Ok(Proxy { url: proxy.url.parse().context("egress.proxy.url")?, ca, credentials: None })
    });
    Ok(Egress::new(EgressSettings {
        allow_private: egress
            .allow_private
            .iter()
            .map(|network| network.to_string().parse())
            .collect::<Result<_, _>>()?,
        proxy: proxy.transpose()?,
        extra_roots: egress.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default(),
        connect_timeout,
        resolver: Resolver::System,
        clock,
    })?)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    read().with_context(|| format!("the certificates in {}", path.display()))
}

fn authenticator(identity: &config::Identity) -> anyhow::Result<Authenticator> {
    let principals = identity.principals().map_err(config::Invalid)?;
    Ok(Authenticator::of(principals.into_iter().map(|known| StaticIdentity {
        credential_sha256: known.token.bytes(),
        principal: Principal::new(format!("static:{}", known.principal), role(&known.roles)),
    })))
}

/// Roles add up.
fn role(roles: &[config::Role]) -> Role {
    let mut consumed = HashSet::new();
    for role in roles {
        match role {
            config::Role::Operator => return Role::Operator,
            config::Role::Consumer { tenants } => consumed.extend(tenants.iter().map(ToString::to_string)),
        }
    }
    Role::Consumer(consumed)
}
