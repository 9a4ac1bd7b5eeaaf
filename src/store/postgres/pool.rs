//! The connections: examined before their first use, at hand between two statements, let go where one is in doubt.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Inner, Settings, Unfit, fitness};
use crate::store::StoreError;

pub(super) const ACQUIRE: Duration = Duration::from_secs(5);
/// A connection that lay idle for longer is asked whether it lives: a commit on a dead one would be ambiguous.
const IDLE: Duration = Duration::from_secs(1);
/// So long one statement after the other has a connection before the pool looks after it again.
const AT_HAND: Duration = Duration::from_secs(1);

/// The connections, and the last reason why one was not used.
#[derive(Debug)]
pub(super) struct Pool {
    connections: PgPool,
    pub(super) prepared: bool,
    unfit: Arc<Mutex<Option<Unfit>>>,
    /// When a connection was last found dead: those that lay idle since are asked before they are used.
    lost: Arc<Mutex<Option<Instant>>>,
    /// Used a moment ago. The pool asks each that comes back whether it lives: under load that is as much as a statement.
    /// None: closed.
    at_hand: Mutex<Option<Vec<Lent>>>,
    /// Who waits at the pool, where nobody is served from what is at hand.
    waiting: AtomicUsize,
}

/// A connection, for one statement.
#[derive(Debug)]
pub(super) struct Lent {
    connection: PoolConnection<sqlx::Postgres>,
    /// When it was taken from the pool, and when it was last put back.
    since: Instant,
    put_back: Instant,
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, settings: &Settings) -> Self {
        let unfit = Arc::new(Mutex::new(None));
        let (complaint, durability) = (Arc::clone(&unfit), settings.durability);
        let lost = Arc::new(Mutex::new(None::<Instant>));
        let losses = Arc::clone(&lost);
        let connections = PgPoolOptions::new()
            .max_connections(settings.pool)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let complaint = Arc::clone(&complaint);
                Box::pin(async move {
                    let fitness = fitness::examine(connection, durability).await;
                    let unfit = match &fitness {
                        Err(sqlx::Error::Configuration(error)) => error.downcast_ref::<Unfit>().cloned(),
                        _ => None,
                    };
                    *complaint.lock().unwrap_or_else(PoisonError::into_inner) = unfit;
                    fitness
                })
            })
            .before_acquire(move |connection, lies| {
                let lost = *losses.lock().unwrap_or_else(PoisonError::into_inner);
                let suspect =
                    lies.idle_for > IDLE || lost.is_some_and(|lost| lies.idle_for >= lost.elapsed());
                Box::pin(async move {
                    if suspect {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        let (at_hand, waiting) = (Mutex::new(Some(Vec::new())), AtomicUsize::new(0));
        Self { connections, prepared: settings.prepared_statements, unfit, lost, at_hand, waiting }
    }

    pub(super) async fn acquire(&self) -> Result<Lent, StoreError> {
        if let Some(lent) = self.take() {
            return Ok(lent);
        }
        let _waiting = Waiting::at(&self.waiting);
        // Whoever puts one back from here on sees that somebody waits.
        if let Some(lent) = self.take() {
            return Ok(lent);
        }
        let connection = self.connections.acquire().await.map_err(|error| {
            let unfit = self.unfit.lock().unwrap_or_else(PoisonError::into_inner).clone();
            StoreError::Unavailable(unfit.map_or_else(|| error.into(), Into::into))
        })?;
        let since = Instant::now();
        Ok(Lent { connection, since, put_back: since })
    }

    /// Puts one back whose statement was answered.
    pub(super) fn put_back(&self, mut lent: Lent) {
        lent.put_back = Instant::now();
        if lent.is_young()
            && let Some(at_hand) = &mut *self.at_hand()
        {
            at_hand.push(lent);
        }
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.take()); // to the pool
        }
    }

    /// Lets go of a connection without a word: a cancel would make an unreplicated commit look like a replicated one.
    pub(super) fn abandon(&self, lent: Lent) {
        drop(lent.connection.detach());
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) async fn close(&self) {
        drop(self.at_hand().take());
        self.connections.close().await;
    }

    /// One that is at hand, and above suspicion. The others go back to the pool.
    fn take(&self) -> Option<Lent> {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |lent: &Lent| lent.is_young() && lost.is_none_or(|lost| lent.put_back > lost);
        let mut at_hand = self.at_hand();
        std::iter::from_fn(|| at_hand.as_mut()?.pop()).find(good)
    }

    /// Gives back to the pool what nobody has used for a while.
    fn tidy(&self) {
        if let Some(at_hand) = &mut *self.at_hand() {
            at_hand.retain(Lent::is_young);
        }
    }

    fn at_hand(&self) -> MutexGuard<'_, Option<Vec<Lent>>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as the store lives.
pub(super) fn tend(inner: &Arc<Inner>) {
    let inner = Arc::downgrade(inner);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(AT_HAND).await;
            let Some(inner) = inner.upgrade() else { return };
            inner.pool.tidy();
        }
    });
}

impl Lent {
    fn is_young(&self) -> bool {
        self.since.elapsed() < AT_HAND
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Counted while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn at(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
