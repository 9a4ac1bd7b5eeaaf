//! A million connections in the database, beside a thousand.

use std::{path::Path, time::Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    caller::{Amount, ask, load, reply},
    fill, furnish,
    report::{Finding, Spread, say},
    world::{Machine, World},
};

const FEW: i32 = 1_000;
const MANY: i32 = 1_000_000;
/// Of them: connections that are refreshed, those of the filling that memory is filled with, the others.
const REFRESHED: i32 = 600;
const CACHED: i32 = 100_000;

const ROUNDS: usize = 8;
const REFRESHES: usize = 150;
const LOAD: Amount = Amount::Milliseconds(1_500);
/// Seconds: of the token that is served from memory.
const LONG: u64 = 5_400;

/// How much a million may cost.
const WITHIN: f64 = 0.1;

pub(crate) async fn measure(place: &Path) -> anyhow::Result<Vec<Finding>> {
    let machine = Machine::start(place).await;
    let ids: Vec<String> = (0..REFRESHED).map(|number| format!("c{number}")).collect();
    let (few, many) = (machine.world(1, place).await?, machine.world(1, place).await?);
    for (world, count, cached) in [(&few, FEW, 0), (&many, MANY, CACHED)] {
        world.provider.tokens_live(LONG);
        world.furnish(&["main".to_owned()]).await?;
        reply(world.channel(0).await?).await?;
        world.provider.tokens_live(1);
        world.furnish(&ids).await?;
        let mut admin = machine.admin(&world.database.name).await;
        let began = Instant::now();
        fill::leases(&mut admin, cached).await?;
        fill::grants(&mut admin, count - cached - REFRESHED - 1).await?;
        fill::settle_down(&mut admin).await?;
        say(&format!("{count} connections in {:.0} s", began.elapsed().as_secs_f64()));
        each(world, &ids).await?;
    }
    let bytes = bytes_per_token(&many).await?;
    let (mut calls, mut times) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        calls.push(throughput(&few, &many, round % 2 == 1, place).await?);
        times.push(latencies(&few, &many, &ids, round).await?);
        let ([few_calls, many_calls], [few_time, many_time]) = (calls[round], times[round]);
        say(&format!(
            "round {round}: {few_calls:.0} and {many_calls:.0} cached calls/s; {few_time:.2} and {many_time:.2} ms"
        ));
    }
    few.close().await?;
    many.close().await?;
    Ok(findings(&calls, &times, bytes))
}

fn findings(calls: &[[f64; 2]], times: &[[f64; 2]], bytes: u64) -> Vec<Finding> {
    let ratio = |pairs: &[[f64; 2]]| Spread::of(pairs.iter().map(|[few, many]| many / few));
    let (calls, times) = (ratio(calls), ratio(times));
    vec![
        Finding {
            what: "cached calls with 1,000,000 connections over 1,000",
            required: format!("at least {:.2}", 1.0 - WITHIN),
            measured: calls.show(3),
            held: calls.median >= 1.0 - WITHIN,
        },
        Finding {
            what: "time of a single refresh, 1,000,000 over 1,000",
            required: format!("at most {:.2}", 1.0 + WITHIN),
            measured: times.show(3),
            held: times.median <= 1.0 + WITHIN,
        },
        Finding {
            what: "memory per cached token of 1,000 bytes",
            required: "stated".to_owned(),
            measured: format!("{bytes} bytes, over {CACHED} of them"),
            held: true,
        },
    ]
}

/// Everybody's token, once.
async fn each(world: &World, ids: &[String]) -> anyhow::Result<()> {
    let channel = &world.channel(0).await?;
    let asked = stream::iter(ids).map(|id| async move { ask(channel.clone(), &furnish::name(id)).await });
    asked.buffer_unordered(32).map_ok(drop).try_collect::<()>().await?;
    Ok(())
}

/// What memory grows by.
async fn bytes_per_token(world: &World) -> anyhow::Result<u64> {
    let leases: Vec<String> = (1..=CACHED).map(|number| format!("lease-{number}")).collect();
    // What grows once, whatever is cached: buffers, connections, plans.
    let (first, rest) = leases.split_at(leases.len() / 20);
    each(world, first).await?;
    let before = world.memory(0)?;
    each(world, rest).await?;
    Ok(world.memory(0)?.saturating_sub(before) / rest.len() as u64)
}

async fn throughput(few: &World, many: &World, many_first: bool, place: &Path) -> anyhow::Result<[f64; 2]> {
    let (mut rates, order) = ([0.0; 2], if many_first { [1, 0] } else { [0, 1] });
    for which in order {
        rates[which] = load([few, many][which].replicas[0].address, &LOAD, place).await?;
    }
    Ok(rates)
}

/// Median milliseconds, one after the other, taking turns.
async fn latencies(few: &World, many: &World, ids: &[String], round: usize) -> anyhow::Result<[f64; 2]> {
    let channels = [few.channel(0).await?, many.channel(0).await?];
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..REFRESHES {
        let name = furnish::name(&ids[(round * REFRESHES + number) % ids.len()]);
        for turn in 0..2 {
            let which = (number + turn) % 2;
            let (began, before) = (Instant::now(), [few, many][which].provider.presented());
            ask(channels[which].clone(), &name).await?;
            let took = began.elapsed().as_secs_f64() * 1e3;
            anyhow::ensure!([few, many][which].provider.presented() == before + 1, "not refreshed");
            times[which].push(took);
        }
    }
    Ok(times.map(|times| Spread::of(times).median))
}
