//! The library's face: starting, watching and disturbing a simulator.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::call::Host;
use crate::config::{Config, Environment};
use crate::exchange::Place;
use crate::fault::{Fault, FaultId};
use crate::knobs::Knobs;
use crate::ledger::{GrantState, TokenPair};
use crate::mint::fingerprint;
use crate::presentation::{Log, Presentation};
use crate::server::{Service, listen};
use crate::shared::{Hold, Shared};
use crate::state::State;

/// A running simulator; dropping it closes every listener and connection.
pub struct Simulator {
    pub(crate) shared: Arc<Shared>,
    control: SocketAddr,
    hosts: BTreeMap<Environment, (SocketAddr, SocketAddr)>,
    listeners: JoinSet<()>,
}

impl Simulator {
    /// Binds the listeners and serves them in the caller's tokio runtime.
    pub async fn start(config: Config) -> io::Result<Self> {
        let file = config.log_file.as_ref();
        let file = file.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        let mut state = State::new(config.seed, config.knobs.clone(), Log::new(file));
        for seed in &config.clients {
            state.register(seed.environment, seed.client.clone());
        }
        let shared = Arc::new(Shared::new(state));
        let mut listeners = JoinSet::new();
        let mut port = config.port_base;
        let mut open = async |service: Service| {
            let listener = TcpListener::bind((config.bind, port)).await?;
            port = if port == 0 { 0 } else { port.saturating_add(1) };
            let address = reachable(listener.local_addr()?);
            listeners.spawn(listen(listener, service, Arc::clone(&shared)));
            io::Result::Ok(address)
        };
        let control = open(Service::Control).await?;
        let mut hosts = BTreeMap::new();
        for environment in Environment::ALL {
            let login = open(Service::Provider(Place { environment, host: Host::Login })).await?;
            let api = open(Service::Provider(Place { environment, host: Host::Api })).await?;
            hosts.insert(environment, (login, api));
        }
        Ok(Self { shared, control, hosts, listeners })
    }

    /// Closes every listener and connection, and waits until that is done.
    pub async fn stop(mut self) {
        self.listeners.shutdown().await;
    }

    /// Where an environment's login host listens, for example `http://127.0.0.1:40001`.
    #[must_use]
    pub fn oauth_base(&self, environment: Environment) -> String {
        format!("http://{}", self.hosts[&environment].0)
    }

    /// Where an environment's API host listens.
    #[must_use]
    pub fn api_base(&self, environment: Environment) -> String {
        format!("http://{}", self.hosts[&environment].1)
    }

    /// Where the control API listens.
    #[must_use]
    pub fn control_base(&self) -> String {
        format!("http://{}", self.control)
    }

    /// Changes behaviour from the next request on.
    pub fn knobs<T>(&self, change: impl FnOnce(&mut Knobs) -> T) -> T {
        change(&mut self.shared.state().knobs)
    }

    /// Everything presented so far.
    #[must_use]
    pub fn log(&self) -> Vec<Presentation> {
        self.shared.state().log.entries().to_vec()
    }

    /// The entries numbered above `seq`.
    #[must_use]
    pub fn log_since(&self, seq: u64) -> Vec<Presentation> {
        self.shared.state().log.entries().iter().filter(|entry| entry.seq > seq).cloned().collect()
    }

    /// The requests that presented this token or code; processing them later adds none.
    #[must_use]
    pub fn presentations_of(&self, token: &str) -> Vec<Presentation> {
        let wanted = fingerprint(token);
        let state = self.shared.state();
        let requests = state.log.entries().iter().filter(|entry| entry.continues.is_none());
        requests.filter(|entry| entry.token_fingerprint.as_ref() == Some(&wanted)).cloned().collect()
    }

    /// The newest pair of a grant whose refresh token would be accepted now.
    ///
    /// Whoever holds another refresh token, or gets none here, has lost the grant.
    #[must_use]
    pub fn live_pair(&self, grant_id: &str) -> Option<TokenPair> {
        self.shared.state().ledger.live_pairs(grant_id).into_iter().next()
    }

    /// Where a grant stands.
    #[must_use]
    pub fn grant_state(&self, grant_id: &str) -> Option<GrantState> {
        self.shared.state().ledger.grant_state(grant_id)
    }

    /// Every grant there ever was.
    #[must_use]
    pub fn grants(&self) -> Vec<GrantState> {
        let state = self.shared.state();
        state.ledger.grants.keys().filter_map(|id| state.ledger.grant_state(id)).collect()
    }

    /// Adds a fault behind those that are not used up.
    #[expect(clippy::must_use_candidate, reason = "injecting is the point")]
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.shared.state().faults.inject(fault)
    }

    /// The faults that are not used up.
    #[must_use]
    pub fn faults(&self) -> Vec<(FaultId, Fault)> {
        self.shared.state().faults.pending()
    }

    /// Drops every fault.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// Makes token requests wait, processed or not, until [`release`](Self::release).
    pub fn hold_token_requests(&self, hold: Hold) {
        self.shared.set_hold(hold);
    }

    /// Lets the held token requests go.
    pub fn release(&self) {
        self.shared.set_hold(Hold::Off);
    }

    /// Waits until so many token requests were presented since the start.
    pub async fn wait_for_presentations(&self, requests: usize) {
        let enough =
            |log: &[Presentation]| log.iter().filter(|entry| entry.continues.is_none()).count() >= requests;
        self.wait_for_log(enough).await;
    }

    /// Waits until the log satisfies `done`, which is asked whenever it grows.
    pub async fn wait_for_log(&self, done: impl Fn(&[Presentation]) -> bool) {
        self.shared.wait_until(|state| done(state.log.entries())).await;
    }
}

/// An address to connect to, where the listener is bound to all of them.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = if bound.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound.ip() };
    SocketAddr::new(ip, bound.port())
}
