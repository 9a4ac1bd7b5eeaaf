//! One fleet under load, blow after blow; each is healed, and what it cost is counted.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use token_broker::config::{Config, Durability};

use super::{
    blow::Wound,
    load::Load,
    plan::{Blow, Kind, Plan, REPLICAS},
    tally::Tally,
};
use crate::harness::{App, Fleet, Setup, now, until};

const CONNECTIONS: usize = 24;
/// Life of an access token, in seconds: everything is always about to be due.
const LIFE: u64 = 4;

/// A quarantine that lasts longer needs a person.
const PATIENCE: Duration = Duration::from_secs(10);

/// A fleet under load.
pub struct Episode<'a> {
    pub(super) fleet: Fleet,
    pub(super) load: Load,
    app: App,
    tally: &'a mut Tally,
    /// When each blow began, and what it is called.
    blows: Vec<(i64, String)>,
    told: HashSet<(String, i64)>,
}

fn settings(config: &mut Config) {
    config.refresh.in_flight_per_client_fleet = 12;
    config.shutdown.grace = Duration::from_secs(20);
}

impl<'a> Episode<'a> {
    /// From the start of a fleet to the checker's word.
    pub async fn play(plan: &Plan, end: Option<Instant>, tally: &'a mut Tally) {
        // An operator whose database may forget says so.
        let forgets = plan.blows.iter().any(|blow| blow.kinds.contains(&Kind::PostgresForgets));
        let change = if forgets {
            |config: &mut Config| {
                settings(config);
                config.database.durability = Durability::Asynchronous;
            }
        } else {
            settings
        };
        let setup = Setup { replicas: REPLICAS, own_postgres: Some(""), change, ..Setup::default() };
        let fleet = Fleet::start(setup).await;
        let app = fleet.proven_app().await;
        fleet.simulator.knobs(|knobs| (knobs.access_ttl, knobs.latency_ms) = (LIFE, 40));
        fleet.connections(&fleet.caller(0).await, &app, "chaos", CONNECTIONS).await;
        let load = Load::start(&fleet, plan.seed);
        let (blows, told) = (Vec::new(), HashSet::new());
        let mut episode = Self { fleet, load, app, tally, blows, told };
        for blow in &plan.blows {
            let over = end.is_some_and(|end| Instant::now() > end);
            if over && !episode.blows.is_empty() {
                break;
            }
            episode.strike(blow).await;
        }
        episode.end().await;
    }

    async fn strike(&mut self, blow: &Blow) {
        let began = Instant::now();
        let before = (self.fleet.presentations().len(), self.load.answered());
        self.blows.push((now(), blow.label()));
        let mut wounds = Vec::new();
        for kind in &blow.kinds {
            wounds.push(self.inflict(*kind, blow).await);
        }
        self.load.follow(&self.fleet);
        tokio::time::sleep(blow.lasts).await;
        // A replica that starts waits for its database.
        wounds.sort_by_key(|wound| matches!(wound, Wound::Replica(_) | Wound::AllReplicas));
        for wound in wounds {
            self.heal(wound).await;
        }
        self.load.follow(&self.fleet);
        self.recovered().await;
        let presented = self.fleet.presentations().len() - before.0;
        let answered = self.load.answered() - before.1;
        let count = self.tally.by_fault.entry(blow.label()).or_default();
        count.times += 1;
        count.presentations += presented;
        count.answered += answered;
        let lost = self.count_losses().await;
        println!(
            "  {:>5.1} s  {}: {presented} presentations, {answered} answers, {lost} lost",
            began.elapsed().as_secs_f64(),
            blow.label()
        );
    }

    /// Refreshes go on.
    async fn recovered(&self) {
        self.fleet.with_redis(true).await;
        let settled = async || {
            let rows = self.fleet.rows().await;
            rows.grants
                .values()
                .flat_map(|grant| &grant.attempts)
                .filter(|attempt| attempt.is("settled"))
                .count()
        };
        let before = settled().await;
        until("refreshes go on", async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Where everything is lost, nothing goes on before a person acts.
            settled().await > before + 2 || self.fleet.losses().await.len() > CONNECTIONS / 2
        })
        .await;
        self.reminded().await;
        // What was quarantined may be in a journal: it is looked for within a second or two.
        let patience = Instant::now() + PATIENCE;
        until("quarantines end", async || {
            Instant::now() > patience
                || !self.fleet.rows().await.grants.values().any(|grant| grant.state == "quarantined")
        })
        .await;
        self.late().await;
    }

    /// Doubt lasts seconds here, not minutes: whoever holds an answer, or knows that nothing was sent, may come after its
    /// end, and is heard (1.5). A loss is what nobody comes for.
    async fn late(&self) {
        let patience = Instant::now() + PATIENCE;
        until("whoever is late has come", async || {
            Instant::now() > patience || self.fleet.losses().await.iter().all(|loss| loss.why.is_some())
        })
        .await;
    }

    /// A database that forgot knows again what is known of it elsewhere, as far as no person is needed. What comes next may
    /// take the witness: nothing can help a database that has both forgotten (`docs/refresh.md`).
    async fn reminded(&self) {
        let Some(before) = &self.fleet.remembered else { return };
        until("the database is reminded", async || {
            let rows = self.fleet.rows().await;
            rows.grants.iter().all(|(name, grant)| {
                let known = before.grants.get(name).map_or(0, |before| before.generation);
                grant.generation >= known
                    || ["reauth_required", "quarantined"].contains(&grant.state.as_str())
            })
        })
        .await;
    }

    /// Counts what only a person can help, with the blow that it was begun under, and authorises it anew.
    async fn count_losses(&mut self) -> usize {
        let mut lost = 0;
        for loss in self.fleet.losses().await {
            if self.told.insert((loss.name.clone(), loss.at)) {
                let under =
                    self.blows.iter().rev().find(|(began, _)| *began <= loss.at).or(self.blows.first());
                let label = under.map_or("before all", |(_, label)| label);
                let count = self.tally.by_fault.entry(label.to_owned()).or_default();
                if let Some(why) = loss.why {
                    *count.lost.entry(why).or_default() += 1;
                } else {
                    let found = format!("lost without an explanation: {}: {}", loss.name, loss.evidence);
                    println!("  VIOLATION {found}");
                    self.tally.violations.push(found);
                }
                lost += 1;
            }
            let caller = self.fleet.caller(0).await;
            self.fleet.reauthorise(&caller, &self.app, &loss.name).await;
        }
        lost
    }

    async fn end(mut self) {
        self.late().await;
        self.count_losses().await;
        let Self { fleet, load, tally, blows, .. } = self;
        load.end().await;
        fleet.simulator.knobs(|knobs| knobs.latency_ms = 0);
        let verdict = fleet.finish().await;
        println!("  checked: {} presentations, {}", verdict.presentations, verdict.states());
        tally.presentations += verdict.presentations;
        for (name, why) in &verdict.losses {
            let label = blows.last().map_or("before all", |(_, label)| label);
            println!("  lost at the end: {name}: {why}");
            *tally.by_fault.entry(label.to_owned()).or_default().lost.entry(why.clone()).or_default() += 1;
        }
        verdict.violations.iter().for_each(|found| println!("  VIOLATION {found}"));
        tally.violations.extend(verdict.violations);
    }
}
