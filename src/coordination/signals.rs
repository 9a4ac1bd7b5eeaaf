//! Signals over pub/sub, on one channel per environment. Redis keeps none for whoever is not there: where one may have
//! been missed, at either end, `Lapsed` says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use redis::{Cmd, cmd};
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use uuid::Uuid;

use super::{Away, Coordination, Signal, link::Link, pace::Pace, servers, signal::Message};
use crate::config;

/// Signals that wait to be sent, and that a receiver may lag behind.
pub(super) const BACKLOG: usize = 1024;
/// Signals that are sent in one go.
const TOGETHER: usize = 64;
/// How often a replica sends something to itself.
const BEAT: Duration = Duration::from_secs(2);
/// Beats that did not come back after which the subscription counts as broken.
const BEATS: u32 = 2;

/// Sends signals, without waiting.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    queue: mpsc::Sender<Signal>,
    sender: Uuid,
    /// A signal was not sent: the others must be told that they have missed something.
    owed: Arc<AtomicBool>,
}

impl Announcer {
    /// Queues a signal.
    pub(super) fn announce(&self, signal: Signal) {
        if self.queue.try_send(signal).is_err() {
            self.owed.store(true, Ordering::Relaxed);
        }
    }

    /// Who its messages are from.
    pub(super) fn sender(&self) -> Uuid {
        self.sender
    }
}

/// An announcer, and the task that sends what it is given.
pub(super) fn announcer(link: Link, channel: String) -> (Announcer, impl Future<Output = ()>) {
    let (queue, mut waiting) = mpsc::channel(BACKLOG);
    let announcer = Announcer { queue, sender: Uuid::new_v4(), owed: Arc::default() };
    let Announcer { sender, owed, .. } = announcer.clone();
    let task = async move {
        loop {
            if owed.swap(false, Ordering::Relaxed) {
                let told = publish(&link, &channel, sender, Message::Signal(Signal::Lapsed)).await;
                owed.fetch_or(told.is_err(), Ordering::Relaxed);
            }
            let mut next = Vec::new();
            let queued = tokio::select! {
                queued = waiting.recv_many(&mut next, TOGETHER) => queued,
                () = sleep(BEAT), if owed.load(Ordering::Relaxed) => continue,
            };
            if queued == 0 {
                return;
            }
            // Each in a message of its own, in one go: there are versions yet that read one line only.
            let tell = |signal| publishing(&channel, sender, Message::Signal(signal));
            let told = link.call_all(next.into_iter().map(tell).collect()).await;
            owed.fetch_or(told.is_err(), Ordering::Relaxed);
        }
    };
    (announcer, task)
}

async fn publish(link: &Link, channel: &str, sender: Uuid, message: Message) -> Result<(), Away> {
    link.call::<i64>(&publishing(channel, sender, message)).await.map(drop)
}

fn publishing(channel: &str, sender: Uuid, message: Message) -> Cmd {
    let mut publish = cmd("PUBLISH");
    publish.arg(channel).arg(message.encode(sender));
    publish
}

/// Hands on what the others say; for ever.
pub(super) async fn listen(
    settings: config::Redis,
    link: Link,
    channel: String,
    me: Uuid,
    signals: broadcast::Sender<Signal>,
) {
    let mut pace = Pace::default();
    let began = Instant::now();
    loop {
        let subscribed = timeout(settings.connect_timeout, servers::subscribe(&settings, &channel)).await;
        if let Ok(Ok(messages)) = subscribed {
            pace.connected(began.elapsed());
            // Nobody knows what was said before.
            let _ = signals.send(Signal::Lapsed);
            hear(messages, &link, &channel, me, &signals).await;
            tracing::info!("coordination.signals.lost");
        }
        sleep(pace.pause(began.elapsed(), rand::random())).await;
    }
}

/// Until the subscription is lost. A silent one is no better: its server may be cut off from those that the others
/// speak to, so a replica must now and then hear itself.
async fn hear(
    mut messages: redis::aio::PubSub,
    link: &Link,
    channel: &str,
    me: Uuid,
    signals: &broadcast::Sender<Signal>,
) {
    let mut messages = messages.on_message();
    let mut beats = interval_at(Instant::now() + BEAT, BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unheard = 0;
    while unheard <= BEATS {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return };
                // Of one's own messages only the beats count; what another version says is ignored.
                for message in Message::decode_all(message.get_payload_bytes()) {
                    match message {
                        (sender, Message::Beat) if sender == me => unheard = 0,
                        (sender, Message::Signal(signal)) if sender != me => {
                            let _ = signals.send(signal);
                        }
                        _ => {}
                    }
                }
            }
            _ = beats.tick() => {
                if publish(link, channel, me, Message::Beat).await.is_ok() {
                    unheard += 1;
                }
            }
        }
    }
}

impl Coordination {
    /// Tells the other replicas, soon and without waiting. What cannot be told becomes one `Lapsed` later.
    pub fn announce(&self, signal: Signal) {
        self.0.announcer.announce(signal);
    }

    /// What the other replicas announce from now on. A receiver that lags has missed signals too: treat
    /// `RecvError::Lagged` as [`Signal::Lapsed`].
    #[must_use]
    pub fn signals(&self) -> broadcast::Receiver<Signal> {
        self.0.signals.subscribe()
    }
}
