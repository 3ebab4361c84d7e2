//! I6: a fact acts once for each of its readers, however often it arrives, and the same identity
//! always has the same body.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::evidence::{Books, Effect, Kind, Logged};
use super::index::Index;
use super::verdict::Report;
use super::work::work;

/// One inbox row, one effect, one announcement of each kind; one body for each identity.
pub(super) fn once(index: &Index<'_>, report: &mut Report) {
    bodies(index, report);
    for books in &index.evidence.services {
        rows(index, books, report);
        effects(index, books, report);
        announcements(index, books, report);
        ended(index, books, report);
    }
    copies(index, report);
}

/// What was handled does not wait to be handled.
fn ended(index: &Index<'_>, books: &Books, report: &mut Report) {
    let waits = |status: &str| matches!(status, "waiting" | "retrying" | "dead");
    let parked = books.parked.iter().filter(|row| waits(&row.status));
    let parked: BTreeMap<Uuid, &str> =
        parked.map(|row| (row.event_id, row.status.as_str())).collect();
    for row in books.inbox.iter().filter(|row| row.outcome == "handled") {
        let waiting = parked.get(&row.event_id);
        let key = index.fact(row.event_id).map_or("", |fact| fact.key);
        report.expect(waiting.is_none(), key, || {
            let (service, id, status) = (&books.service, row.event_id, waiting.unwrap_or(&""));
            format!("{service} handled {id}, which is parked as {status}")
        });
    }
}

/// By the traces: whoever worked on a fact does not work on a copy of it.
fn copies(index: &Index<'_>, report: &mut Report) {
    let mut worked: BTreeMap<(&str, Uuid), (bool, bool)> = BTreeMap::new();
    for work in work(index) {
        let seen = worked.entry((work.group, work.fact.id)).or_default();
        *seen = (seen.0 || work.is_first, seen.1 || !work.is_first);
    }
    for ((group, id), seen) in worked {
        let Some(fact) = index.fact(id) else { continue };
        report.expect(seen != (true, true), fact.key, || {
            format!("{group} worked on {} and again on a copy of it", fact.told())
        });
    }
}

fn bodies(index: &Index<'_>, report: &mut Report) {
    for fact in &index.facts {
        let Some(first) = index.fact(fact.id) else { continue };
        let same = first.record.key == fact.record.key
            && first.record.payload == fact.record.payload
            && first.version == fact.version;
        report.expect(same, fact.key, || {
            format!("{} has the identity of {} and another body", fact.told(), first.told())
        });
    }
}

fn rows(index: &Index<'_>, books: &Books, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for row in &books.inbox {
        let fact = index.fact(row.event_id);
        let key = fact.map_or("", |fact| fact.key);
        let id = row.event_id;
        report.expect(seen.insert(id), key, || {
            format!("{} has two inbox rows of {id}", books.service)
        });
        // A fact that was taken in is in a topic, unless a poison under its identity was.
        let Some(fact) = fact else {
            let injected = index.poison_at(&row.topic, row.partition, row.offset).is_some();
            report.expect(injected, "", || {
                format!("{} took in {id}, which is in no topic", books.service)
            });
            continue;
        };
        if let Some(found) = row.digest {
            report.expect(found == digest(fact.record), key, || {
                format!("{} took in another body of {}", books.service, fact.told())
            });
        }
    }
}

/// First eight bytes of the sha256 over key and payload.
fn digest(record: &Logged) -> i64 {
    let mut hash = Sha256::new();
    hash.update(record.key.as_deref().unwrap_or_default());
    hash.update(record.payload.as_deref().unwrap_or_default());
    let hash = hash.finalize();
    i64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}

fn effects(index: &Index<'_>, books: &Books, report: &mut Report) {
    let handled: BTreeSet<Uuid> =
        books.inbox.iter().filter(|row| row.outcome == "handled").map(|row| row.event_id).collect();
    let mut seen: BTreeSet<&Effect> = BTreeSet::new();
    for effect in &books.effects {
        let Effect { cause, target } = effect;
        let fact = index.fact(*cause);
        let key = fact.map_or("", |fact| fact.key);
        let told = || fact.map_or_else(|| cause.to_string(), |fact| fact.told());
        let service = &books.service;
        report.expect(seen.insert(effect), key, || {
            format!("{service} acted twice on {target} because of {}", told())
        });
        if !books.is_view {
            report.expect(handled.contains(cause), key, || {
                format!("{service} acted on {target} because of {}, which it never handled", told())
            });
        }
    }
}

/// A cause leads a service to say a thing of a key once. A state is no effect: a view that is folded
/// again says anew what it amounts to, and names what it learned last.
fn announcements(index: &Index<'_>, books: &Books, report: &mut Report) {
    let is_state =
        |topic: &str| index.evidence.log(topic).is_some_and(|log| log.kind == Kind::State);
    let mut said: BTreeMap<(Uuid, &str, &str), u64> = BTreeMap::new();
    let facts = books.outbox.iter().filter(|row| row.raw_headers.is_none());
    for row in facts.filter(|row| !is_state(&row.topic)) {
        let Some(cause) = row.causation_id else { continue };
        let before = said.insert((cause, &row.name, &row.key), row.version);
        report.expect(before.is_none(), &row.key, || {
            let (service, name, version) = (&books.service, &row.name, row.version);
            let before = before.unwrap_or_default();
            format!("{service} said {name} as v{before} and v{version} for the one cause {cause}")
        });
    }
}
