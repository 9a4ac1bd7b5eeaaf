//! F8, F9: the database is replaced by a copy that lacks the last commits. Journals and escrow give back what it forgot,
//! and the witness stops what it would do again; without the witness the checker must see red.

use std::time::{Duration, Instant};

use procore_simulator::Hold;

use crate::{
    harness::{Fleet, GUARD, Known, Setup, Verdict, Way, table, until},
    redis_faults::forget_leases,
};

/// Long enough to see that a database was restarted, and to offer it what is kept.
const LOOKS: Duration = Duration::from_secs(3);

/// What the copy lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    Settles,
    Burns,
}

/// A fleet whose database was copied before anything was refreshed.
pub async fn copied(redis: bool) -> (Fleet, Vec<Known>) {
    let setup = Setup {
        redis,
        own_postgres: Some(""),
        // The provider is held for as long as it takes.
        change: |config| {
            config.refresh.total_timeout = GUARD;
            config.refresh.holder_lost_after = 2 * GUARD;
        },
        ..Setup::default()
    };
    let fleet = Fleet::start(setup).await;
    let app = fleet.proven_app().await;
    let known = fleet.connections(&fleet.caller(0).await, &app, "forgotten", 4).await;
    let cluster = fleet.cluster.as_ref().unwrap();
    cluster.stop();
    cluster.keep_copy();
    cluster.restart();
    (fleet, known)
}

/// Puts the copy in the database's place.
pub async fn forget(fleet: &mut Fleet) {
    fleet.remembered = Some(fleet.rows().await);
    let cluster = fleet.cluster.as_ref().unwrap();
    cluster.stop();
    cluster.put_copy_back();
    cluster.restart();
}

async fn replaced(lacks: Lacks, redis: bool) -> (Verdict, [String; 6]) {
    let (mut fleet, known) = copied(redis).await;
    let mut stopped = 0;
    let answered = match lacks {
        Lacks::Settles => {
            let answered = fleet.insist(&fleet.callers().await, &known).all_served().await;
            until("everything is settled", async || idle(&fleet, &known, 1).await == known.len()).await;
            forget(&mut fleet).await;
            until("everything is known again", async || idle(&fleet, &known, 1).await == known.len()).await;
            answered
        }
        Lacks::Burns => {
            fleet.simulator.hold_token_requests(Hold::AfterProcessing);
            let caller = fleet.caller(0).await;
            let calls = fleet.insist(&[caller], &known);
            fleet.all_presented(&known).await;
            forget(&mut fleet).await;
            // Another replica works on what looks unspent.
            let others = fleet.insist(&[fleet.caller(1).await], &known);
            until("the others have tried", async || {
                if redis {
                    forget_leases(&fleet).await;
                    stopped = in_state(&fleet, &known, "quarantined").await;
                    stopped == known.len()
                } else {
                    fleet.presented(&known) >= 2 * known.len()
                }
            })
            .await;
            fleet.simulator.release();
            let answered = calls.answers().await.iter().filter(|answer| answer.is_ok()).count();
            drop(others.answers().await);
            answered
        }
    };
    let presented = fleet.presented(&known);
    let verdict = fleet.finish().await;
    let lacks = if lacks == Lacks::Settles { "burns and settles" } else { "burns" };
    let counts = [answered, stopped, presented - known.len(), verdict.lost + verdict.in_vain];
    let [answered, stopped, double, lost] = counts.map(|count| count.to_string());
    let witness = if redis { "yes" } else { "no" };
    (verdict, [lacks.to_owned(), witness.to_owned(), answered, stopped, double, lost])
}

/// How many are settled so many generations further.
pub async fn idle(fleet: &Fleet, known: &[Known], further: u64) -> usize {
    let rows = fleet.rows().await;
    let is = |known: &&Known| {
        let grant = &rows.grants[&known.name];
        grant.state == "idle" && grant.generation == known.first() + further
    };
    known.iter().filter(is).count()
}

async fn in_state(fleet: &Fleet, known: &[Known], state: &str) -> usize {
    let rows = fleet.rows().await;
    known.iter().filter(|known| rows.grants[&known.name].state == state).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_forgets_is_reminded() {
    let ((settles, first), (burns, second), (red, third)) = tokio::join!(
        replaced(Lacks::Settles, true),
        replaced(Lacks::Burns, true),
        replaced(Lacks::Burns, false),
    );
    table(
        "F8: PostgreSQL is replaced by a copy; the last row must be red",
        ["the copy lacks", "witness", "callers answered", "vetoed", "presented twice", "lost"],
        [first, second, third],
    );
    settles.lossless();
    burns.lossless();
    let doubles = red.violations.iter().filter(|found| found.starts_with("I1")).count();
    assert!(doubles >= 4, "without the witness the checker must see red: {red:#?}");
}

/// The operator says that it forgets nothing, and nobody hears the witness, nor what is in escrow: nothing is spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_replaced_is_not_trusted_unwitnessed() {
    let (mut fleet, known) = copied(true).await;
    fleet.insist(&fleet.callers().await, &known).all_served().await;
    until("everything is settled", async || idle(&fleet, &known, 1).await == known.len()).await;
    (0..3).for_each(|replica| fleet.way(replica, Way::Cut));
    fleet.with_redis(false).await;
    forget(&mut fleet).await;
    let callers = fleet.callers().await;
    for known in &known {
        for caller in &callers {
            // Refused, but for who asks in the moment in which a journal gives back what was forgotten.
            drop(caller.refresh(&known.name).await);
        }
    }
    until("journals give it back", async || idle(&fleet, &known, 1).await == known.len()).await;
    for known in &known {
        for caller in &callers {
            assert!(caller.refresh(&known.name).await.is_err());
        }
    }
    assert_eq!(fleet.presented(&known), known.len(), "spent once, before it was forgotten");
    (0..3).for_each(|replica| fleet.way(replica, Way::Open));
    fleet.finish().await.lossless();
}

/// What was offered to a database after a burn says nothing of that burn: a copy that forgot may have taken it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_in_a_database_is_from_before_the_burn() {
    let setup = Setup {
        replicas: 1,
        own_postgres: Some(""),
        change: |config| {
            config.refresh.body_deadline = GUARD;
            config.refresh.holder_lost_after = 3 * GUARD;
        },
        ..Setup::default()
    };
    let (fleet, holder, app) = Fleet::with_holder(setup, "burnt").await;
    let known = [fleet.connection(&fleet.caller(0).await, &app, "held").await];
    let call = fleet.insist(&[fleet.caller(holder).await], &known);
    until("it is burnt", async || fleet.replicas[holder].reached() > 0).await;
    let cluster = fleet.cluster.as_ref().unwrap();
    cluster.stop();
    cluster.restart();
    tokio::time::sleep(LOOKS).await;
    (0..2).for_each(|replica| fleet.way(replica, Way::Cut));
    fleet.with_redis(false).await;
    fleet.replicas[holder].let_go();
    let name = &known[0].name;
    until("it is given back", async || fleet.rows().await.grants[name].attempts[0].is("not_sent")).await;
    assert_eq!(fleet.presented(&known), 0, "what is burnt before is sent with the witness's word only");
    (0..2).for_each(|replica| fleet.way(replica, Way::Open));
    call.all_served().await;
    fleet.finish().await.lossless();
}

/// A copy is made while an attempt is open, which its holder then gives back; others bring the next pairs. The copy knows
/// of the open attempt alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_given_up_since_the_copy_costs_nothing() {
    let setup = Setup { replicas: 2, own_postgres: Some(""), ..Setup::default() };
    let (mut fleet, holder, app) = Fleet::with_holder(setup, "burnt").await;
    let known = [fleet.connection(&fleet.caller(0).await, &app, "given-up").await];
    let call = fleet.insist(&[fleet.caller(holder).await], &known);
    until("it is burnt", async || fleet.replicas[holder].reached() > 0).await;
    let burnt = Instant::now();
    let cluster = fleet.cluster.as_ref().unwrap();
    cluster.stop();
    cluster.keep_copy();
    cluster.restart();
    // Past its deadline a body is not sent.
    let config = fleet.config("holder", "holder", None);
    until("its deadline has passed", async || burnt.elapsed() > config.refresh.body_deadline).await;
    fleet.replicas[holder].let_go();
    let name = &known[0].name;
    until("it is given back", async || fleet.rows().await.grants[name].attempts[0].is("not_sent")).await;
    call.all_served().await;
    // A caller may be answered from a journal. Who wants a refresh before the database has it gets the one under way.
    until("the next pair is settled", async || idle(&fleet, &known, 1).await == 1).await;
    fleet.caller(0).await.refresh(name).await.unwrap();
    let further = 2;
    until("everything is settled", async || idle(&fleet, &known, further).await == 1).await;
    forget(&mut fleet).await;
    until("everything is known again", async || idle(&fleet, &known, further).await == 1).await;
    let rows = fleet.rows().await;
    let outcomes: Vec<_> = rows.grants[name].attempts.iter().map(|attempt| attempt.outcome.clone()).collect();
    assert_eq!(outcomes[0].as_deref(), Some("refused"), "{outcomes:?}");
    fleet.finish().await.lossless();
}
