//! What the batch loop tells of its work: metrics and progress, nothing that anybody decides by.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arrive::{Content, Incoming, Record};
use super::assign::Partition;
use crate::core::Core;
use crate::telemetry::Metrics;

/// How many facts of each kind a batch has.
#[derive(Default)]
pub(super) struct Counts {
    facts: BTreeMap<(&'static str, &'static str), u64>,
    passed: BTreeMap<&'static str, u64>,
}

pub(super) fn counted(batch: &[Incoming<'_>]) -> Counts {
    let mut counts = Counts::default();
    for incoming in batch {
        let topic = incoming.record.position.topic;
        match &incoming.content {
            Content::Fact(arrived) => *counts.facts.entry((topic, arrived.name)).or_default() += 1,
            Content::Passed(_) => *counts.passed.entry(topic).or_default() += 1,
            Content::Broken => {}
        }
    }
    counts
}

/// Counts what a batch was.
pub(super) fn count(metrics: &Metrics, counts: &Counts, took: Duration) {
    for (topic, skipped) in &counts.passed {
        metrics.skipped_unknown(topic, *skipped);
    }
    if counts.facts.is_empty() {
        return;
    }
    metrics.batch(counts.facts.values().sum::<u64>() as usize, took);
    for ((topic, name), count) in &counts.facts {
        metrics.consumed(topic, name, *count);
        metrics.processed(topic, name, took, None);
    }
}

/// Says how far the partitions of a batch are handled, and how old the last records were.
pub(super) fn note_positions(core: &Core, part: &[Record]) {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let last: BTreeMap<Partition, &Record> = part
        .iter()
        .map(|record| ((record.position.topic, record.position.partition), record))
        .collect();
    for record in last.into_values() {
        let lag =
            record.timestamp_ms.map(|written| (now - i128::from(written)).max(0) as f64 / 1000.0);
        let at = &record.position;
        if let Some(seconds) = lag {
            core.metrics.time_lag(at.topic, at.partition, seconds);
        }
        core.progress.note((at.topic, at.partition), at.offset + 1, lag);
    }
}
