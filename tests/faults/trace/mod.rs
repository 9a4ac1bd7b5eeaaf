//! I2 and I8, down to the disk: the order of system calls during one refresh. Durable first, then said.

use crate::harness::{Launch, World, guarded, table, until};

mod calls;
mod doctored;
mod order;

use order::Sides;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_before_it_is_on_the_disk() {
    let strace = std::process::Command::new("strace").arg("-V").output();
    assert!(strace.is_ok_and(|output| output.status.success()), "this test needs the package `strace`");
    assert!(rustix::process::geteuid().is_root(), "this test needs root: the broker forbids being traced");
    // A write of the sweeper's, between ours, would have a sync of its own.
    let world = World::new(|config| config.refresh.sweep_interval = crate::harness::GUARD).await;
    let path = world.file("trace");
    let broker = world.launch(&Launch { trace: Some(path.clone()), ..Launch::default() }).await;
    let (grpc, id) = (broker.grpc, format!("{} ", broker.id()));
    let caller = broker.caller().await;
    world.tenant(&caller).await;
    let app = world.app(&caller, "app").await;
    let known = world.connection(&caller, &app, "traced").await;
    let token = guarded("the traced refresh", caller.token(known.name())).await.unwrap();
    let provider = world.simulator.oauth_base(procore_simulator::Environment::Sandbox);
    let verdict = world.finish(broker).await;
    until("strace has written everything", async || {
        let trace = std::fs::read_to_string(&path).unwrap();
        trace.lines().any(|line| line.starts_with(&id) && line.contains("+++ exited"))
    })
    .await;

    let trace = std::fs::read_to_string(&path).unwrap();
    let sides = Sides {
        provider: provider.trim_start_matches("http://").to_owned(),
        grpc: grpc.to_string(),
        log: "token-broker.db-wal>".to_owned(),
        presented: known.refresh_token,
        vended: token.access_token,
    };
    let found = order::check(&calls::read(&trace), &sides).unwrap_or_else(|error| panic!("{error}"));
    for (what, sync) in found.iter().filter(|(what, _)| what.ends_with("on the disk")) {
        let without = trace.lines().enumerate().filter(|(number, _)| number != sync);
        let without: String = without.flat_map(|(_, line)| [line, "\n"]).collect();
        assert!(order::check(&calls::read(&without), &sides).is_err(), "nobody misses this sync: {what}");
    }
    let rows = found.into_iter().map(|(what, line)| [what.to_owned(), (line + 1).to_string()]);
    table("One refresh, as the kernel saw it", ["what", "line of the trace"], rows);
    assert_eq!((verdict.presentations, verdict.lost), (2, 0), "{verdict:?}");
}
