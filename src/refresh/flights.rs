//! Single flight: of all callers who want the same token, one starts the work and all wait for its result.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Work in flight, by what it is for.
#[derive(Debug)]
pub(super) struct Flights<K, T> {
    in_flight: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

/// A seat on a flight: wait, or leave; the flight goes on.
#[derive(Debug)]
pub(super) struct Seat<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Seat<T> {
    /// The flight's result; `None` where it crashed (its task panicked).
    pub(super) async fn result(mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { in_flight: Arc::default() }
    }
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the flight for `key`, or starts one on `tasks`: never on the caller's own future, which its
    /// client may drop between the provider's answer and the first durable copy. `work` leads to its result, and to
    /// what is still to be done before those who wait get it: nobody joins them any more.
    pub(super) fn join<F, U>(&self, key: &K, tasks: &TaskTracker, work: impl FnOnce() -> F) -> Seat<T>
    where
        F: Future<Output = (T, U)> + Send + 'static,
        U: Future<Output = ()> + Send,
    {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = in_flight.get(key) {
            return Seat(flight.clone());
        }
        let (landing, flight) = watch::channel(None);
        in_flight.insert(key.clone(), flight.clone());
        drop(in_flight);
        let landed = Landed { key: key.clone(), in_flight: self.in_flight.clone() };
        let work = Box::pin(work()); // large: moved by its address
        tasks.spawn(async move {
            let (result, unload) = work.await;
            // Off the board first: who comes after the result is known must look at the store anew.
            drop(landed);
            unload.await;
            landing.send_replace(Some(result));
        });
        Seat(flight)
    }
}

impl<K: Eq + Hash, T> Flights<K, T> {
    /// Whether one is on its way.
    pub(super) fn under_way(&self, key: &K) -> bool {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }
}

/// Takes a flight off the board, also where its task panics.
struct Landed<K: Eq + Hash, T> {
    key: K,
    in_flight: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
}

impl<K: Eq + Hash, T> Drop for Landed<K, T> {
    fn drop(&mut self) {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, poll_fn, ready},
        sync::atomic::{AtomicU32, Ordering},
        task::Poll,
    };

    use super::*;

    #[tokio::test]
    async fn many_join_one_flight() {
        let (flights, tasks, starts) = (Flights::default(), TaskTracker::new(), Arc::new(AtomicU32::new(0)));
        let seats: Vec<_> = (0..100)
            .map(|_| {
                let starts = starts.clone();
                flights.join(&7, &tasks, || async move {
                    tokio::task::yield_now().await;
                    (starts.fetch_add(1, Ordering::SeqCst), ready(()))
                })
            })
            .collect();
        for seat in seats {
            assert_eq!(seat.result().await, Some(0));
        }
        assert!(flights.in_flight.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn nobody_joins_while_it_unloads() {
        let (flights, tasks) = (Arc::new(Flights::default()), TaskTracker::new());
        let (board, (told, seen)) = (flights.clone(), tokio::sync::oneshot::channel());
        let seat = flights.join(&1, &tasks, || async move {
            let unload = async move { told.send(board.under_way(&1)).expect("the test listens") };
            ((), unload)
        });
        assert_eq!((seat.result().await, seen.await), (Some(()), Ok(false)));
    }

    #[tokio::test]
    async fn a_panic_frees_the_seats() {
        let (flights, tasks) = (Flights::<u8, ()>::default(), TaskTracker::new());
        let crash = poll_fn(|_| -> Poll<((), Ready<()>)> { panic!("in the task") });
        let seat = flights.join(&1, &tasks, || crash);
        assert_eq!(seat.result().await, None);
        assert!(flights.in_flight.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_flight_outlives_its_passengers() {
        let (flights, tasks) = (Flights::default(), TaskTracker::new());
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (done, finished) = tokio::sync::oneshot::channel::<()>();
        drop(flights.join(&1, &tasks, || async move {
            wait.await.expect("the test sends");
            done.send(()).expect("the test listens");
            ((), ready(()))
        }));
        go.send(()).expect("the flight is alive without passengers");
        finished.await.expect("it lands");
    }
}
