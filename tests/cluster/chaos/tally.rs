//! Faults, presentations, losses, invariants.

use std::collections::BTreeMap;

use crate::harness::table;

/// What one kind of fault came to.
#[derive(Debug, Default)]
pub struct Count {
    pub times: usize,
    pub presentations: usize,
    pub answered: u64,
    /// Lost, by explanation.
    pub lost: BTreeMap<String, usize>,
}

/// What everything came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub by_fault: BTreeMap<String, Count>,
    pub presentations: usize,
    pub violations: Vec<String>,
}

impl Tally {
    /// A table for people.
    pub fn print(&self, seed: u64, episodes: u64) {
        let found = |of: &[&str]| {
            let of = |text: &&String| of.iter().any(|begin| text.starts_with(begin));
            self.violations.iter().filter(of).count()
        };
        let rows = self.by_fault.iter().map(|(fault, count)| {
            let lost: Vec<_> = count.lost.iter().map(|(why, count)| format!("{count} {why}")).collect();
            let counts =
                [count.times.to_string(), count.presentations.to_string(), count.answered.to_string()];
            let [times, presentations, answered] = counts;
            [fault.clone(), times, presentations, answered, lost.join(", ")]
        });
        table(
            &format!(
                "Chaos: seed {seed}, {episodes} episodes of 3 replicas, {} presentations",
                self.presentations
            ),
            ["fault", "times", "presentations", "callers answered", "lost, each explained"],
            rows,
        );
        let rows = [
            ("I1: a token presented twice", found(&["I1"])),
            ("I2: presented without its record", found(&["I2"])),
            ("I3: a generation decreased", found(&["I3"])),
            ("I5: received and not settled", found(&["I5"])),
            ("I6: idle without the live token", found(&["I6"])),
            ("I8: handed out and forgotten", found(&["I8"])),
            ("lost without an explanation", found(&["lost"])),
            ("anything", self.violations.len()),
        ];
        let rows = rows.map(|(what, count)| [what.to_owned(), count.to_string()]);
        table("Invariants", ["violation", "found"], rows);
    }
}
