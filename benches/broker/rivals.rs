//! Throughput, beside a bare server and beside tonic as it comes.

use std::path::Path;

use anyhow::ensure;

use crate::{
    caller::{Amount, load},
    child::{Server, rival},
    house::House,
    report::{Finding, Spread, say},
};

const ROUNDS: usize = 10;
/// How much the bare server's rate may vary over the rounds. Beyond that the machine was busy with something
/// else, and a median says nothing.
const STEADY: f64 = 2.0;
const ROUND: Amount = Amount::Milliseconds(2500);

/// Interleaved rounds: what the machine does meanwhile, it does to all of them.
pub(crate) async fn throughput(place: &Path) -> anyhow::Result<Vec<Finding>> {
    let house = House::open(&[], 5400, place).await?;
    let bytes = house.broker.reply().await?;
    let bare = rival(&[], "bare", &bytes, place).await?;
    let tonic = rival(&[], "tonic", &bytes, place).await?;
    let servers = [("broker", &house.broker), ("bare", &bare), ("tonic as it comes", &tonic)];
    all_return(&bytes, &servers).await?;
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for turn in 0..servers.len() {
            let server = (round + turn) % servers.len();
            rates[server].push(load(servers[server].1.address, &ROUND, place).await?);
        }
        let [broker, bare, tonic] = rates.each_ref().map(|rates| rates[round]);
        say(&format!("round {round}: broker {broker:.0}, bare {bare:.0}, tonic {tonic:.0} calls/s"));
    }
    all_return(&bytes, &servers).await?;
    for ((name, _), rates) in servers.iter().zip(&rates) {
        say(&format!("{name}: {} calls/s", Spread::of(rates.iter().copied()).show(0)));
    }
    house.close().await?;
    bare.stop().await?;
    tonic.stop().await?;
    let steady = Spread::of(rates[1].iter().copied());
    let steady = steady.max <= STEADY * steady.min;
    let over = |rival: &[f64]| Spread::of(rates[0].iter().zip(rival).map(|(broker, rival)| broker / rival));
    Ok([
        ("throughput over a bare server", &rates[1], 0.9),
        ("throughput over tonic as it comes", &rates[2], 1.3),
    ]
    .map(|(what, rival, least)| {
        let ratio = over(rival);
        let (required, held) = (format!("at least {least:.2}"), steady && ratio.median >= least);
        Finding { what, required, measured: ratio.show(3), held }
    })
    .into())
}

/// h2load counts answers, whatever they say.
async fn all_return(bytes: &[u8], servers: &[(&str, &Server)]) -> anyhow::Result<()> {
    for (name, server) in servers {
        ensure!(server.reply().await? == bytes, "{name} returns something else");
    }
    Ok(())
}
