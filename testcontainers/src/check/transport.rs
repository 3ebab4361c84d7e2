//! I2 and I3: what was committed is published, what is published was committed, and every reader
//! has each fact in its books.

use std::collections::{BTreeMap, BTreeSet};

use millrace::contract::headers_from_json;
use uuid::Uuid;

use super::evidence::{Books, Datum, Kind, Log, Logged, OutboxRow, sha256};
use super::index::{Fact, Index};
use super::verdict::Report;

/// What a record is known by in its topic and in the outbox it came from.
fn of_record(log: &Log, record: &Logged) -> String {
    match log.kind {
        Kind::DeadLetters => of_letter(&record.headers),
        Kind::Audit => sha256(record.payload.as_deref().unwrap_or_default()),
        Kind::Facts | Kind::State => record.header("ce_id").unwrap_or_default().to_owned(),
    }
}

fn of_row(log: &Log, row: &OutboxRow) -> String {
    let headers = || row.raw_headers.as_deref().unwrap_or_default();
    match log.kind {
        Kind::DeadLetters => of_letter(&headers_from_json(headers()).unwrap_or_default()),
        Kind::Audit => sha256(row.payload.as_deref().unwrap_or_default()),
        Kind::Facts | Kind::State => row.event_id.to_string(),
    }
}

/// A redriven record may die again: then it is another letter.
fn of_letter(headers: &[(String, Option<Vec<u8>>)]) -> String {
    let text = |name: &str| {
        let value = headers.iter().rev().find(|(given, _)| given == name)?.1.as_deref()?;
        std::str::from_utf8(value).ok()
    };
    let part = |name| text(name).unwrap_or_default();
    format!("{} {}", part("dlq_id"), part("dlq_redrive_count"))
}

/// Every committed row of an outbox is in its topic, and every fact in a topic is in the books of
/// each of its readers.
pub(super) fn no_loss(index: &Index<'_>, report: &mut Report) {
    for books in &index.evidence.services {
        published(index, books, report);
    }
    for books in &index.evidence.services {
        let shelf = Shelf::of(books);
        let read: BTreeSet<(&str, &str)> =
            books.reads.iter().map(|(name, topic)| (name.as_str(), topic.as_str())).collect();
        let facts = index.once().filter(|fact| read.contains(&(fact.name, &fact.log.topic)));
        for fact in facts {
            let lacking = shelf.lacks(fact);
            report.expect(lacking.is_none(), fact.key, || {
                let why = lacking.unwrap_or_default();
                format!("{} never took in {}: {why}", books.service, fact.told())
            });
        }
    }
}

fn published(index: &Index<'_>, books: &Books, report: &mut Report) {
    let mut there: BTreeMap<&str, (&Log, BTreeSet<String>)> = BTreeMap::new();
    let ours = |log: &&Log| log.owner == books.service || log.kind == Kind::Audit;
    for log in index.evidence.topics.iter().filter(ours) {
        let known = log.records.iter().map(|record| of_record(log, record));
        there.insert(&log.topic, (log, known.collect()));
    }
    let latest = latest_rows(index, books);
    for row in &books.outbox {
        let Some((log, known)) = there.get(row.topic.as_str()) else {
            report.found(&row.key, format!("{} went to unknown {}", row.name, row.topic));
            continue;
        };
        // Compaction keeps only the latest record of a key.
        if latest.get(&(row.topic.as_str(), row.key.as_str())).is_some_and(|v| row.version < *v) {
            continue;
        }
        report.expect(known.contains(&of_row(log, row)), &row.key, || {
            let OutboxRow { name, version, event_id, .. } = row;
            let service = &books.service;
            format!("{service} committed {name} v{version} ({event_id}), and it is in no topic")
        });
    }
}

/// The latest version of each key in the topics that are compacted.
fn latest_rows<'a>(index: &Index<'a>, books: &'a Books) -> BTreeMap<(&'a str, &'a str), u64> {
    let compacted =
        |topic: &str| index.evidence.log(topic).map(|log| &log.kind) == Some(&Kind::State);
    let mut latest: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for row in books.outbox.iter().filter(|row| compacted(&row.topic)) {
        let version = latest.entry((&row.topic, &row.key)).or_default();
        *version = row.version.max(*version);
    }
    latest
}

/// What one service has of the topics it reads, quick to look up.
pub(super) struct Shelf<'a> {
    books: &'a Books,
    inbox: BTreeMap<Uuid, &'a str>,
    parked: BTreeMap<Uuid, &'a str>,
    parked_places: BTreeSet<(&'a str, i32, i64)>,
    folded: BTreeMap<(&'a str, i32), i64>,
}

impl<'a> Shelf<'a> {
    pub(super) fn of(books: &'a Books) -> Self {
        let inbox = books.inbox.iter().map(|row| (row.event_id, row.outcome.as_str()));
        let parked = books.parked.iter().map(|row| (row.event_id, row.status.as_str()));
        let places = books.parked.iter().map(|row| (row.topic.as_str(), row.partition, row.offset));
        let folded = books.positions.iter();
        let folded = folded.map(|at| ((at.topic.as_str(), at.partition), at.next_offset));
        Self {
            books,
            inbox: inbox.collect(),
            parked: parked.collect(),
            parked_places: places.collect(),
            folded: folded.collect(),
        }
    }

    /// Why the service does not have this fact: neither handled, nor folded, nor waiting where an
    /// operator sees it. `None` when it does.
    pub(super) fn lacks(&self, fact: &Fact<'_>) -> Option<String> {
        let (topic, partition, offset) = fact.place();
        if self.books.is_view {
            let next = self.folded.get(&(topic, partition)).copied().unwrap_or_default();
            let there = next > offset || self.parked_at(topic, partition, offset);
            return (!there).then(|| format!("it has folded up to {next} only"));
        }
        match (self.inbox.get(&fact.id).copied(), self.parked.get(&fact.id).copied()) {
            (Some("handled"), _)
            | (Some("parked"), Some("waiting" | "retrying" | "dead" | "discarded"))
            | (Some("dead"), Some("dead" | "redriven" | "discarded"))
            | (None, Some(_)) => None,
            (Some(outcome), None) => {
                Some(format!("its inbox says {outcome}, and nothing is parked"))
            }
            (Some(outcome), Some(status)) => {
                Some(format!("its inbox says {outcome}, and what is parked is {status}"))
            }
            (None, None) => Some("it is not in its inbox".to_owned()),
        }
    }

    /// Whether a record was parked, whatever became of it.
    pub(super) fn parked_at(&self, topic: &str, partition: i32, offset: i64) -> bool {
        self.parked_places.contains(&(topic, partition, offset))
    }
}

/// Every record of a topic was committed by the topic's owner as it stands there.
pub(super) fn no_phantom(index: &Index<'_>, report: &mut Report) {
    for log in &index.evidence.topics {
        let Some(books) = index.evidence.books(&log.owner) else { continue };
        let ours = books.outbox.iter().filter(|row| row.topic == log.topic);
        let rows: BTreeMap<String, &OutboxRow> = ours.map(|row| (of_row(log, row), row)).collect();
        let injected = |record: &&Logged| {
            index.poison_at(&log.topic, record.partition, record.offset).is_none()
        };
        for record in log.records.iter().filter(injected) {
            if let (Kind::Facts | Kind::State, Datum::Unreadable(why)) = (&log.kind, &record.datum)
            {
                let place = format!("{}/{}@{}", log.topic, record.partition, record.offset);
                let text = format!("the record at {place} cannot be read: {why}");
                report.found(record.key_text(), text);
            }
            let row = rows.get(&of_record(log, record));
            let differs = row.map(|row| difference(log, record, row));
            report.expect(differs == Some(None), record.key_text(), || {
                let place = format!("{}/{}@{}", log.topic, record.partition, record.offset);
                let why = match differs.flatten() {
                    Some(part) => format!("has another {part} than {} committed", log.owner),
                    None => format!("was never committed by {}", log.owner),
                };
                format!("the record at {place} {why}")
            });
        }
    }
}

/// Which part of a record is not what its row says. Dead letters are compared with their originals.
fn difference(log: &Log, record: &Logged, row: &OutboxRow) -> Option<&'static str> {
    if log.kind == Kind::DeadLetters {
        return None;
    }
    if record.key_text() != row.key {
        return Some("key");
    }
    if record.header("ce_type") != Some(&row.name) {
        return Some("type");
    }
    (record.payload != row.payload).then_some("payload")
}
