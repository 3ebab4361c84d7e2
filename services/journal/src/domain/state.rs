//! An order as it was at a moment, and what changed between two moments, sentence by sentence.

use std::fmt;
use std::str::FromStr;

use schemas::Timestamp;
use schemas::history::{Fact, Facts, Summary};

use super::sentence::sentence;

/// A moment in the history of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After so many entries of its journal.
    Version(u64),
    /// At this time, by what had happened then.
    At(Timestamp),
}

/// An entry of the journal, as far as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its place in the journal.
    pub seq: u64,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What was said.
    pub said: Said,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A fact that is part of the order.
    Fact(Box<Fact>),
    /// Anything else, in words.
    Aside(String),
}

/// The second moment lacks something that the first one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`from` is later than `to`: it knows entry {0}, which `to` does not")]
pub struct Backwards(pub u64);

impl Moment {
    /// Whether an entry was there at this moment.
    pub fn knows(self, line: &Line) -> bool {
        match self {
            Self::Version(version) => line.seq <= version,
            Self::At(at) => line.occurred_at <= at,
        }
    }
}

/// How many entries a moment knows.
pub fn known(lines: &[Line], moment: Moment) -> usize {
    lines.iter().filter(|line| moment.knows(line)).count()
}

/// The facts of the order at a moment; `None` before the first of them.
pub fn facts(lines: &[Line], moment: Moment) -> Option<Facts> {
    facts_of(lines.iter().filter(|line| moment.knows(line)))
}

/// What changed between two moments, a sentence for each entry.
pub fn diff(lines: &[Line], from: Moment, to: Moment) -> Result<Vec<String>, Backwards> {
    if let Some(line) = lines.iter().find(|line| from.knows(line) && !to.knows(line)) {
        return Err(Backwards(line.seq));
    }
    let mut there: Vec<&Line> = lines.iter().filter(|line| from.knows(line)).collect();
    let mut before = summary(&there);
    let mut sentences = vec![];
    for line in lines.iter().filter(|line| to.knows(line) && !from.knows(line)) {
        let mut parts = match &line.said {
            Said::Fact(fact) => vec![sentence(&fact.what)],
            Said::Aside(text) => vec![text.clone()],
        };
        there.push(line);
        let after = summary(&there);
        parts.extend(changes(before.as_ref(), after.as_ref()));
        sentences.push(parts.join("; "));
        before = after;
    }
    Ok(sentences)
}

fn facts_of<'a>(lines: impl Iterator<Item = &'a Line>) -> Option<Facts> {
    let fact = |line: &'a Line| match &line.said {
        Said::Fact(fact) => Some((**fact).clone()),
        Said::Aside(_) => None,
    };
    Facts::new(lines.filter_map(fact).collect())
}

fn summary(lines: &[&Line]) -> Option<Summary> {
    facts_of(lines.iter().copied()).map(|facts| facts.summary())
}

/// What is different of an order that was there before.
fn changes(before: Option<&Summary>, after: Option<&Summary>) -> Vec<String> {
    let (Some(before), Some(after)) = (before, after) else { return vec![] };
    let mut changes = vec![];
    let mut compare = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            let text = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
            changes.push(format!("{what} {} -> {}", text(before), text(after)));
        }
    };
    let status = |summary: &Summary| Some(summary.status.as_str().to_owned());
    compare("status", status(before), status(after));
    compare("total", shown(before.total), shown(after.total));
    compare("customer", shown(before.customer.as_ref()), shown(after.customer.as_ref()));
    compare("store", shown(before.store.as_ref()), shown(after.store.as_ref()));
    if after.settled && !before.settled {
        changes.push("settled".to_owned());
    }
    changes
}

fn shown(value: Option<impl fmt::Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

impl FromStr for Moment {
    type Err = &'static str;

    /// A number of entries, or a time of RFC 3339.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a moment is a number of entries or a time: 3, 2026-11-20T10:00:00Z";
        match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map(Self::Version).map_err(|_| wrong),
            false => text.parse().map(Self::At).map_err(|_| wrong),
        }
    }
}
