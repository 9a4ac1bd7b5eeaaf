//! Replicas of one environment, as far as they meet at Redis.

use std::time::Duration;

use token_broker::{
    clock::Clock,
    config,
    coordination::{Away, Coordination, Lease, LeaseOutcome, Signal, Slot, SlotOutcome},
    model::{AttemptId, ConnectionUid, Generation, Witness},
};
use tokio::{sync::broadcast, time::timeout};
use uuid::Uuid;

pub use crate::servers::redis::{Cluster, Redis, Sentinel, Tls, until};

pub const ENVIRONMENT: &str = "test";

/// Settings for a server that answers: no answer of a busy machine counts as late.
pub fn patient() -> config::Redis {
    config::Redis {
        connect_timeout: Duration::from_secs(10),
        response_timeout: Duration::from_secs(10),
        lease_ttl: Duration::from_secs(30),
        ..config::Redis::default()
    }
}

/// Settings for a server that will not answer.
pub fn hasty() -> config::Redis {
    config::Redis {
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_millis(200),
        ..config::Redis::default()
    }
}

/// A replica; it may not be connected yet.
pub fn replica(server: &Redis, settings: config::Redis) -> Coordination {
    let settings = config::Redis { url: Some(server.url()), ..settings };
    Coordination::new(&settings, ENVIRONMENT, Clock::System)
}

/// A replica that is connected.
pub async fn connected(server: &Redis, settings: config::Redis) -> Coordination {
    let replica = replica(server, settings);
    guarded("Redis is there", replica.connected()).await;
    replica
}

/// Some replicas that are connected.
pub async fn fleet<const N: usize>(server: &Redis) -> [Coordination; N] {
    let replicas = [(); N].map(|()| replica(server, patient()));
    for replica in &replicas {
        guarded("Redis is there", replica.connected()).await;
    }
    replicas
}

/// Ends a test that hangs.
pub async fn guarded<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_mins(1), future).await.unwrap_or_else(|_| panic!("not within a minute: {what}"))
}

/// The lease, if it was granted.
pub async fn lease(replica: &Coordination, subject: Uuid) -> Option<Lease> {
    held(replica.lease(subject).await)
}

pub fn held(outcome: LeaseOutcome) -> Option<Lease> {
    match outcome {
        LeaseOutcome::Held(lease) => Some(lease),
        LeaseOutcome::Elsewhere => None,
        LeaseOutcome::Away(away) => panic!("{away}"),
    }
}

pub fn slot(outcome: SlotOutcome) -> Option<Slot> {
    match outcome {
        SlotOutcome::Held(slot) => Some(slot),
        SlotOutcome::Full => None,
        SlotOutcome::Away(away) => panic!("{away}"),
    }
}

/// The next signal that is no `Lapsed`.
pub async fn next(signals: &mut broadcast::Receiver<Signal>) -> Signal {
    guarded("a signal comes", async {
        loop {
            match signals.recv().await.unwrap() {
                Signal::Lapsed => {}
                signal => return signal,
            }
        }
    })
    .await
}

/// Waits for a `Lapsed`.
pub async fn lapsed(signals: &mut broadcast::Receiver<Signal>) {
    guarded("the signals lapse", async { while signals.recv().await.unwrap() != Signal::Lapsed {} }).await;
}

/// Receivers of all replicas, which are known to hear each other.
pub async fn hearing<const N: usize>(replicas: &[Coordination; N]) -> [broadcast::Receiver<Signal>; N] {
    let mut receivers = replicas.each_ref().map(Coordination::signals);
    for (sender, replica) in replicas.iter().enumerate() {
        let probe = Signal::Released { subject: Uuid::new_v4() };
        for (receiver, signals) in receivers.iter_mut().enumerate().filter(|(index, _)| *index != sender) {
            // Announced until it is heard: nobody knows when the other has subscribed.
            until(&format!("{receiver} hears {sender}"), async || {
                replica.announce(probe);
                let mut fresh = signals.resubscribe();
                let heard = async { while fresh.recv().await.unwrap() != probe {} };
                timeout(Duration::from_millis(200), heard).await.is_ok()
            })
            .await;
        }
        let end = Signal::Released { subject: Uuid::new_v4() };
        replica.announce(end);
        for (_, signals) in receivers.iter_mut().enumerate().filter(|(index, _)| *index != sender) {
            while next(signals).await != end {}
        }
    }
    receivers
}

pub fn entry(generation: u64, attempt: u128) -> Witness {
    let attempt = Some(AttemptId(Uuid::from_u128(attempt)));
    Witness { generation: Generation(generation), attempt, revoked: false }
}

pub fn connection() -> ConnectionUid {
    ConnectionUid(Uuid::new_v4())
}

pub fn attempt() -> AttemptId {
    AttemptId(Uuid::new_v4())
}

/// Every call once; what each says about Redis being away.
pub async fn every_call(replica: &Coordination) -> Vec<(&'static str, Option<Away>)> {
    use token_broker::model::OauthClientUid;
    let lease = |outcome| match outcome {
        LeaseOutcome::Away(away) => Some(away),
        _ => None,
    };
    let client = OauthClientUid(Uuid::new_v4());
    let slot = match replica.slot(client, 1, Duration::from_secs(1)).await {
        SlotOutcome::Away(away) => Some(away),
        _ => None,
    };
    replica.announce(Signal::Released { subject: client.0 });
    let (connection, generation) = (connection(), Generation(1));
    vec![
        ("lease", lease(replica.lease(client.0).await)),
        ("trial", lease(replica.trial(client, 1).await)),
        ("slot", slot),
        ("witness", replica.witness(connection).await.err()),
        ("raise", replica.raise(connection, None, entry(1, 1)).await.err()),
        ("escrow", replica.escrow(attempt(), connection, generation, b"sealed").await.err()),
        ("escrowed", replica.escrowed(replica.escrow_start()).await.err()),
        ("escrow_pending", replica.escrow_pending().await.err()),
        ("mark_settled", replica.mark_settled(attempt()).await.err()),
    ]
}

/// Every call says that Redis is away, and none hangs.
pub async fn all_away(replica: &Coordination) {
    let calls = guarded("every call ends", every_call(replica)).await;
    assert!(calls.iter().all(|(_, away)| away.is_some()), "{calls:?}");
}

/// Every call works.
pub async fn all_work(replica: &Coordination) {
    let calls = guarded("every call ends", every_call(replica)).await;
    assert!(calls.iter().all(|(_, away)| away.is_none()), "{calls:?}");
}
