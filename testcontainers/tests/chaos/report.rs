//! What a chaos run prints: a line for each seed, as a table or as JSON.

use std::path::PathBuf;

use serde::Serialize;

use crate::args::Format;

/// What came of one seed.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// Injected and healed.
    pub(crate) faults: usize,
    /// Planned, but this machine cannot show them.
    pub(crate) not_here: usize,
    /// Orders that were taken.
    pub(crate) orders: usize,
    pub(crate) violations: usize,
    /// Numbers of the invariants that do not hold.
    pub(crate) broken: Vec<String>,
    /// What else is wrong, in words.
    pub(crate) wrong: Vec<String>,
    /// From the last healing, or the last order if that came later, until everything was at rest.
    pub(crate) recovered_ms: u64,
    /// Where plan, history and verdict are kept when something is wrong.
    pub(crate) evidence: Option<PathBuf>,
}

/// Prints outcomes as they come.
pub(crate) struct Table {
    format: Format,
    rows: usize,
    violations: usize,
}

impl Table {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, rows: 0, violations: 0 }
    }

    /// Prints one seed.
    pub(crate) fn row(&mut self, outcome: &Outcome) {
        if self.format == Format::Ndjson {
            let line = serde_json::to_string(outcome).expect("texts and numbers are JSON");
            println!("{line}");
        } else {
            if self.rows == 0 {
                println!(
                    "{:>6} {:>7} {:>9} {:>7} {:>11} {:>13}",
                    "SEED", "FAULTS", "NOT HERE", "ORDERS", "VIOLATIONS", "RECOVERED MS"
                );
            }
            let Outcome { seed, faults, not_here, orders, violations, recovered_ms, .. } = outcome;
            println!(
                "{seed:>6} {faults:>7} {not_here:>9} {orders:>7} {violations:>11} {recovered_ms:>13}"
            );
        }
        for wrong in &outcome.wrong {
            eprintln!("seed {}: {wrong}", outcome.seed);
        }
        if let Some(folder) = &outcome.evidence {
            eprintln!("seed {}: kept in {}", outcome.seed, folder.display());
        }
        self.rows += 1;
        self.violations += outcome.violations;
    }

    /// Whether nothing was wrong.
    pub(crate) fn finish(self) -> bool {
        self.violations == 0
    }
}
