//! I4 and I5: the facts of a key stand in the order in which they were committed and are applied in
//! that order, and every key stays in its partition.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::evidence::{Books, Kind, Log};
use super::index::{Fact, Index};
use super::murmur::partition_of;
use super::verdict::Report;
use super::work::work;

/// Versions count 1, 2, 3 in the log, and whoever reads them acts in that order.
pub(super) fn order(index: &Index<'_>, report: &mut Report) {
    for log in index.evidence.topics.iter().filter(|log| log.kind.is_facts()) {
        counted(index, log, report);
    }
    for books in &index.evidence.services {
        announced(index, books, report);
        guarded(index, books, report);
        taken(index, books, report);
    }
    applied(index, report);
}

/// In a compacted topic versions only grow; elsewhere none is missing. A repetition is the same
/// identity under the same version: whether its body is the same is for I6.
fn counted(index: &Index<'_>, log: &Log, report: &mut Report) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen: BTreeSet<(Uuid, u64)> = BTreeSet::new();
    for fact in index.facts.iter().filter(|fact| std::ptr::eq(fact.log, log)) {
        if !seen.insert((fact.id, fact.version)) {
            continue;
        }
        let last = last.entry(fact.key).or_default();
        let good = match log.kind {
            Kind::State => fact.version > *last,
            _ => fact.version == *last + 1,
        };
        report.expect(good, fact.key, || format!("{} stands behind v{last}", fact.told()));
        *last = fact.version;
    }
}

/// What a service announces because of a key's facts follows the order of these facts.
fn announced(index: &Index<'_>, books: &Books, report: &mut Report) {
    let mut rows: Vec<_> = books.outbox.iter().collect();
    rows.sort_by_key(|row| row.id);
    let mut last: BTreeMap<(&str, &str, &str, &str), u64> = BTreeMap::new();
    for row in rows {
        let Some(cause) = row.causation_id.and_then(|id| index.fact(id)) else { continue };
        let pair = (cause.log.topic.as_str(), cause.key, row.topic.as_str(), row.key.as_str());
        let last = last.entry(pair).or_default();
        report.expect(cause.version >= *last, &row.key, || {
            let (service, name, told) = (&books.service, &row.name, cause.told());
            format!("{service} said {name} because of {told} after acting on its v{last}")
        });
        *last = cause.version.max(*last);
    }
}

/// What guards a key against its older facts is as young as the youngest that was handled.
fn guarded(index: &Index<'_>, books: &Books, report: &mut Report) {
    let guards: BTreeMap<(&str, &str), u64> = books
        .last_versions
        .iter()
        .map(|last| ((last.topic.as_str(), last.key.as_str()), last.version))
        .collect();
    for row in books.inbox.iter().filter(|row| row.outcome == "handled") {
        let Some(fact) = index.fact(row.event_id) else { continue };
        let guard = guards.get(&(fact.log.topic.as_str(), fact.key)).copied().unwrap_or_default();
        report.expect(guard >= fact.version, fact.key, || {
            format!("{} handled {} and remembers v{guard} only", books.service, fact.told())
        });
    }
}

/// By the inbox: a group takes in the facts of a key in the order in which they stand.
fn taken(index: &Index<'_>, books: &Books, report: &mut Report) {
    let inbox: BTreeMap<Uuid, i64> =
        books.inbox.iter().map(|row| (row.event_id, row.offset)).collect();
    type Line<'a> = Vec<(u64, i64, &'a Fact<'a>)>;
    let mut lines: BTreeMap<(&str, &str), Line<'_>> = BTreeMap::new();
    for fact in index.once() {
        let Some(offset) = inbox.get(&fact.id) else { continue };
        let line = lines.entry((&fact.log.topic, fact.key)).or_default();
        line.push((fact.version, *offset, fact));
    }
    for mut line in lines.into_values() {
        line.sort_by_key(|(version, ..)| *version);
        for pair in line.windows(2) {
            let ((_, before, first), (_, after, second)) = (pair[0], pair[1]);
            report.expect(before <= after, first.key, || {
                let (service, first, second) = (&books.service, first.told(), second.told());
                format!("{service} took in {first} at offset {before} only, behind {second}")
            });
        }
    }
}

/// By the traces: the last time each fact was worked on is in the order of the versions. Of copies
/// nothing follows, unless the group did not work on what they are copies of.
fn applied(index: &Index<'_>, report: &mut Report) {
    let mut worked: BTreeMap<(&str, Uuid), (bool, u64)> = BTreeMap::new();
    for work in work(index) {
        let last = worked.entry((work.group, work.fact.id)).or_default();
        *last = (work.is_first, work.start).max(*last);
    }
    type Line<'a> = Vec<(u64, u64, &'a Fact<'a>)>;
    let mut lines: BTreeMap<(&str, &str, &str), Line<'_>> = BTreeMap::new();
    for ((group, id), (_, start)) in worked {
        let Some(fact) = index.fact(id) else { continue };
        let line = lines.entry((group, &fact.log.topic, fact.key)).or_default();
        line.push((fact.version, start, fact));
    }
    for ((group, ..), mut line) in lines {
        line.sort_by_key(|(version, ..)| *version);
        for pair in line.windows(2) {
            let ((_, before, first), (_, after, second)) = (pair[0], pair[1]);
            report.expect(before <= after, first.key, || {
                format!("{group} worked on {} before {}", second.told(), first.told())
            });
        }
    }
}

/// Every record with a key is in the partition its key belongs to.
pub(super) fn placement(index: &Index<'_>, report: &mut Report) {
    for log in &index.evidence.topics {
        let partitions = log.ends.len() as u32;
        for record in &log.records {
            let Some(key) = record.key.as_deref().filter(|key| !key.is_empty()) else { continue };
            if index.poison_at(&log.topic, record.partition, record.offset).is_some() {
                continue;
            }
            let wanted = partition_of(key, partitions);
            report.expect(record.partition == wanted, record.key_text(), || {
                let (topic, offset) = (&log.topic, record.offset);
                let found = record.partition;
                format!("the record at {topic}/{found}@{offset} belongs in partition {wanted}")
            });
        }
    }
}
