//! A thousand callers at an expired connection.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use procore_simulator::Simulator;
use prost::Message as _;
use token_broker::{cache::wire_time, clock::Clock};
use token_broker_proto::v1::GetAccessTokenResponse;
use tokio::sync::Barrier;

use crate::{
    caller::{connect, reply},
    house::House,
    report::{Finding, Spread, say},
};

const CALLERS: usize = 1_000;
const CONNECTIONS: usize = 50;
const ROUNDS: usize = 5;

/// Seconds that a token lives, and milliseconds that the provider takes.
const TOKEN_LIFE: u64 = 3;
const LATENCY: u64 = 300;

/// Milliseconds that waiting may add.
const AT_MOST: f64 = 50.0;

pub(crate) async fn measure(place: &Path) -> anyhow::Result<Vec<Finding>> {
    let house = House::open(&[], TOKEN_LIFE, place).await?;
    house.simulator.knobs(|knobs| knobs.latency_ms = LATENCY);
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(connect(house.broker.address).await?);
    }
    let (mut answered, mut presented, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let held = GetAccessTokenResponse::decode(reply(channels[0].clone()).await?)?;
        expired(&held).await;
        let before = presentations(&house.simulator);
        let start = Arc::new(Barrier::new(CALLERS));
        let calls: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (channel, start) = (channels[caller % CONNECTIONS].clone(), start.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    let began = Instant::now();
                    let replied = reply(channel).await;
                    (replied, began.elapsed())
                })
            })
            .collect();
        let mut took = Vec::new();
        for call in calls {
            let (replied, time) = call.await?;
            let token = replied.ok().and_then(|bytes| GetAccessTokenResponse::decode(bytes).ok());
            took.extend(token.filter(|token| token.generation > held.generation).map(|_| time));
        }
        took.sort_unstable();
        let beyond = |rank: usize| -> f64 {
            let time = took.get((took.len() * rank).div_ceil(100).saturating_sub(1));
            time.map_or(f64::INFINITY, |time| {
                (time.as_secs_f64() - Duration::from_millis(LATENCY).as_secs_f64()) * 1e3
            })
        };
        say(&format!(
            "round {round}: {} answered; beyond {LATENCY} ms: p50 {:.1} ms, p99 {:.1} ms",
            took.len(),
            beyond(50),
            beyond(99)
        ));
        answered.push(took.len());
        presented.push(presentations(&house.simulator) - before);
        p99.push(beyond(99));
    }
    house.close().await?;
    Ok(findings(&answered, &presented, p99))
}

fn findings(answered: &[usize], presented: &[usize], p99: Vec<f64>) -> Vec<Finding> {
    let p99 = Spread::of(p99);
    vec![
        Finding {
            what: "presentations for 1,000 callers at an expired connection",
            required: "1".to_owned(),
            measured: format!("{presented:?} in {ROUNDS} rounds"),
            held: presented.iter().all(|presentations| *presentations == 1),
        },
        Finding {
            what: "of them answered",
            required: format!("{CALLERS}"),
            measured: format!("{answered:?}"),
            held: answered.iter().all(|answered| *answered == CALLERS),
        },
        Finding {
            what: "their p99 beyond the provider's latency",
            required: format!("at most {AT_MOST} ms"),
            measured: format!("{} ms", p99.show(1)),
            held: p99.median <= AT_MOST,
        },
    ]
}

/// Waits for the end of a token's life.
async fn expired(token: &GetAccessTokenResponse) {
    let end = token.expire_time.expect("a token has an end");
    while wire_time(Clock::System.now()).seconds <= end.seconds {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How often a refresh token was presented so far.
fn presentations(simulator: &Simulator) -> usize {
    let log = simulator.log();
    let refreshes = log.iter().filter(|entry| entry.grant_type.as_deref() == Some("refresh_token"));
    refreshes.filter(|entry| entry.continues.is_none()).count()
}
