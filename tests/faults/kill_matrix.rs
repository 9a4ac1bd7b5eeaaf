//! F1, F28: SIGKILL at every named point of a refresh, and at two of the provider's making. Loss is allowed between
//! the burn and the settle, and nowhere else.

use futures_util::{StreamExt as _, future::join_all, stream};
use procore_simulator::Hold;
use token_broker::failpoint::POINTS;

use crate::harness::{App, Broker, Caller, GUARD, Launch, Verdict, World, guarded, table, until};

/// Refreshes that are under way when the process is killed.
const AT_ONCE: usize = 10;
/// Processes killed at each point: it is reached at least twenty times.
const ROUNDS: usize = 2;

/// Where the process is killed.
#[derive(Clone, Copy, Debug)]
enum Point {
    /// At a failpoint.
    Named(&'static str),
    /// While the provider holds the requests, or their answers.
    Held(Hold),
}

/// What a row of the matrix came to.
struct Row {
    point: Point,
    reached: usize,
    /// Until the last kill.
    presentations: usize,
    verdict: Verdict,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_outside_the_window() {
    let named = POINTS.into_iter().map(Point::Named);
    let held = [Hold::BeforeProcessing, Hold::AfterProcessing].map(Point::Held);
    let rows: Vec<_> = stream::iter(named.chain(held)).map(row).buffered(3).collect().await;
    let header = ["killed at", "reached", "presented", "lost", "in doubt, never presented", "states after"];
    table("F1: SIGKILL", header, rows.iter().map(Row::cells));
    for row in &rows {
        row.judge();
    }
}

async fn row(point: Point) -> Row {
    let world = World::new(|config| {
        config.refresh.in_flight_per_client = u32::try_from(AT_ONCE).unwrap();
        config.refresh.caller_wait = GUARD;
    })
    .await;
    let log = world.file("failpoint.log");
    let launch = match point {
        Point::Named(name) => Launch::stopping_at(name, log.clone()),
        Point::Held(_) => Launch::default(),
    };
    let (mut names, mut reached) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let broker = world.launch(&launch).await;
        let caller = broker.caller().await;
        if round == 0 {
            world.tenant(&caller).await;
            let app = world.app(&caller, "app").await;
            names = seed(&world, &caller, &app).await;
        }
        let calls = names[round * AT_ONCE..][..AT_ONCE].iter().cloned().map(|name| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.token(&name).await.is_ok() })
        });
        reached += match point {
            Point::Named(_) => {
                let calls: Vec<_> = calls.collect();
                let expected = (round + 1) * AT_ONCE;
                let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
                until("every refresh is at the point", async || lines() >= expected).await;
                gone(broker, calls).await;
                lines() - round * AT_ONCE
            }
            Point::Held(hold) => {
                // The secret proves itself before the provider holds everything.
                caller.refresh(names.last().unwrap()).await.unwrap();
                let before = world.presentations().len();
                world.simulator.hold_token_requests(hold);
                let calls: Vec<_> = calls.collect();
                let held = || world.presentations().len() - before;
                until("the provider holds every refresh", async || held() >= AT_ONCE).await;
                gone(broker, calls).await;
                // What was only received is processed now, with nobody there to hear of it.
                world.simulator.release();
                held()
            }
        };
    }
    let presentations = world.presentations().len();
    let broker = world.start().await;
    let caller = &broker.caller().await;
    guarded("callers come in", join_all(names.iter().map(|name| caller.token(name)))).await;
    let verdict = world.finish(broker).await;
    Row { point, reached, presentations, verdict }
}

/// As many connections as there are kills, and one to prove the secret with.
async fn seed(world: &World, caller: &Caller, app: &App) -> Vec<String> {
    world.connections(caller, app, "killed", ROUNDS * AT_ONCE + 1).await
}

/// Kills the broker; its callers hear nothing good.
async fn gone(broker: Broker, calls: Vec<tokio::task::JoinHandle<bool>>) {
    broker.kill().await;
    let answered = guarded("callers hear of the end", join_all(calls)).await;
    assert!(answered.into_iter().all(|answered| !answered.unwrap()), "a token was handed out");
}

impl Row {
    /// From the burn to the settle.
    fn may_lose(&self) -> bool {
        let index = |name| POINTS.iter().position(|point| *point == name);
        match self.point {
            Point::Named(name) => (index("burnt")..=index("before_settle")).contains(&index(name)),
            Point::Held(_) => true,
        }
    }

    fn judge(&self) {
        let Self { point, reached, verdict, .. } = self;
        assert!(*reached >= 20, "{point:?} was reached {reached} times");
        let lost = verdict.lost + verdict.in_vain;
        let most = if self.may_lose() { *reached } else { 0 };
        assert!(lost <= most, "{point:?}: {lost} lost: {verdict:?}");
    }

    fn cells(&self) -> [String; 6] {
        let Self { point, reached, presentations, verdict } = self;
        let point = match point {
            Point::Named(name) => (*name).to_owned(),
            Point::Held(Hold::BeforeProcessing) => "provider: received, not processed".to_owned(),
            Point::Held(_) => "provider: processed, answer held".to_owned(),
        };
        let states: Vec<_> = verdict.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let numbers =
            [*reached, *presentations, verdict.lost, verdict.in_vain].map(|count| count.to_string());
        let [reached, presentations, lost, in_vain] = numbers;
        [point, reached, presentations, lost, in_vain, states.join(", ")]
    }
}
