//! A world of its own for every test: provider, folder, broker processes, callers, and the checker at the end.

use std::time::Duration;

mod broker;
mod caller;
mod checker;
mod presented;
mod rows;
mod table;
mod world;

pub use broker::{Broker, Launch};
pub use caller::{Caller, reason};
pub use checker::Verdict;
pub use rows::Rows;
pub use table::table;
pub use world::{App, Known, PROFILE, SANDBOX, World, presentations, profile, start_simulator};

/// How long anything may take before a test gives up; a guard against hanging, not a measure.
pub const GUARD: Duration = Duration::from_secs(100);

/// Waits for a condition.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let holding = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    guarded(what, holding).await;
}

/// Waits for a future.
pub async fn guarded<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(GUARD, future).await;
    done.unwrap_or_else(|_| panic!("it did not come to this: {what}"))
}
