//! Instructions per call, as callgrind counts them: outside the kernel, and the same on a busy machine.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::{
    caller::{Amount, load},
    child::{Server, rival},
    house::House,
    report::{Finding, say},
};

const UNDER: [&str; 3] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

/// Two runs that differ in this many calls: starting and stopping cancel out.
const FEW: usize = 5_000;
const MANY: usize = 25_000;

const AT_MOST: f64 = 1.15;

pub(crate) async fn measure(place: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut bytes = None;
    let mut broker = Vec::new();
    for calls in [FEW, MANY] {
        let house = House::open(&UNDER, 5400, place).await?;
        bytes = Some(house.broker.reply().await?);
        load(house.broker.address, &Amount::Calls(calls), place).await?;
        broker.push(collected(&house.close().await?)?);
    }
    let bytes = bytes.context("no reply")?;
    let mut per_call = vec![each("broker", &broker)];
    for kind in ["bare", "tonic"] {
        let mut counts = Vec::new();
        for calls in [FEW, MANY] {
            let server = rival(&UNDER, kind, &bytes, place).await?;
            ensure!(server.reply().await? == bytes, "{kind} returns something else");
            load(server.address, &Amount::Calls(calls), place).await?;
            counts.push(finish(server).await?);
        }
        per_call.push(each(kind, &counts));
    }
    let ratio = per_call[0] / per_call[1];
    // It does the same and less. If it costs more, the two are not built or set up alike.
    ensure!(ratio >= 1.0, "the bare server is no floor: {ratio:.3}");
    Ok(vec![Finding {
        what: "instructions over a bare server",
        required: format!("at most {AT_MOST:.2}"),
        measured: format!("{ratio:.3} ({:.0} and {:.0} per call)", per_call[0], per_call[1]),
        held: ratio <= AT_MOST,
    }])
}

async fn finish(server: Server) -> anyhow::Result<f64> {
    collected(&server.stop().await?)
}

/// What callgrind says when its program ends.
fn collected(said: &str) -> anyhow::Result<f64> {
    let count =
        said.lines().find_map(|line| line.split_once("Collected :")).context("callgrind said nothing")?;
    Ok(count.1.trim().parse()?)
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn each(name: &str, counts: &[f64]) -> f64 {
    let each = (counts[1] - counts[0]) / (MANY - FEW) as f64;
    say(&format!("{name}: {each:.0} instructions per call"));
    each
}
