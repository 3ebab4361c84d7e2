//! What a story showed: every expectation beside what was observed, the life of each order, and
//! what became of stock and money. One form for people, one for programs; it judges nothing but
//! whether the two sides are the same.

use std::time::{Duration, Instant};

use schemas::OrderId;
use serde::Serialize;
use serde_json::{Map, Value};

use super::facts::{self, Fact, Moment};

/// A story while it is told.
#[derive(Debug)]
pub(super) struct Tale {
    report: Report,
    begun: Instant,
}

/// A story that was told.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) story: &'static str,
    pub(super) ok: bool,
    expected: Map<String, Value>,
    observed: Map<String, Value>,
    ms: u64,
    /// Why it could not be told to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    orders: Vec<Life>,
    effects: Vec<Effect>,
    #[serde(skip)]
    about: &'static str,
}

/// The life of one order.
#[derive(Debug, Clone, Serialize)]
struct Life {
    order: OrderId,
    note: String,
    timeline: Vec<Moment>,
}

/// What became of a quantity, or what was counted.
#[derive(Debug, Clone, Serialize)]
struct Effect {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    after: String,
}

impl Tale {
    pub(super) fn begin(story: &'static str, about: &'static str) -> Self {
        let report = Report {
            story,
            ok: false,
            expected: Map::new(),
            observed: Map::new(),
            ms: 0,
            error: None,
            orders: vec![],
            effects: vec![],
            about,
        };
        Self { report, begun: Instant::now() }
    }

    /// The two must be the same when they are written as JSON.
    pub(super) fn expect(
        &mut self,
        what: &str,
        expected: impl Serialize,
        observed: impl Serialize,
    ) {
        let value = |given: Result<Value, serde_json::Error>| {
            given.unwrap_or_else(|error| Value::String(error.to_string()))
        };
        self.report.expected.insert(what.to_owned(), value(serde_json::to_value(expected)));
        self.report.observed.insert(what.to_owned(), value(serde_json::to_value(observed)));
    }

    /// A condition that holds, or what was seen instead.
    pub(super) fn expect_that(&mut self, what: &str, holds: bool, seen: impl Serialize) {
        match holds {
            true => self.expect(what, true, true),
            false => self.expect(what, true, seen),
        }
    }

    /// Shows the life of an order.
    pub(super) fn order(&mut self, order: OrderId, note: impl Into<String>, facts: &[Fact]) {
        let timeline = facts::timeline(facts);
        self.report.orders.push(Life { order, note: note.into(), timeline });
    }

    /// Shows what became of a quantity.
    pub(super) fn effect(
        &mut self,
        what: impl Into<String>,
        before: impl ToString,
        after: impl ToString,
    ) {
        let (before, after) = (Some(before.to_string()), after.to_string());
        self.report.effects.push(Effect { what: what.into(), before, after });
    }

    /// Shows how many there were.
    pub(super) fn count(&mut self, what: impl Into<String>, count: impl ToString) {
        let effect = Effect { what: what.into(), before: None, after: count.to_string() };
        self.report.effects.push(effect);
    }

    /// The story is over: it holds if it came to its end and nothing was unexpected.
    pub(super) fn end(mut self, told: anyhow::Result<()>) -> Report {
        self.report.error = told.err().map(|error| format!("{error:#}"));
        self.report.ms = millis(self.begun.elapsed());
        let as_expected = self.report.expected == self.report.observed;
        let anything = !self.report.expected.is_empty();
        self.report.ok = self.report.error.is_none() && as_expected && anything;
        self.report
    }
}

impl Report {
    /// The story for a person.
    pub(super) fn told(&self, colours: bool) -> String {
        let mut lines = Vec::new();
        let word = match (self.ok, colours) {
            (true, true) => "\x1b[32mok\x1b[0m",
            (true, false) => "ok",
            (false, true) => "\x1b[31mFAILED\x1b[0m",
            (false, false) => "FAILED",
        };
        let Self { story, ms, about, .. } = self;
        let mut line = |line: String| lines.push(line);
        line(format!("{story}: {word}, {} checks, {ms} ms. {about}", self.expected.len()));
        for life in &self.orders {
            line(format!("  order {} {}", life.order, life.note));
            for moment in &life.timeline {
                let Moment { fact, service, ms } = moment;
                line(format!("    {ms:>9.1} ms  {fact:<18} {service}"));
            }
        }
        let width = self.effects.iter().map(|effect| effect.what.len()).max().unwrap_or_default();
        for Effect { what, before, after } in &self.effects {
            let before = before.as_ref().map(|before| format!("{before} -> ")).unwrap_or_default();
            line(format!("  {what:<width$}  {before}{after}"));
        }
        for (what, expected) in &self.expected {
            let observed = &self.observed[what];
            if expected != observed {
                line(format!("  {what}: expected {expected}, observed {observed}"));
            }
        }
        if let Some(error) = &self.error {
            line(format!("  not told to its end: {error}"));
        }
        lines.join("\n") + "\n"
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_holds_only_when_everything_was_as_expected() {
        let tell = |observed: i64| {
            let mut tale = Tale::begin("s", "about");
            tale.expect("left", 3, observed);
            tale.expect_that("few", observed < 10, observed);
            tale.end(Ok(()))
        };
        assert!(tell(3).ok);
        let failed = tell(12);
        assert!(!failed.ok);
        let told = failed.told(false);
        assert!(told.contains("left: expected 3, observed 12"), "{told}");
        assert!(told.contains("few: expected true, observed 12"), "{told}");
    }

    #[test]
    fn a_story_that_breaks_off_or_checks_nothing_does_not_hold() {
        let mut tale = Tale::begin("s", "about");
        tale.expect("left", 3, 3);
        let report = tale.end(Err(anyhow::anyhow!("no broker")));
        assert!(!report.ok && report.told(false).contains("no broker"));
        assert!(!Tale::begin("s", "about").end(Ok(())).ok);
    }
}
