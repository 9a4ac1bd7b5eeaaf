//! Numbers and the table.

use anyhow::ensure;
use comfy_table::{Table, presets};

/// One requirement and what was found.
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) required: String,
    pub(crate) measured: String,
    pub(crate) held: bool,
}

/// Least, middle and greatest of some measurements.
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(measurements: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = measurements.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self { min: sorted[0], median, max: sorted[sorted.len() - 1] }
    }

    pub(crate) fn show(&self, decimals: usize) -> String {
        let Self { min, median, max } = self;
        format!("{median:.decimals$} ({min:.decimals$} to {max:.decimals$})")
    }
}

/// A line about what is going on.
#[expect(clippy::print_stderr, reason = "what a person reads")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Prints the table, and fails when a requirement is not held.
#[expect(clippy::print_stdout, reason = "what a person reads")]
pub(crate) fn print(findings: &[Finding]) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(["what", "required", "measured", ""]);
    for Finding { what, required, measured, held } in findings {
        table.add_row([what, required.as_str(), measured, if *held { "held" } else { "NOT HELD" }]);
    }
    println!("{table}");
    ensure!(findings.iter().all(|finding| finding.held), "not everything that is required was held");
    Ok(())
}
