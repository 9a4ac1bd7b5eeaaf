//! Everything at random: `scripts/chaos --minutes N --seed S`. Each episode is a fleet of its own under load; its plan of
//! faults follows from the seed and its number alone, so that it can be played again.

mod blow;
mod episode;
mod load;
mod plan;
mod tally;

use std::time::{Duration, Instant};

pub use self::load::Load;
use self::{episode::Episode, plan::Plan, tally::Tally};

/// A setting of `scripts/chaos`.
fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/chaos"]
async fn everything_at_random() {
    let minutes: f64 = setting("CHAOS_MINUTES", 1.0);
    let seed: u64 = setting("CHAOS_SEED", 1);
    let first: u64 = setting("CHAOS_EPISODE", 0);
    // No time at all: one episode to its end.
    let end = (minutes > 0.0).then(|| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
    let mut tally = Tally::default();
    let mut number = first;
    while number == first || end.is_some_and(|end| Instant::now() < end) {
        let plan = Plan::of(seed, number);
        println!("\nseed {seed}, episode {number}: {plan}");
        Episode::play(&plan, end, &mut tally).await;
        number += 1;
    }
    tally.print(seed, number - first);
    assert!(tally.violations.is_empty(), "{:#?}", tally.violations);
}
