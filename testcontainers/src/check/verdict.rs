//! What came of judging: for each invariant how much was looked at, and what breaks it, with the
//! life of the key it is about. As values, as JSON and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::index::Index;
use super::timeline;

/// So many violations of one invariant are told; the rest are counted.
const TOLD_MAX: usize = 20;
/// So many of these come with a timeline.
const TIMELINES_MAX: usize = 3;

/// Something that must hold, and how it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// Its number, for example `I4`.
    pub id: &'static str,
    /// Its name in a word or two.
    pub name: &'static str,
    /// Looks at everything it speaks of and reports what breaks it.
    pub check: fn(&Index<'_>, &mut Report),
}

/// What one invariant found.
#[derive(Debug, Default)]
pub struct Report {
    looked: usize,
    violations: Vec<Violation>,
}

/// Something that breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The key it is about, for example an order's id; empty when it is about none.
    pub subject: String,
    /// What is wrong.
    pub what: String,
    /// The life of the subject, merged from all sources, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<String>,
}

/// What is to be said of one invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Its number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many things were looked at; an invariant that looked at nothing proves nothing.
    pub looked: usize,
    /// How many violations there are.
    pub violations: usize,
    /// The first of them.
    pub told: Vec<Violation>,
}

/// What is to be said of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// One for each invariant.
    pub rulings: Vec<Ruling>,
}

impl Report {
    /// So many things were looked at.
    pub fn looked(&mut self, count: usize) {
        self.looked += count;
    }

    /// Something is wrong with what has this key; an empty key for nothing in particular.
    pub fn found(&mut self, subject: impl Into<String>, what: impl Into<String>) {
        let (subject, what) = (subject.into(), what.into());
        self.violations.push(Violation { subject, what, timeline: vec![] });
    }

    /// Looks at one thing, which is wrong unless `good`.
    pub fn expect(&mut self, good: bool, subject: &str, what: impl FnOnce() -> String) {
        self.looked += 1;
        if !good {
            self.found(subject, what());
        }
    }
}

impl Ruling {
    pub(super) fn of(invariant: &Invariant, index: &Index<'_>) -> Self {
        let mut report = Report::default();
        (invariant.check)(index, &mut report);
        let Report { looked, violations: mut told } = report;
        let violations = told.len();
        told.truncate(TOLD_MAX);
        for violation in told.iter_mut().take(TIMELINES_MAX) {
            violation.timeline = timeline::of(index, &violation.subject);
        }
        let (id, name) = (invariant.id.to_owned(), invariant.name.to_owned());
        Self { id, name, looked, violations, told }
    }
}

impl Verdict {
    /// How many violations there are in all.
    pub fn violations(&self) -> usize {
        self.rulings.iter().map(|ruling| ruling.violations).sum()
    }

    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations() == 0
    }

    /// Numbers of the invariants that do not hold.
    pub fn broken(&self) -> Vec<&str> {
        let broken = self.rulings.iter().filter(|ruling| ruling.violations > 0);
        broken.map(|ruling| ruling.id.as_str()).collect()
    }

    /// Numbers of the invariants for which there was nothing to look at.
    pub fn vacuous(&self) -> Vec<&str> {
        let empty = self.rulings.iter().filter(|ruling| ruling.looked == 0);
        empty.map(|ruling| ruling.id.as_str()).collect()
    }

    /// As JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are JSON")
    }
}

/// The table, and below it the counterexamples.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<4} {:<14} {:>8} {:>10}", "", "invariant", "looked", "violations")?;
        for Ruling { id, name, looked, violations, .. } in &self.rulings {
            writeln!(f, "{id:<4} {name:<14} {looked:>8} {violations:>10}")?;
        }
        for ruling in self.rulings.iter().filter(|ruling| ruling.violations > 0) {
            writeln!(f, "\n{} {}", ruling.id, ruling.name)?;
            for Violation { subject, what, timeline } in &ruling.told {
                let about = if subject.is_empty() { "-" } else { subject };
                writeln!(f, "  {about}: {what}")?;
                timeline.iter().try_for_each(|line| writeln!(f, "      {line}"))?;
            }
            let untold = ruling.violations - ruling.told.len();
            if untold > 0 {
                writeln!(f, "  and {untold} more")?;
            }
        }
        Ok(())
    }
}
