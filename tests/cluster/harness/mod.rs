//! What every test here stands on: a fleet, what stands around it, and the checker.
#![allow(dead_code, unused_imports, reason = "a harness: each test uses a part")]

use std::time::Duration;

mod asking;
#[path = "../../faults/harness/broker.rs"]
mod broker;
#[path = "../../faults/harness/caller.rs"]
mod caller;
mod checker;
mod estate;
mod fleet;
mod guardian;
mod kept;
mod losses;
mod migration;
#[path = "../../faults/harness/presented.rs"]
mod presented;
mod proxy;
mod replica;
mod rows;
mod settings;
#[path = "../../faults/harness/table.rs"]
mod table;

pub use asking::Calls;
pub use broker::{Broker, Launch};
pub use caller::{Caller, reason};
pub use checker::Verdict;
pub use estate::{App, Known};
pub use fleet::{Fleet, Heard, Setup};
pub use guardian::Guardian;
pub use losses::Loss;
pub use migration::{migrate, ours};
pub use proxy::Way;
pub use replica::{Fate, Mishap, now};
pub use rows::Rows;
pub use settings::CREDENTIAL;
pub use table::table;

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
