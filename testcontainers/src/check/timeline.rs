//! The life of one key as lines of text, merged from outbox, topics, inbox, parking, own tables
//! and the client's history. For people: nothing is decided by it.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::evidence::{Books, Kind};
use super::history::Step;
use super::index::Index;

/// More lines than this help nobody.
const LINES_MAX: usize = 80;

/// What happened to a key, oldest first.
pub(super) fn of(index: &Index<'_>, subject: &str) -> Vec<String> {
    if subject.is_empty() {
        return vec![];
    }
    let mut lines = Lines(vec![]);
    lines.topics(index, subject);
    for books in &index.evidence.services {
        lines.books(index, books, subject);
    }
    lines.history(index, subject);
    lines.0.sort_by_key(|(at, _)| *at);
    lines.0.into_iter().take(LINES_MAX).map(|(at, line)| format!("{} {line}", clock(at))).collect()
}

/// Lines with milliseconds since 1970.
struct Lines(Vec<(i64, String)>);

impl Lines {
    fn topics(&mut self, index: &Index<'_>, subject: &str) {
        for log in &index.evidence.topics {
            for record in log.records.iter().filter(|record| record.key_text() == subject) {
                let name = record.header("ce_type").unwrap_or("?");
                let mut line = format!(
                    "topic   {}/{}@{} {} v{} id {}",
                    log.topic,
                    record.partition,
                    record.offset,
                    name.rsplit('.').next().unwrap_or_default(),
                    record.header("ce_sequence").unwrap_or("?").trim_start_matches('0'),
                    record.header("ce_id").unwrap_or("none"),
                );
                if index.poison_at(&log.topic, record.partition, record.offset).is_some() {
                    line.push_str(" (injected)");
                }
                if log.kind == Kind::DeadLetters {
                    let reason = record.header("dlq_error_type").unwrap_or("?");
                    line.push_str(&format!(" dead: {reason}"));
                }
                self.0.push((record.timestamp_ms.unwrap_or_default(), line));
            }
        }
    }

    fn books(&mut self, index: &Index<'_>, books: &Books, subject: &str) {
        let service = &books.service;
        let ids: BTreeSet<_> = index.of_key(subject).iter().map(|fact| fact.id).collect();
        for row in books.outbox.iter().filter(|row| row.key == subject) {
            let name = row.name.rsplit('.').next().unwrap_or_default();
            let line = format!("outbox  {service} {name} v{} id {}", row.version, row.event_id);
            self.0.push((millis(&row.recorded_at), line));
        }
        for row in books.inbox.iter().filter(|row| ids.contains(&row.event_id)) {
            let short = index.fact(row.event_id).map_or("?", |fact| fact.short());
            let line = format!("inbox   {service} {short} {} id {}", row.outcome, row.event_id);
            self.0.push((millis(&row.recorded_at), line));
        }
        for row in books.parked.iter().filter(|row| row.key == subject) {
            let at = index.fact(row.event_id).and_then(|fact| fact.record.timestamp_ms);
            let line =
                format!("parked  {service} {} {} id {}", row.status, row.reason, row.event_id);
            self.0.push((at.unwrap_or_default(), line));
        }
        for (table, rows) in &books.ledgers {
            for row in rows {
                let text = row.to_string();
                if text.contains(subject) {
                    let at = row.get("at").and_then(|at| at.as_str()).unwrap_or_default();
                    self.0.push((millis(at), format!("table   {service} {table} {text}")));
                }
            }
        }
    }

    fn history(&mut self, index: &Index<'_>, subject: &str) {
        let history = &index.evidence.history;
        let about = |step: &Step| match step {
            Step::Invoke { subject, .. } | Step::Ok { subject, .. } => subject.clone(),
            Step::Fail { .. } | Step::Info { .. } => None,
        };
        let named = history.iter().filter(|entry| about(&entry.step).as_deref() == Some(subject));
        let ops: BTreeSet<u64> = named.map(|entry| entry.op).collect();
        for entry in history.iter().filter(|entry| ops.contains(&entry.op)) {
            let told = match &entry.step {
                Step::Invoke { client, act, .. } => format!("{client} invokes {act:?}"),
                Step::Ok { seen: Some(seen), .. } => {
                    format!("ok, saw {} v{}", seen.status, seen.version)
                }
                Step::Ok { .. } => "ok".to_owned(),
                Step::Fail { why } => format!("fail: {why}"),
                Step::Info { why } => format!("unknown: {why}"),
            };
            self.0.push((entry.at_ms, format!("client  #{} {told}", entry.op)));
        }
    }
}

fn millis(text: &str) -> i64 {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok();
    let millis = at.map(|at| at.unix_timestamp_nanos() / 1_000_000);
    millis.and_then(|millis| i64::try_from(millis).ok()).unwrap_or_default()
}

/// `08:15:30.123`, or dashes when the time is not known.
fn clock(millis: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    match at {
        Ok(at) if millis > 0 => {
            let (h, m, s, ms) = at.to_hms_milli();
            format!("{h:02}:{m:02}:{s:02}.{ms:03}")
        }
        _ => "--:--:--.---".to_owned(),
    }
}
