//! Callers who never stop asking.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::{CREDENTIAL, Caller, Fleet, Heard};

const CALLERS: u64 = 12;
/// A caller's patience.
const DEADLINE: Duration = Duration::from_secs(3);

/// A crowd of callers.
pub struct Load {
    shared: Arc<Shared>,
    stop: CancellationToken,
    callers: JoinSet<()>,
}

struct Shared {
    addresses: Mutex<Vec<SocketAddr>>,
    names: Vec<String>,
    heard: Heard,
    answered: AtomicU64,
}

impl Load {
    /// On a fleet.
    pub fn start(fleet: &Fleet, seed: u64) -> Self {
        let names = fleet.known().into_iter().map(|known| known.name).collect();
        let shared = Arc::new(Shared {
            addresses: Mutex::default(),
            names,
            heard: fleet.heard(),
            answered: AtomicU64::new(0),
        });
        let (stop, mut callers) = (CancellationToken::new(), JoinSet::new());
        for number in 0..CALLERS {
            let (shared, stop) = (shared.clone(), stop.clone());
            callers.spawn(async move {
                let _ = stop.run_until_cancelled(shared.ask(seed ^ number)).await;
            });
        }
        let load = Self { shared, stop, callers };
        load.follow(fleet);
        load
    }

    /// Replicas have come or gone.
    pub fn follow(&self, fleet: &Fleet) {
        let running = fleet.replicas.iter().filter(|replica| replica.runs());
        *self.shared.addresses.lock().unwrap() = running.map(|replica| replica.broker().grpc).collect();
    }

    /// Tokens that were handed out.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Everybody goes home.
    pub async fn end(mut self) {
        self.stop.cancel();
        while self.callers.join_next().await.is_some() {}
    }
}

impl Shared {
    async fn ask(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        loop {
            let address = {
                let addresses = self.addresses.lock().unwrap();
                (!addresses.is_empty()).then(|| addresses[random.random_range(0..addresses.len())])
            };
            let caller = match address {
                Some(address) => Caller::try_connect(address, CREDENTIAL).await,
                None => None,
            };
            // A while on one connection.
            for _ in 0..20 {
                let Some(caller) = &caller else { break };
                let name = &self.names[random.random_range(0..self.names.len())];
                if let Ok(answer) = caller.token_within(name, DEADLINE).await {
                    self.heard.note(name, answer.generation);
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(random.random_range(5..40))).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
