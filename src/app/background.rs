//! What runs beside the calls: each task ends when the broker drains.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};
use uuid::Uuid;

use super::backing::Shared;
use crate::{
    clock::Clock,
    config,
    coordination::{Message, Signal},
    error::Chain,
    model::Timestamp,
    refresh::{Fleet, Lineage, Medium, Refresher},
    store::postgres::{Incarnation, Postgres, Retention, Signal as Notice},
};

/// Between two looks at which database it is.
const LOOK: Duration = Duration::from_secs(1);
/// Between the clocks of two replicas.
const SLACK: Duration = Duration::from_secs(10);

/// Between two rounds of retention, and how many rows go at once.
const ROUND: Duration = Duration::from_hours(1);
const BATCH: u32 = 500;

/// Starts everything, and offers the database what the last process left.
pub(super) fn start(
    refresher: &Arc<Refresher>,
    fleet: &Fleet,
    shared: Option<Shared>,
    retention: &config::Retention,
) -> Vec<JoinHandle<anyhow::Result<()>>> {
    let mut tasks = vec![run(refresher.clone().sweep_for_ever())];
    if let Some(redis) = &fleet.redis {
        tasks.push(run(refresher.clone().follow(redis.signals())));
    }
    let Some(Shared { postgres, notices }) = shared else { return tasks };
    let me = Uuid::new_v4();
    let policy = Retention { attempts: retention.attempts, events: retention.events, audit: retention.audit };
    tasks.push(run(refresher.clone().drain_for_ever()));
    tasks.push(run(until_drained(refresher.clone(), retain(postgres.clone(), policy))));
    for medium in [Medium::Journal, Medium::Escrow] {
        let watch = watch(refresher.clone(), postgres.clone(), medium, fleet.lineage.clone());
        tasks.push(run(until_drained(refresher.clone(), watch)));
    }
    tasks.push(run(until_drained(refresher.clone(), listen(refresher.clone(), postgres.clone(), me))));
    tasks.push(run(until_drained(refresher.clone(), tell(postgres, notices, me))));
    tasks
}

fn run(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async {
        task.await;
        Ok(())
    })
}

async fn until_drained(refresher: Arc<Refresher>, task: impl Future<Output = ()>) {
    let _ = refresher.draining().run_until_cancelled(task).await;
}

/// Lets old records go, so many at once that nobody waits for it.
async fn retain(postgres: Arc<Postgres>, policy: Retention) {
    loop {
        match postgres.retain(policy, Clock::System.now(), BATCH).await {
            Ok(gone) if gone.attempts.max(gone.events).max(gone.audit) >= u64::from(BATCH) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(error = %Chain(&error), "retention.failed"),
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// A promotion, a restore, a copy put in the place of the database: whatever it may have forgotten is offered again, from
/// each medium once it answers. So it is at the start, since nobody watched before.
async fn watch(
    refresher: Arc<Refresher>,
    postgres: Arc<Postgres>,
    medium: Medium,
    lineage: Option<Arc<Lineage>>,
) {
    let mut known: Option<(Incarnation, Timestamp)> = None;
    loop {
        let looked_at = refresher.now();
        match postgres.incarnation().await {
            Ok(now) => {
                let since = match &known {
                    Some((before, _)) if before.may_forget(&now) => {
                        if medium == Medium::Journal {
                            tracing::error!(
                                ?before,
                                ?now,
                                "database.changed: it may have forgotten what it had committed"
                            );
                        }
                        Some(None)
                    }
                    // What came after the last look would not show.
                    Some((before, seen)) if before.restarted(&now) => Some(Some(seen.minus(SLACK))),
                    Some(_) => None,
                    None => Some(None),
                };
                let offered = match since {
                    Some(since) => refresher.offer_everything(medium, since).await,
                    None => true,
                };
                if offered {
                    known = Some((now, looked_at));
                    if let Some(lineage) = &lineage {
                        lineage.offered(medium, now);
                    }
                    // Last of all: it looks at everything in memory. What escrow brings is announced one by one.
                    if since.is_some() && medium == Medium::Journal {
                        refresher.hear(Signal::Lapsed).await;
                    }
                }
            }
            Err(error) => tracing::debug!(error = %Chain(&error), "database.unknown"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Hears signals through the database.
async fn listen(refresher: Arc<Refresher>, postgres: Arc<Postgres>, me: Uuid) {
    let mut notices = pin!(postgres.listen());
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Listening => refresher.hear(Signal::Lapsed).await,
            Notice::Said(text) => match Message::decode(text.as_bytes()) {
                Some((sender, Message::Signal(signal))) if sender != me => refresher.hear(signal).await,
                _ => {}
            },
            Notice::Lost => tracing::debug!("signals through the database are lost"),
        }
    }
}

/// Tells signals through the database.
async fn tell(postgres: Arc<Postgres>, mut notices: UnboundedReceiver<Signal>, me: Uuid) {
    while let Some(signal) = notices.recv().await {
        if let Err(error) = postgres.notify(&Message::Signal(signal).encode(me)).await {
            tracing::debug!(error = %Chain(&error), "a signal was not told");
        }
    }
}
