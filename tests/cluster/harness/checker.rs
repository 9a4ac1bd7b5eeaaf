//! The checker of every test: the provider's log against rows, journals and escrow, token by token. It says what it
//! found instead of failing: some tests want it to find something.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use procore_simulator::{Outcome, Presentation};

use super::{
    Caller, Fleet, Known, Launch, Mishap,
    kept::{self, Kept},
    reason,
    rows::{Attempt, Grant},
    until,
};

/// A mishap explains what began at most so long before it; microseconds.
const REACH: i64 = 60_000_000;
/// Between the clocks of a broker, which follows the database's, and of the simulator; milliseconds.
const SKEW: i64 = 250;

/// What became of a fleet's connections.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Presentations of refresh tokens, the checker's own included.
    pub presentations: usize,
    /// How many connections there are in each state.
    pub states: BTreeMap<String, usize>,
    /// Connections that need a person, and whose token was presented.
    pub lost: usize,
    /// Connections that need a person, though the token was never presented.
    pub in_vain: usize,
    /// Why each of them is explained.
    pub losses: BTreeMap<String, String>,
    /// What must never be.
    pub violations: Vec<String>,
}

/// What is known of one connection.
pub(super) struct Case<'a> {
    pub(super) known: &'a Known,
    /// With what an older copy of the database has forgotten.
    pub(super) grant: &'a Grant,
    pub(super) seen: &'a [Presentation],
    /// The broker's generation of the provider's live token.
    pub(super) live: Option<u64>,
    /// The highest generation that a caller was given.
    pub(super) heard: u64,
    pub(super) mishaps: &'a [Mishap],
    /// Whether the database was replaced by an older copy.
    pub(super) forgetful: bool,
}

impl Verdict {
    /// Nothing that must never be.
    pub fn holds(&self) {
        assert!(self.violations.is_empty(), "{self:#?}");
    }

    /// Nothing lost either.
    pub fn lossless(&self) {
        self.holds();
        assert_eq!((self.lost, self.in_vain), (0, 0), "{self:#?}");
    }

    /// For tables.
    pub fn states(&self) -> String {
        let states: Vec<_> = self.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        states.join(", ")
    }
}

impl Fleet {
    /// Starts whatever does not run, refreshes whatever the brokers call idle, which proves that they hold the provider's
    /// live token; stops everybody; and accounts for every presentation and every receipt.
    pub async fn finish(mut self) -> Verdict {
        for replica in self.replicas.iter_mut().filter(|replica| !replica.runs()) {
            replica.start(&Launch::default()).await;
        }
        if self.redis.is_some() {
            self.with_redis(true).await;
        }
        let callers = self.callers().await;
        let known = self.known();
        stream::iter(known.iter().enumerate())
            .for_each_concurrent(8, async |(index, known)| {
                let generation = prove(&callers[index % callers.len()], known).await;
                self.heard.note(&known.name, generation.unwrap_or_default());
            })
            .await;
        drop(callers);
        let stays = self.settled().await;
        for replica in &mut self.replicas {
            if let Some(broker) = replica.broker.take() {
                broker.stop().await;
            }
        }
        self.check(stays).await
    }

    /// Waits until the escrow is drained, but for what no database will ever take.
    async fn settled(&self) -> Vec<Kept> {
        let Some(redis) = &self.redis else { return Vec::new() };
        let mut left = Vec::new();
        until("the escrow is drained", async || {
            left = kept::in_escrow(redis).await;
            let rows = self.rows().await;
            let open = |kept: &Kept| {
                rows.grants.values().any(|grant| {
                    let about = grant.attempts.iter().find(|about| Some(&about.id) == kept.attempt.as_ref());
                    about.is_some_and(|about| !about.is("settled")) && grant.state != "quarantined"
                })
            };
            !left.iter().any(open)
        })
        .await;
        left
    }

    /// Accounts for everything, with the brokers gone.
    async fn check(&self, escrowed: Vec<Kept>) -> Verdict {
        let rows = self.rows().await;
        let all = self.presentations();
        let mut verdict = Verdict { presentations: all.len(), ..Verdict::default() };
        let mut accounted = 0;
        let mut unsettled = escrowed;
        for replica in &self.replicas {
            let place = replica.folder.file_name().unwrap().to_str().unwrap();
            unsettled.extend(kept::in_journal(&self.config(place, &replica.name, None)).await);
        }
        for known in self.known() {
            let ours = |seen: &&Presentation| {
                known.grants.iter().any(|(grant, _)| seen.grant_id.as_ref() == Some(grant))
            };
            let seen: Vec<_> = all.iter().filter(ours).cloned().collect();
            accounted += seen.len();
            let Some(grant) = rows.grants.get(&known.name) else {
                verdict.violations.push(format!("{}: the grant is gone", known.name));
                continue;
            };
            let earlier = self.remembered.as_ref().and_then(|earlier| earlier.grants.get(&known.name));
            let grant = earlier.map_or(grant.clone(), |earlier| grant.clone().remembering(earlier));
            unsettled.retain(|kept| {
                let mine = grant.attempts.iter().find(|attempt| Some(&attempt.id) == kept.attempt.as_ref());
                // A mark that is lost costs a question to the database.
                !mine.is_some_and(|mine| mine.is("settled") || grant.state == "quarantined")
            });
            let live = self.simulator.live_pair(known.grant_id());
            let case = Case {
                known: &known,
                grant: &grant,
                seen: &seen,
                live: live.map(|pair| known.first() + pair.generation),
                heard: self.heard.of(&known.name),
                mishaps: &self.mishaps,
                forgetful: self.remembered.is_some(),
            };
            verdict.judge(&case);
        }
        if accounted != all.len() {
            verdict.violations.push("a token was presented that belongs to no connection".to_owned());
        }
        verdict.violations.extend(unsettled.iter().map(|kept| format!("I5: kept and not settled: {kept:?}")));
        verdict
    }
}

/// A further refresh: done, or refused for a reason that needs a person. The new generation.
async fn prove(caller: &Caller, known: &Known) -> Option<u64> {
    let mut generation = None;
    until(&format!("{} is refreshed or explained", known.name), async || {
        match caller.refresh(&known.name).await {
            Ok(connection) => generation = Some(connection.generation),
            Err(status) => match reason(&status).as_str() {
                "REAUTHORIZATION_REQUIRED" | "QUARANTINED" => {}
                // A doubt ends: with its late answer, or with a person's work.
                "REFRESH_IN_DOUBT"
                | "REFRESH_IN_PROGRESS"
                | "PROVIDER_RATE_LIMITED"
                | "PROVIDER_UNAVAILABLE"
                | "STORE_UNAVAILABLE"
                | "OAUTH_CLIENT_REJECTED" => return false,
                other => panic!("{}: {other}: {status:?}", known.name),
            },
        }
        true
    })
    .await;
    generation
}

impl Verdict {
    fn judge(&mut self, case: &Case<'_>) {
        *self.states.entry(case.grant.state.clone()).or_default() += 1;
        let mut found = case.accounts();
        if case.heard > case.grant.generation {
            found.push(format!("I8: generation {} was handed out and is forgotten", case.heard));
        }
        if case.grant.state == "idle" {
            if case.live != Some(case.grant.generation) {
                found.push(format!("I6: idle, and the provider's live generation is {:?}", case.live));
            }
        } else {
            match case.explanation() {
                Some(why) => drop(self.losses.insert(case.known.name.clone(), why)),
                None => found.push("lost without an explanation".to_owned()),
            }
            if case.seen.iter().any(|seen| case.generation(seen) == Some(case.last_spent())) {
                self.lost += 1;
            } else {
                self.in_vain += 1;
            }
        }
        let case = format!("{}: {:?}, {:#?}", case.known.name, case.grant, case.seen);
        self.violations.extend(found.into_iter().map(|what| format!("{what}: {case}")));
    }
}

impl Case<'_> {
    /// The broker's generation of a token, by its place in the provider's chain.
    fn generation(&self, seen: &Presentation) -> Option<u64> {
        let (_, first) = self.known.grants.iter().find(|(grant, _)| seen.grant_id.as_ref() == Some(grant))?;
        Some(first + seen.generation?)
    }

    /// The generation of the newest attempt.
    fn last_spent(&self) -> u64 {
        self.grant.attempts.iter().map(|attempt| attempt.generation).max().unwrap_or_default()
    }

    /// I1, the rows' part of I2, and I3.
    fn accounts(&self) -> Vec<String> {
        let mut found = Vec::new();
        let attempts = &self.grant.attempts;
        let in_order = attempts.iter().map(|attempt| attempt.generation).is_sorted();
        if self.last_spent() > self.grant.generation || (!in_order && !self.forgetful) {
            found.push("I3: a generation decreased".to_owned());
        }
        let newest = self.seen.iter().filter_map(|seen| self.generation(seen)).max();
        for spent in 0..=self.grant.generation.max(newest.unwrap_or_default()) {
            let attempts: Vec<_> = attempts.iter().filter(|attempt| attempt.generation == spent).collect();
            let presented: Vec<_> =
                self.seen.iter().filter(|seen| self.generation(seen) == Some(spent)).collect();
            // A refusal frees where the provider says so too: an adoption presumes one (1.7), and may hide a second
            // presentation.
            let brought_nothing = |seen: &&&Presentation| {
                matches!(seen.outcome, Outcome::Refused(_) | Outcome::NotProcessed | Outcome::Unread)
            };
            let refused = attempts.iter().filter(|attempt| attempt.is("refused")).count();
            let freed = attempts.iter().filter(|attempt| attempt.frees()).count() - refused
                + refused.min(presented.iter().filter(brought_nothing).count());
            if presented.len() > 1 + freed {
                found.push(format!("I1: generation {spent} was presented {} times", presented.len()));
            }
            // An attempt that was not sent has no presentation, any other at most one, and later than its record.
            let sent: Vec<_> = attempts.iter().filter(|attempt| !attempt.is("not_sent")).collect();
            if presented.len() > sent.len() {
                found.push(format!("I2: generation {spent} was presented without an attempt"));
            }
            for (attempt, presentation) in sent.iter().zip(&presented) {
                if attempt.dispatched_at.div_euclid(1000) > presentation.at_ms + SKEW {
                    found.push(format!("I2: generation {spent} was presented before it was recorded"));
                }
            }
        }
        if self.seen.iter().any(|seen| self.generation(seen).is_none()) {
            found.push("a token was presented that the provider does not know".to_owned());
        }
        found
    }

    /// The attempt that a grant's state is about.
    pub(super) fn about(&self) -> Option<&Attempt> {
        let Grant { attempt, attempts, .. } = self.grant;
        let named = |id: &String| attempts.iter().find(|attempt| attempt.id == *id);
        attempt.as_ref().and_then(named).or(attempts.last())
    }

    /// Why a connection needs a person: the provider's doing, a mishap of the attempt's process, or a database that
    /// has forgotten.
    pub(super) fn explanation(&self) -> Option<String> {
        let (state, about) = (&self.grant.state, self.about()?);
        if state == "quarantined" {
            return self.forgetful.then(|| "the database had forgotten, and the witness had not".to_owned());
        }
        if about.is("not_sent") && self.grant.attempt.as_ref() == Some(&about.id) {
            // It was open in the copy, and nobody has anything to say of it any more.
            return self.forgetful.then(|| "the database had forgotten that it was given back".to_owned());
        }
        if state == "revoked" || about.is("not_sent") {
            return None;
        }
        let of_provider = self.seen.iter().rev().find(|seen| self.generation(seen) == Some(about.generation));
        if let Some(fault) = of_provider.and_then(|seen| seen.fault.clone()) {
            return Some(format!("provider: {fault}"));
        }
        let by_provider = |seen: &Presentation| matches!(seen.outcome, Outcome::Refused(_));
        if about.is("refused") && of_provider.is_some_and(by_provider) {
            return Some("refused too often".to_owned());
        }
        self.mishap(about).map(|mishap| format!("{:?}", mishap.fate))
    }

    fn mishap(&self, attempt: &Attempt) -> Option<&Mishap> {
        let within = attempt.dispatched_at - SKEW * 1000..=attempt.dispatched_at + REACH;
        self.mishaps.iter().find(|mishap| mishap.replica == attempt.replica && within.contains(&mishap.at))
    }
}

#[cfg(test)]
#[path = "doctored.rs"]
mod doctored;
