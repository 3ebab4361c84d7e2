//! Dead letters by what went wrong: one line for a thousand records. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Timestamp;
use serde::Serialize;

use super::Letter;

/// The span whose failures are compared with those of the span before it.
const SPAN_MICROS: i64 = 15 * 60 * 1_000_000;

/// Dead letters of one service that failed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Fingerprint: what `--cause` takes.
    pub cause: String,
    /// The service that fails; in a foreign topic the consumer group.
    pub service: String,
    /// Name of the fact.
    pub fact: String,
    /// What goes wrong, in one word.
    pub error_type: String,
    /// What goes wrong, as the last one says it.
    pub message: String,
    /// How many dead letters.
    pub count: usize,
    /// How many keys they block.
    pub keys: usize,
    /// How many records wait behind them.
    pub waiting: usize,
    /// When the first of them failed first.
    pub first_at: Option<Timestamp>,
    /// When the last of them failed last.
    pub last_at: Option<Timestamp>,
    /// How many failed in the last 15 minutes.
    pub recent: usize,
    /// Compared with the 15 minutes before.
    pub trend: Trend,
}

/// Whether it becomes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// More than before.
    Rising,
    /// As many as before, and not none.
    Steady,
    /// Fewer than before.
    Falling,
    /// None now, and none just before.
    Quiet,
}

impl Trend {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rising => "rising",
            Self::Steady => "steady",
            Self::Falling => "falling",
            Self::Quiet => "quiet",
        }
    }

    fn of(recent: usize, before: usize) -> Self {
        match recent.cmp(&before) {
            std::cmp::Ordering::Greater => Self::Rising,
            std::cmp::Ordering::Less => Self::Falling,
            std::cmp::Ordering::Equal if recent == 0 => Self::Quiet,
            std::cmp::Ordering::Equal => Self::Steady,
        }
    }
}

/// Groups dead letters, the largest cause first. `waiting` says by service and key how many records
/// wait.
pub fn causes(
    letters: &[Letter],
    waiting: &BTreeMap<(String, String), usize>,
    now: Timestamp,
) -> Vec<Cause> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Letter>> = BTreeMap::new();
    for letter in letters {
        groups.entry((&letter.service, &letter.cause)).or_default().push(letter);
    }
    let mut causes: Vec<Cause> =
        groups.into_values().map(|group| cause(&group, waiting, now)).collect();
    causes.sort_by(|one, other| (other.count, &one.cause).cmp(&(one.count, &other.cause)));
    causes
}

fn cause(group: &[&Letter], waiting: &BTreeMap<(String, String), usize>, now: Timestamp) -> Cause {
    let last = group.iter().max_by_key(|letter| letter.last_failed_at);
    let last = last.expect("a group is made for its first letter");
    let keys: BTreeSet<&str> =
        group.iter().map(|letter| letter.key.as_str()).filter(|key| !key.is_empty()).collect();
    let behind = |key: &&str| waiting.get(&(last.service.clone(), (*key).to_owned()));
    let ages = group.iter().filter_map(|letter| letter.last_failed_at);
    let ages: Vec<i64> = ages.map(|at| now.micros() - at.micros()).collect();
    let recent = ages.iter().filter(|age| **age < SPAN_MICROS).count();
    let before = ages.iter().filter(|age| (SPAN_MICROS..2 * SPAN_MICROS).contains(age)).count();
    Cause {
        cause: last.cause.clone(),
        service: last.service.clone(),
        fact: last.fact.clone(),
        error_type: last.error_type.clone(),
        message: last.error_message.clone(),
        count: group.len(),
        keys: keys.len(),
        waiting: keys.iter().filter_map(behind).sum(),
        first_at: group.iter().filter_map(|letter| letter.first_failed_at).min(),
        last_at: last.last_failed_at,
        recent,
        trend: Trend::of(recent, before),
    }
}
