//! Ten thousand callers at one expired connection, over three replicas, beside a plain broadcast.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::try_join_all;
use prost::Message as _;
use rustix::process::Signal;
use token_broker::{cache::wire_time, clock::Clock};
use token_broker_proto::v1::GetAccessTokenResponse;
use tokio::sync::Barrier;
use tonic::transport::Channel;

use crate::{
    caller::{connect, reply},
    child::{Server, rival},
    report::{Finding, Spread, say},
    world::Machine,
};

const CALLERS: usize = 10_000;
const REPLICAS: usize = 3;
const ROUNDS: usize = 5;

/// Seconds that a token lives, and what the provider takes.
const TOKEN_LIFE: u64 = 4;
const LATENCY: Duration = Duration::from_secs(1);

/// Milliseconds that waiting may add to the median.
const AT_MOST: f64 = 100.0;

/// How callers share connections: a service has many of them on each.
const CONNECTIONS: usize = 300;

pub(crate) async fn measure(place: &Path) -> anyhow::Result<Vec<Finding>> {
    let machine = Machine::start(place).await;
    let world = machine.world(REPLICAS, place).await?;
    world.furnish(&["main".to_owned()]).await?;
    world.provider.tokens_live(TOKEN_LIFE);
    let token = reply(world.channel(0).await?).await?;
    let broadcast = Broadcast::start(&token, place).await?;
    world.provider.takes(LATENCY);

    let mut findings = Vec::new();
    for connections in [CONNECTIONS, CALLERS] {
        let (mut herds, mut broadcasts, mut presented) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // One set of connections at a time: a process may only have so many.
            let fleet = callers(&world.replicas, connections).await?;
            let old = fresh(&fleet).await?;
            let before = world.provider.presented();
            herds.push(herd(&fleet, old).await?);
            presented.push(world.provider.presented() - before);
            let sent = world.provider.presented_at().zip(herds[round].first);
            let sent = sent.map_or(f64::NAN, |(at, first)| (at - first).as_secs_f64() * 1e3);
            let earliest = herds[round].earliest.map(|first| format!("+{first:.1}")).join(", ");
            drop(fleet);
            let plain = callers(&broadcast.0, connections).await?;
            broadcasts.push(broadcast.round(&plain).await?);
            let [herd, plain] = [&herds[round], &broadcasts[round]].map(Herd::show);
            say(&format!(
                "{connections} connections, round {round}: presented +{sent:.1} ms, the first answer of each replica \
                 {earliest} ms, {herd}; broadcast: {plain}"
            ));
        }
        findings.extend(self::findings(connections, &herds, &broadcasts, &presented));
    }
    broadcast.stop().await?;
    world.close().await?;
    Ok(findings)
}

/// How a round went.
struct Herd {
    /// When the first of those who were answered asked.
    first: Option<Instant>,
    /// Each replica's first answer: beyond the latency and the first question, in milliseconds.
    earliest: [f64; REPLICAS],
    /// What each of them waited beyond the latency, in milliseconds.
    beyond: Vec<f64>,
}

/// To one of the callers.
struct Answer {
    replica: usize,
    asked: Instant,
    took: Duration,
}

impl Herd {
    fn of(answers: &[Answer]) -> Self {
        let first = answers.iter().map(|answer| answer.asked).min();
        let beyond = |took: Duration| (took.as_secs_f64() - LATENCY.as_secs_f64()) * 1e3;
        let earliest = std::array::from_fn(|replica| {
            let its = answers.iter().filter(|answer| answer.replica == replica);
            let answered = its.map(|answer| answer.asked + answer.took).min();
            answered.zip(first).map_or(f64::NAN, |(answered, first)| beyond(answered - first))
        });
        let mut beyond: Vec<_> = answers.iter().map(|answer| beyond(answer.took)).collect();
        beyond.sort_by(f64::total_cmp);
        Self { first, earliest, beyond }
    }

    fn at(&self, rank: usize) -> f64 {
        let place = (self.beyond.len() * rank).div_ceil(100).saturating_sub(1);
        self.beyond.get(place).copied().unwrap_or(f64::INFINITY)
    }

    fn show(&self) -> String {
        format!("{} answered, p50 +{:.1} ms, p99 +{:.1} ms", self.beyond.len(), self.at(50), self.at(99))
    }
}

fn findings(connections: usize, herds: &[Herd], broadcasts: &[Herd], presented: &[usize]) -> Vec<Finding> {
    let median = Spread::of(herds.iter().map(|herd| herd.at(50)));
    let plain = Spread::of(broadcasts.iter().map(|herd| herd.at(50)));
    let ratio = herds.iter().zip(broadcasts).map(|(herd, plain)| {
        let latency = LATENCY.as_secs_f64() * 1e3;
        (latency + herd.at(50)) / (latency + plain.at(50))
    });
    let shared = connections < CALLERS;
    let answered: Vec<_> = herds.iter().map(|herd| herd.beyond.len()).collect();
    let what: [&'static str; 4] = if shared {
        [
            "presentations for 10,000 callers over 3 replicas",
            "of them answered",
            "their median beyond the provider's latency",
            "their median over a plain broadcast's",
        ]
    } else {
        [
            "presentations, each caller on a connection of its own",
            "of them answered, each on a connection of its own",
            "median beyond latency, each on a connection of its own",
            "over a plain broadcast's, each on a connection of its own",
        ]
    };
    let stated = |required: String| if shared { required } else { "stated".to_owned() };
    vec![
        Finding {
            what: what[0],
            required: "1".to_owned(),
            measured: format!("{presented:?} in {ROUNDS} rounds"),
            held: presented.iter().all(|presentations| *presentations == 1),
        },
        Finding {
            what: what[1],
            required: format!("{CALLERS}"),
            measured: format!("{answered:?}"),
            held: answered.iter().all(|answered| *answered == CALLERS),
        },
        Finding {
            what: what[2],
            required: stated(format!("at most {AT_MOST} ms")),
            measured: format!("{} ms; a plain broadcast's {} ms", median.show(1), plain.show(1)),
            held: !shared || median.median <= AT_MOST,
        },
        Finding {
            what: what[3],
            required: "stated".to_owned(),
            measured: Spread::of(ratio).show(3),
            held: true,
        },
    ]
}

async fn callers(servers: &[Server], connections: usize) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for number in 0..connections {
        channels.push(connect(servers[number % servers.len()].address).await?);
    }
    Ok(channels)
}

/// A token that is new, and in the memory of every replica, as after any call.
async fn fresh(channels: &[Channel]) -> anyhow::Result<GetAccessTokenResponse> {
    let old = GetAccessTokenResponse::decode(reply(channels[0].clone()).await?)?;
    ended(&old).await;
    let mut new = old;
    for channel in &channels[..REPLICAS] {
        new = GetAccessTokenResponse::decode(reply(channel.clone()).await?)?;
    }
    Ok(new)
}

async fn ended(token: &GetAccessTokenResponse) {
    let end = token.expire_time.map_or(0, |end| end.seconds);
    while wire_time(Clock::System.now()).seconds <= end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the token has ended, then lets everybody ask at once.
async fn herd(channels: &[Channel], old: GetAccessTokenResponse) -> anyhow::Result<Herd> {
    ended(&old).await;
    let newer = move |bytes: Bytes| {
        GetAccessTokenResponse::decode(bytes).is_ok_and(|token| token.generation > old.generation)
    };
    ask_at_once(channels, newer).await
}

async fn ask_at_once(
    channels: &[Channel],
    good: impl Fn(Bytes) -> bool + Clone + Send + 'static,
) -> anyhow::Result<Herd> {
    let start = Arc::new(Barrier::new(CALLERS));
    let calls = (0..CALLERS).map(|caller| {
        let connection = caller % channels.len();
        let (channel, start) = (channels[connection].clone(), start.clone());
        let good = good.clone();
        tokio::spawn(async move {
            start.wait().await;
            let asked = Instant::now();
            let replied = reply(channel).await;
            let answer = Answer { replica: connection % REPLICAS, asked, took: asked.elapsed() };
            replied.is_ok_and(good).then_some(answer)
        })
    });
    let answered = try_join_all(calls.collect::<Vec<_>>()).await?;
    Ok(Herd::of(&answered.into_iter().flatten().collect::<Vec<_>>()))
}

/// As many processes that do nothing else.
struct Broadcast(Vec<Server>);

impl Broadcast {
    async fn start(token: &Bytes, place: &Path) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for number in 0..REPLICAS {
            let place = place.join(format!("broadcast-{number}"));
            std::fs::create_dir_all(&place)?;
            servers.push(rival(&[], "broadcast", token, &place).await?);
        }
        Ok(Self(servers))
    }

    /// The signal comes when a provider would have answered.
    async fn round(&self, channels: &[Channel]) -> anyhow::Result<Herd> {
        let signal = async {
            tokio::time::sleep(LATENCY).await;
            self.0.iter().try_for_each(|server| server.signal(Signal::USR1))
        };
        let (herd, signalled) = tokio::join!(ask_at_once(channels, |_| true), signal);
        signalled?;
        herd
    }

    async fn stop(self) -> anyhow::Result<()> {
        for server in self.0 {
            server.stop().await?;
        }
        Ok(())
    }
}
