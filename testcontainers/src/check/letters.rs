//! I11: what is in the dead-letter topics is exactly what could not be handled, byte for byte,
//! with everything an operator needs to know beside it.

use std::collections::BTreeMap;

use super::evidence::{Books, Kind, Log, Logged, Poison, digest_of_headers, sha256};
use super::index::Index;
use super::verdict::Report;

/// What begins so was put beside the original headers.
const OURS: &str = "dlq_";

/// Headers that every dead letter has, with a value.
const WANTED: [&str; 16] = [
    "dlq_id",
    "dlq_original_topic",
    "dlq_original_partition",
    "dlq_original_offset",
    "dlq_original_timestamp",
    "dlq_original_group",
    "dlq_error_type",
    "dlq_error_message",
    "dlq_error_chain",
    "dlq_fingerprint",
    "dlq_attempts",
    "dlq_first_failed_at",
    "dlq_last_failed_at",
    "dlq_reason",
    "dlq_service_version",
    "dlq_redrive_count",
];

/// Topic, partition and offset.
type Place = (String, i32, i64);

/// The injected poisons and the dead letters correspond one to one, for each service that must
/// refuse them; every dead letter is whole; every dead row has its letter.
pub(super) fn dead_letters(index: &Index<'_>, report: &mut Report) {
    for books in &index.evidence.services {
        let logs = index.evidence.topics.iter();
        let log = logs.filter(|log| log.kind == Kind::DeadLetters && log.owner == books.service);
        let mut letters: BTreeMap<Place, Vec<&Logged>> = BTreeMap::new();
        for letter in log.flat_map(|log| &log.records) {
            let Some(place) = original_place(index, letter) else {
                let service = &books.service;
                report
                    .found(letter.key_text(), format!("a dead letter of {service} has no origin"));
                continue;
            };
            letters.entry(place).or_default().push(letter);
        }
        for (place, letters) in &letters {
            of_one_record(index, books, place, letters, report);
        }
        for poison in &index.evidence.poisons {
            refused(index, books, poison, &letters, report);
        }
        for row in books.parked.iter().filter(|row| row.status == "dead") {
            let place = (row.topic.clone(), row.partition, row.offset);
            report.expect(letters.contains_key(&place), &row.key, || {
                let (service, place) = (&books.service, told(&place));
                format!("{service} holds the record at {place} for dead, without a letter")
            });
        }
    }
}

/// Whether a service must refuse this record.
pub(super) fn refuses(index: &Index<'_>, books: &Books, poison: &Poison) -> bool {
    if let Some(named) = &poison.refused_by {
        return named.contains(&books.service);
    }
    let record = record_at(index, &(poison.topic.clone(), poison.partition, poison.offset));
    looks_into(books, poison, record.and_then(|record| record.header("ce_type")))
}

/// Whether a service reads what is wrong with a bad record of this type, or of none.
fn looks_into(books: &Books, poison: &Poison, name: Option<&str>) -> bool {
    let reads = |(fact, topic): &(String, String)| {
        *topic == poison.topic && name.is_none_or(|name| name == fact)
    };
    books.reads.iter().any(reads) && !(poison.of_datum && books.is_keeper)
}

fn of_one_record(
    index: &Index<'_>,
    books: &Books,
    place: &Place,
    letters: &[&Logged],
    report: &mut Report,
) {
    let service = &books.service;
    let key = letters[0].key_text();
    let poison = index.poison_at(&place.0, place.1, place.2);
    report.expect(poison.is_some_and(|poison| refuses(index, books, poison)), key, || {
        let why = letters[0].header("dlq_error_type").unwrap_or("?");
        format!("{service} has a dead letter of a good record at {}: {why}", told(place))
    });
    // The relay may send a letter twice; a redriven record may die again.
    let mut by_death: BTreeMap<&str, &Logged> = BTreeMap::new();
    for letter in letters {
        let death = letter.header("dlq_redrive_count").unwrap_or("0");
        let first = by_death.entry(death).or_insert(letter);
        let same = first.headers == letter.headers && first.payload == letter.payload;
        report.expect(same, key, || {
            format!("{service} has two dead letters of the record at {}", told(place))
        });
        whole(index, service, &books.group, place, letter, report);
    }
}

fn whole(
    index: &Index<'_>,
    service: &str,
    group: &str,
    place: &Place,
    letter: &Logged,
    report: &mut Report,
) {
    let key = letter.key_text();
    let at = told(place);
    let mut expect = |good: bool, what: &str| {
        report.expect(good, key, || format!("the dead letter of {service} of {at} {what}"));
    };
    for name in WANTED {
        let there = letter.headers.iter().any(|(header, value)| header == name && value.is_some());
        expect(there, &format!("has no {name}"));
    }
    expect(letter.header("dlq_original_group") == Some(group), "names another group");
    let Some(original) = record_at(index, place) else {
        return expect(false, "is of a record that is not there");
    };
    let theirs = letter.headers.iter().filter(|(name, _)| !name.starts_with(OURS));
    let headers = theirs.eq(&original.headers);
    expect(letter.key == original.key, "has another key");
    expect(letter.payload == original.payload, "has another payload");
    expect(headers, "has other headers than the original");
    expect(letter.timestamp_ms == original.timestamp_ms, "has another timestamp");
    if let Some(poison) = index.poison_at(&place.0, place.1, place.2) {
        let theirs = letter.headers.iter().filter(|(name, _)| !name.starts_with(OURS));
        let same = poison.key == letter.key.as_deref().map(sha256)
            && poison.value == letter.payload.as_deref().map(sha256)
            && poison.headers == digest_of_headers(theirs);
        expect(same, "is not what was injected");
    }
}

fn refused(
    index: &Index<'_>,
    books: &Books,
    poison: &Poison,
    letters: &BTreeMap<Place, Vec<&Logged>>,
    report: &mut Report,
) {
    if !refuses(index, books, poison) {
        return;
    }
    let place = (poison.topic.clone(), poison.partition, poison.offset);
    // What follows a dead letter of its key waits as a row and is no letter of its own.
    let behind = books.parked.iter().any(|row| {
        row.reason == "parked_behind"
            && row.topic == poison.topic
            && (row.partition, row.offset) == (poison.partition, poison.offset)
    });
    report.expect(behind || letters.contains_key(&place), "", || {
        format!("{} has no dead letter of the bad record at {}", books.service, told(&place))
    });
}

/// Where a letter says its original is; topics are told as the broker names them.
fn original_place(index: &Index<'_>, letter: &Logged) -> Option<Place> {
    let named = letter.header("dlq_original_topic")?;
    let known = index.evidence.topics.iter().find(|log| named.ends_with(&log.topic))?;
    let number = |name| letter.header(name)?.parse().ok();
    let partition = i32::try_from(number("dlq_original_partition")?).ok()?;
    Some((known.topic.clone(), partition, number("dlq_original_offset")?))
}

fn record_at<'a>(index: &Index<'a>, place: &Place) -> Option<&'a Logged> {
    let log: &'a Log = index.evidence.log(&place.0)?;
    log.records.iter().find(|record| (record.partition, record.offset) == (place.1, place.2))
}

fn told((topic, partition, offset): &Place) -> String {
    format!("{topic}/{partition}@{offset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_keeps_records_as_they_are_refuses_none_for_what_it_says() {
        let books = |is_keeper| Books {
            reads: vec![("Placed".to_owned(), "orders".to_owned())],
            is_keeper,
            ..Books::default()
        };
        let bad = |of_datum| Poison {
            topic: "orders".to_owned(),
            partition: 0,
            offset: 0,
            key: None,
            value: None,
            headers: String::new(),
            refused_by: None,
            of_datum,
        };
        assert!(looks_into(&books(false), &bad(true), Some("Placed")));
        assert!(!looks_into(&books(true), &bad(true), Some("Placed")));
        assert!(looks_into(&books(true), &bad(false), None));
        assert!(!looks_into(&books(false), &bad(false), Some("Paid")));
    }
}
