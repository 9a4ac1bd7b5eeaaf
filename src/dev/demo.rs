//! `dev --exit-after-demo`: simulator here, broker as a child that is killed. The simulator counts.

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use comfy_table::{Table, presets};
use procore_simulator::{Hold, Presentation};
use tokio::process::{Child, Command};

use super::{
    folder::Folder,
    print,
    provider::{self, Provider},
    seed::{self, Caller, IMPORTED},
};

/// Seconds that tokens live here: an expiry must be waited for.
const TOKEN_LIFE: u64 = 4;
const CALLERS: usize = 200;
/// How long anything may take before the demo gives up; a guard against hanging, not a measure.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was expected, what was seen, and what the simulator counted meanwhile.
struct Scene {
    what: &'static str,
    seen: String,
    presentations: usize,
    held: bool,
}

/// Plays the demo in a folder of its own.
pub(super) async fn run() -> anyhow::Result<()> {
    let place = std::env::temp_dir().join(format!("token-broker-demo-{}", std::process::id()));
    let played = tokio::time::timeout(PATIENCE * 4, play(&place)).await;
    let _ = std::fs::remove_dir_all(&place);
    let scenes = played.context("the demo took too long")??;
    print(&table(&scenes));
    if !scenes.iter().all(|scene| scene.held) {
        bail!("the demo did not hold");
    }
    Ok(())
}

async fn play(place: &Path) -> anyhow::Result<Vec<Scene>> {
    let folder = Folder::open(place)?;
    let provider = provider::start(0, TOKEN_LIFE).await?;
    std::fs::write(place.join("config.toml"), folder.config(&provider, 0, 0)?.summary()?)?;
    print("1/4  a broker starts, and a tenant gets its first token");
    let mut broker = Broker::start(place).await?;
    let first = first_token(&broker, &folder, &provider).await?;
    print("2/4  200 callers at once at an expired connection");
    let herd = herd(&broker, &folder, &provider).await?;
    print("3/4  the broker is killed while the provider holds the answer to a refresh");
    let killed = killed(&mut broker, place, &folder, &provider).await?;
    print("4/4  the tenant authorises anew\n");
    let again = again(&broker, &folder, &provider).await?;
    broker.stop().await?;
    provider.simulator.stop().await;
    Ok(vec![first, herd, killed, again])
}

async fn first_token(broker: &Broker, folder: &Folder, provider: &Provider) -> anyhow::Result<Scene> {
    let before = refreshes(&provider.simulator.log());
    let seeded = seed::seed(broker.grpc, folder, provider).await?;
    let presentations = refreshes(&provider.simulator.log()) - before;
    let seen = seeded.tokens.first().cloned().unwrap_or_default();
    Ok(Scene { what: "a first token", seen, presentations, held: presentations == 1 })
}

async fn herd(broker: &Broker, folder: &Folder, provider: &Provider) -> anyhow::Result<Scene> {
    let consumer = Caller::connect(broker.grpc, &folder.consumer_token_file()).await?;
    let held = consumer.token(IMPORTED).await?;
    let expiry = held.expire_time.context("a token without an end")?;
    let now = || crate::clock::Clock::System.now();
    let ends =
        crate::model::Timestamp::from_micros(expiry.seconds * 1_000_000 + i64::from(expiry.nanos) / 1000);
    tokio::time::sleep(ends.since(now())).await;
    let before = refreshes(&provider.simulator.log());
    let start = Arc::new(tokio::sync::Barrier::new(CALLERS));
    let calls: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (consumer, start) = (consumer.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                consumer.token(IMPORTED).await
            })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        answered += usize::from(call.await?.is_ok_and(|token| token.generation == held.generation + 1));
    }
    let presentations = refreshes(&provider.simulator.log()) - before;
    Ok(Scene {
        what: "200 callers across an expiry",
        seen: format!("{answered} of {CALLERS} got generation {}", held.generation + 1),
        presentations,
        held: answered == CALLERS && presentations == 1,
    })
}

async fn killed(
    broker: &mut Broker,
    place: &Path,
    folder: &Folder,
    provider: &Provider,
) -> anyhow::Result<Scene> {
    let before = refreshes(&provider.simulator.log());
    provider.simulator.hold_token_requests(Hold::AfterProcessing);
    let operator = Caller::connect(broker.grpc, &folder.operator_token_file()).await?;
    let in_flight = tokio::spawn(async move { operator.refresh(IMPORTED).await });
    tokio::time::timeout(PATIENCE, provider.simulator.wait_for_log(|log| refreshes(log) > before)).await?;
    broker.kill().await?;
    provider.simulator.release();
    let _ = in_flight.await;
    *broker = Broker::start(place).await?;
    let consumer = Caller::connect(broker.grpc, &folder.consumer_token_file()).await?;
    // What is left of the old token is served; after that the broker says what it does not know.
    let refusal = loop {
        match consumer.token(IMPORTED).await {
            Ok(token) if token.advice.is_none() => bail!("a doubtful token was served without saying so"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(refusal) => break refusal,
        }
    };
    let reason = tonic_types::StatusExt::get_error_details(&refusal)
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default();
    let presentations = refreshes(&provider.simulator.log()) - before;
    Ok(Scene {
        what: "SIGKILL in mid-refresh, restart",
        seen: format!("{reason}; the token was never presented again"),
        presentations,
        held: presentations == 1 && reason == "REFRESH_IN_DOUBT",
    })
}

async fn again(broker: &Broker, folder: &Folder, provider: &Provider) -> anyhow::Result<Scene> {
    let before = refreshes(&provider.simulator.log());
    let operator = Caller::connect(broker.grpc, &folder.operator_token_file()).await?;
    let imported = operator.import(provider).await?;
    let consumer = Caller::connect(broker.grpc, &folder.consumer_token_file()).await?;
    let token = consumer.token(IMPORTED).await?;
    let presentations = refreshes(&provider.simulator.log()) - before;
    Ok(Scene {
        what: "authorised anew",
        seen: format!("generation {} is served", token.generation),
        presentations,
        held: presentations == 1 && token.generation == imported.generation + 1,
    })
}

/// Presentations of refresh tokens, as the simulator saw them; no token may be seen twice.
fn refreshes(log: &[Presentation]) -> usize {
    log.iter()
        .filter(|seen| seen.grant_type.as_deref() == Some("refresh_token") && seen.continues.is_none())
        .count()
}

fn table(scenes: &[Scene]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["what", "seen", "presentations", "held"]);
    for scene in scenes {
        let held = if scene.held { "yes" } else { "NO" };
        table.add_row([scene.what, &scene.seen, &scene.presentations.to_string(), held]);
    }
    table.to_string()
}

/// A broker as a child process.
struct Broker {
    child: Child,
    grpc: SocketAddr,
}

impl Broker {
    async fn start(place: &Path) -> anyhow::Result<Self> {
        let addresses = place.join("addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(place.join("broker.log"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .args([Path::new("--config"), &place.join("config.toml")])
            .args([Path::new("--address-file"), &addresses])
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut broker = Self { child, grpc: ([0, 0, 0, 0], 0).into() };
        let read = async {
            loop {
                if let Ok(text) = std::fs::read(&addresses) {
                    return anyhow::Ok(serde_json::from_slice::<serde_json::Value>(&text)?);
                }
                if broker.child.try_wait()?.is_some() {
                    bail!("the broker ended: {}", std::fs::read_to_string(place.join("broker.log"))?);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let addresses = tokio::time::timeout(PATIENCE, read).await.context("the broker did not start")??;
        broker.grpc = addresses["grpc"].as_str().context("no address")?.parse()?;
        Ok(broker)
    }

    /// SIGKILL: no drain, no flush.
    async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        let id =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.context("the broker is gone")?, rustix::process::Signal::TERM)?;
        let status = self.child.wait().await?;
        if !status.success() {
            bail!("the broker did not stop cleanly: {status}");
        }
        Ok(())
    }
}
