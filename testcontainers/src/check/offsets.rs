//! I12: an offset moves only over what is in the books. Below the committed offset of a group no
//! record is missing, and none is committed that was never written.

use std::collections::BTreeMap;

use super::evidence::{Books, Committed, Kind, Log, Logged};
use super::index::Index;
use super::transport::Shelf;
use super::verdict::Report;

/// Every record below a committed offset is handled, parked or none of the reader's business.
pub(super) fn offsets(index: &Index<'_>, report: &mut Report) {
    for books in &index.evidence.services {
        let shelf = Shelf::of(books);
        for committed in &books.committed {
            let Some(log) = index.evidence.log(&committed.topic) else { continue };
            let Some(next) = committed.offset else { continue };
            within(books, log, committed, next, report);
            below(index, books, &shelf, log, committed, next, report);
        }
    }
}

fn within(books: &Books, log: &Log, at: &Committed, next: i64, report: &mut Report) {
    let end = usize::try_from(at.partition).ok().and_then(|number| log.ends.get(number));
    let (low, high) = end.copied().unwrap_or_default();
    let place = format!("{}/{}", at.topic, at.partition);
    report.expect(next <= high, "", || {
        format!("{} has committed {next} of {place}, which ends at {high}", books.group)
    });
    report.expect(next >= low || high == low, "", || {
        format!("{} would go on at {next} of {place}, which begins at {low}", books.group)
    });
    if let Some(folded) = books
        .positions
        .iter()
        .find(|position| position.topic == at.topic && position.partition == at.partition)
    {
        report.expect(folded.next_offset >= next, "", || {
            let folded = folded.next_offset;
            format!("{} has committed {next} of {place} and folded {folded}", books.group)
        });
    }
}

fn below(
    index: &Index<'_>,
    books: &Books,
    shelf: &Shelf<'_>,
    log: &Log,
    at: &Committed,
    next: i64,
    report: &mut Report,
) {
    let facts: BTreeMap<i64, _> = index
        .facts
        .iter()
        .filter(|fact| std::ptr::eq(fact.log, log) && fact.record.partition == at.partition)
        .map(|fact| (fact.record.offset, fact))
        .collect();
    let ours = |record: &&Logged| record.partition == at.partition && record.offset < next;
    for record in log.records.iter().filter(ours) {
        let (topic, offset) = (&log.topic, record.offset);
        match facts.get(&offset) {
            Some(fact) if reads(books, fact.name, topic) => {
                let lacking = shelf.lacks(fact);
                report.expect(lacking.is_none(), fact.key, || {
                    let why = lacking.unwrap_or_default();
                    format!("{} went past {}: {why}", books.group, fact.told())
                });
            }
            Some(_) => report.looked(1),
            None => poison(index, books, shelf, (topic, at.partition, offset), report),
        }
    }
}

/// An injected record is accounted for where it was parked, or by its dead letter.
fn poison(
    index: &Index<'_>,
    books: &Books,
    shelf: &Shelf<'_>,
    place: (&str, i32, i64),
    report: &mut Report,
) {
    let (topic, partition, offset) = place;
    let Some(poison) = index.poison_at(topic, partition, offset) else { return };
    if !super::letters::refuses(index, books, poison) {
        return report.looked(1);
    }
    let buried = || {
        let letters = index.evidence.topics.iter();
        let letters =
            letters.filter(|log| log.kind == Kind::DeadLetters && log.owner == books.service);
        letters.flat_map(|log| &log.records).any(|letter| {
            letter.header("dlq_original_topic").is_some_and(|name| name.ends_with(topic))
                && letter.header("dlq_original_partition") == Some(&partition.to_string())
                && letter.header("dlq_original_offset") == Some(&offset.to_string())
        })
    };
    let known = shelf.parked_at(topic, partition, offset) || buried();
    report.expect(known, "", || {
        format!("{} went past the bad record at {topic}/{partition}@{offset}", books.group)
    });
}

fn reads(books: &Books, name: &str, topic: &str) -> bool {
    books.reads.iter().any(|(fact, of)| fact == name && of == topic)
}
