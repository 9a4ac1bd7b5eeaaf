//! What many callers want at once goes together: one statement, one commit, one wait for the disk. Each request keeps
//! its own guard and its own answer; one that needs more than a moment, or spoils the statement, is sent its own way.
//! Who comes alone, and not on the heels of a crowd, does not wait for company.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::{sleep, timeout},
};

mod facts;
mod names;
mod spend;

pub(super) use facts::Facts;
pub(super) use names::Connections;
pub(super) use spend::{BurnOf, Burns, Flushes, SettleOf, Settles, TakeOf, Taken, Takes};

use super::{Answer, Failed, Inner, Statement};
use crate::store::StoreError;

/// Requests in one statement.
const MOST: usize = 256;
/// Requests gather while the statement before them runs, but no longer: it may be waiting for something of its own.
const GATHER: Duration = Duration::from_millis(10);
/// Where so many came together, more are on their way: to wait for them for so long spares statements.
const CROWD: usize = 8;
const COMPANY: Duration = Duration::from_millis(8);

/// A kind of request of which many go together.
pub(super) trait Kind: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Row: Answer;
    type Answer: Send + 'static;
    /// Whether it may be asked again where the connection was lost.
    const READS: bool;

    fn statement(requests: &[Self::Request]) -> Statement;

    /// The answer of each; `None` where the rows are not what was asked for.
    fn answers(requests: &[Self::Request], rows: Vec<Self::Row>) -> Option<Vec<Self::Answer>>;

    /// What each hears when the database refused the statement, and nothing of it happened; `None`: the error.
    fn refused() -> Option<Self::Answer> {
        None
    }
}

/// Where requests of one kind are given in.
#[derive(Debug)]
pub(super) struct Queue<K: Kind>(UnboundedSender<Waiting<K>>);

struct Waiting<K: Kind> {
    request: K::Request,
    answer: oneshot::Sender<Result<K::Answer, StoreError>>,
}

/// The queues of a store.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) burns: Queue<Burns>,
    pub(super) takes: Queue<Takes>,
    pub(super) flushes: Queue<Flushes>,
    pub(super) settles: Queue<Settles>,
    pub(super) facts: Queue<Facts>,
    pub(super) connections: Queue<Connections>,
}

impl Together {
    pub(super) fn start(inner: &Weak<Inner>) -> Self {
        Self {
            burns: Queue::start(inner),
            takes: Queue::start(inner),
            flushes: Queue::start(inner),
            settles: Queue::start(inner),
            facts: Queue::start(inner),
            connections: Queue::start(inner),
        }
    }
}

impl<K: Kind> Queue<K> {
    fn start(inner: &Weak<Inner>) -> Self {
        let (queue, requests) = unbounded_channel();
        tokio::spawn(gather::<K>(inner.clone(), requests));
        Self(queue)
    }

    /// Goes on where the caller is dropped: a commit whose answer nobody awaits must still be whole.
    pub(super) async fn ask(&self, request: K::Request) -> Result<K::Answer, StoreError> {
        let lost = |why: &'static str| {
            let lost = if K::READS { StoreError::Unavailable } else { StoreError::Ambiguous };
            lost(why.into())
        };
        let (answer, answered) = oneshot::channel();
        if self.0.send(Waiting { request, answer }).is_err() {
            return Err(StoreError::Unavailable("the store is closed".into()));
        }
        answered.await.unwrap_or_else(|_| Err(lost("the statement was abandoned")))
    }
}

/// As long as the store lives.
async fn gather<K: Kind>(inner: Weak<Inner>, mut requests: UnboundedReceiver<Waiting<K>>) {
    let mut waiting = Vec::new();
    while requests.recv_many(&mut waiting, MOST).await > 0 {
        let Some(inner) = inner.upgrade() else { return };
        let waiting = std::mem::take(&mut waiting);
        let crowd = waiting.len() >= CROWD;
        let served = tokio::spawn(async move { inner.serve(waiting).await });
        let _ = timeout(GATHER, served).await;
        if crowd {
            sleep(COMPANY).await;
        }
    }
}

impl Inner {
    async fn serve<K: Kind>(self: Arc<Self>, waiting: Vec<Waiting<K>>) {
        let (requests, askers): (Vec<_>, Vec<_>) =
            waiting.into_iter().map(|waiting| (waiting.request, waiting.answer)).unzip();
        let failed = match self.together::<K>(&requests).await {
            Ok(answers) => {
                for (asker, answer) in askers.into_iter().zip(answers) {
                    let _ = asker.send(Ok(answer)); // who left does not want it
                }
                return;
            }
            Err(failed) => failed,
        };
        for asker in askers {
            let refused = if failed.refused { K::refused() } else { None };
            let _ = asker.send(refused.ok_or_else(|| failed.error.again()));
        }
    }

    async fn together<K: Kind>(&self, requests: &[K::Request]) -> Result<Vec<K::Answer>, Failed> {
        let statement = K::statement(requests);
        let rows = if K::READS {
            self.look::<K::Row>(statement).await.map_err(Failed::of_look)?
        } else {
            self.commit::<K::Row>(statement).await?
        };
        let answers = K::answers(requests, rows).filter(|answers| answers.len() == requests.len());
        let none = || Failed::unread(StoreError::Ambiguous("not one answer for each request".into()));
        answers.ok_or_else(none)
    }
}

/// The columns of a statement about many.
fn column<R, T>(requests: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    requests.iter().map(of).collect()
}
