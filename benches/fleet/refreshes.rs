//! Refreshes per second through the whole protocol, as a share of two bare commits per refresh.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures_util::future::try_join_all;
use tonic::transport::Channel;

use crate::{
    bare::Bare,
    caller::ask,
    cost::Cost,
    furnish,
    report::{Finding, Spread, say},
    world::{CONCURRENCY, Machine, World},
};

const CONNECTIONS: usize = 6_000;
const CHANNELS: usize = 16;
const ROUNDS: usize = 10;
const ROUND: Duration = Duration::from_secs(4);

const AT_LEAST: f64 = 0.6;
/// Seconds between two refreshes of a busy connection: two thirds of 90 minutes.
const BETWEEN: f64 = 3_600.0;
/// How much the bare rate may vary over the rounds. Beyond that the machine was busy with something else.
const STEADY: f64 = 2.0;

pub(crate) async fn measure(place: &Path) -> anyhow::Result<Vec<Finding>> {
    let machine = Machine::start(place).await;
    let world = machine.world(1, place).await?;
    let bare = Bare::open(&machine.empty().await).await?;
    let ids: Vec<String> = (0..CONNECTIONS).map(|number| format!("c{number}")).collect();
    world.furnish(&ids).await?;
    let callers = Callers::connect(&world, &ids).await?;
    callers.each_once().await?;

    let (mut refreshes, mut pairs) = (Vec::new(), Vec::new());
    let (before, mut costs) = (world.provider.presented(), [Cost::default(); 2]);
    for round in 0..ROUNDS {
        for turn in 0..2 {
            let bare_turn = (round + turn) % 2;
            let start = Cost::so_far(&machine, &world).await?;
            if bare_turn == 0 {
                refreshes.push(callers.refreshes_per_second(&world).await?);
            } else {
                pairs.push(bare.pairs_per_second(Instant::now() + ROUND).await?);
            }
            costs[bare_turn].add(start, Cost::so_far(&machine, &world).await?);
        }
        let (refreshes, pairs) = (refreshes[round], pairs[round]);
        say(&format!("round {round}: {refreshes:.0} refreshes/s, {pairs:.0} bare pairs of commits/s"));
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    costs[0].tell("a refresh", (world.provider.presented() - before) as f64);
    costs[1].tell("a bare pair", pairs.iter().sum::<f64>() * ROUND.as_secs_f64());
    all_settled(&machine, &world).await?;
    let said = world.replicas[0].said();
    ensure!(!said.contains("store.retry") && !said.contains("unheard"), "not undisturbed: {said}");
    world.close().await?;
    Ok(vec![finding(&refreshes, &pairs)])
}

fn finding(refreshes: &[f64], pairs: &[f64]) -> Finding {
    let (rate, floor) = (Spread::of(refreshes.iter().copied()), Spread::of(pairs.iter().copied()));
    let share = Spread::of(refreshes.iter().zip(pairs).map(|(refreshes, pairs)| refreshes / pairs));
    let millions = rate.median * BETWEEN / 1e6;
    Finding {
        what: "refreshes over two bare commits each",
        required: format!("at least {AT_LEAST:.2}"),
        measured: format!(
            "{}: {} over {} a second, {millions:.1} million busy connections",
            share.show(3),
            rate.show(0),
            floor.show(0)
        ),
        held: floor.max <= STEADY * floor.min && share.median >= AT_LEAST,
    }
}

/// Those who ask for tokens that have ended.
struct Callers {
    channels: Vec<Channel>,
    names: Vec<String>,
}

impl Callers {
    async fn connect(world: &World, ids: &[String]) -> anyhow::Result<Self> {
        let channels = try_join_all((0..CHANNELS).map(|_| world.channel(0))).await?;
        Ok(Self { channels, names: ids.iter().map(|id| furnish::name(id)).collect() })
    }

    /// Everybody's first token.
    async fn each_once(&self) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let end = || next.load(Ordering::Relaxed) >= self.names.len();
        self.call_until(&next, end).await
    }

    /// The provider counts. Before a connection's turn comes again its token has ended.
    async fn refreshes_per_second(&self, world: &World) -> anyhow::Result<f64> {
        let (began, before) = (Instant::now(), world.provider.presented());
        let next = AtomicUsize::new(0);
        self.call_until(&next, || began.elapsed() >= ROUND).await?;
        #[expect(clippy::cast_precision_loss, reason = "thousands")]
        let refreshes = (world.provider.presented() - before) as f64;
        Ok(refreshes / began.elapsed().as_secs_f64())
    }

    async fn call_until(&self, next: &AtomicUsize, end: impl Fn() -> bool) -> anyhow::Result<()> {
        let callers = (0..CONCURRENCY as usize).map(|caller| {
            let (channel, end) = (&self.channels[caller % CHANNELS], &end);
            async move {
                while !end() {
                    let name = &self.names[next.fetch_add(1, Ordering::Relaxed) % self.names.len()];
                    ask(channel.clone(), name).await?;
                }
                anyhow::Ok(())
            }
        });
        try_join_all(callers).await.map(drop)
    }
}

async fn all_settled(machine: &Machine, world: &World) -> anyhow::Result<()> {
    let mut admin = machine.admin(&world.database.name).await;
    let (settled, others): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE outcome = 'settled'), count(*) FILTER (WHERE outcome IS DISTINCT FROM 'settled')
        FROM token_broker.attempts",
    )
    .fetch_one(&mut admin)
    .await?;
    let presented = i64::try_from(world.provider.presented())?;
    ensure!((settled, others) == (presented, 0), "{presented} presented, {settled} settled, {others} not");
    Ok(())
}
