//! What is cut, padded or hostile is refused, by the generated decoders and on the way through
//! another schema version alike, and without taking memory.

use std::fs;

use millrace_contract::{
    DecodeError, Event, FrameError, Resolution, ResolveError, Writer, frame, unframe,
};
use schemas::{OrderPlaced, StockReleased};
use serde_json::{Value as Json, json};

use crate::golden::vectors;

/// The same schema in another version, so that the slow path is taken.
fn resolution(schema: &str) -> Resolution {
    let mut newer: Json = serde_json::from_str(schema).unwrap();
    let added = json!({"name": "added", "type": ["null", "string"], "default": null});
    newer["fields"].as_array_mut().unwrap().push(added);
    Resolution::new(&newer.to_string(), schema).unwrap()
}

#[test]
fn every_truncation_is_refused() {
    for vector in vectors() {
        let resolution = resolution(vector.kind.schema);
        for length in 0..vector.datum.len() {
            let cut = &vector.datum[..length];
            let read = (vector.kind.decode)(cut);
            let refused = matches!(read, Err(DecodeError::Truncated(_)));
            assert!(refused, "{} cut to {length} bytes: {read:?}", vector.file);
            let read = resolution.translate(cut);
            let refused = matches!(read, Err(DecodeError::Truncated(_)));
            assert!(refused, "{} cut to {length} bytes, resolved: {read:?}", vector.file);
        }
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for mut vector in vectors() {
        let resolution = resolution(vector.kind.schema);
        vector.datum.extend([0, 0]);
        assert_eq!((vector.kind.decode)(&vector.datum), Err(DecodeError::Trailing(2)));
        let resolved = resolution.translate(&vector.datum);
        // The first byte is the absent field of the newer version.
        assert_eq!(resolved, Err(DecodeError::Trailing(1)), "{}", vector.file);
    }
}

#[test]
fn every_byte_that_follows_is_refused() {
    for vector in vectors() {
        let resolution = resolution(vector.kind.schema);
        for byte in 0..=u8::MAX {
            let longer = [vector.datum.as_slice(), &[byte]].concat();
            let read = (vector.kind.decode)(&longer);
            assert_eq!(read, Err(DecodeError::Trailing(1)), "{} and {byte}", vector.file);
            let longer = [vector.datum.as_slice(), &[0, byte]].concat();
            let read = resolution.translate(&longer);
            assert_eq!(read, Err(DecodeError::Trailing(1)), "{} and {byte}, resolved", vector.file);
        }
    }
}

#[test]
fn every_wrong_framing_is_refused() {
    for vector in vectors() {
        let framed = frame(7, &vector.datum);
        assert_eq!(unframe(&framed), Ok((7, vector.datum.as_slice())));
        for length in 0..5 {
            assert_eq!(unframe(&framed[..length]), Err(FrameError::Short(length)));
        }
        for magic in 1..=u8::MAX {
            let wrong = [&[magic], &framed[1..]].concat();
            assert_eq!(unframe(&wrong), Err(FrameError::Magic(magic)), "{}", vector.file);
        }
    }
}

#[test]
fn the_schema_of_another_type_reads_nothing_of_ours() {
    for reader in schemas::EVENTS {
        for writer in schemas::EVENTS.iter().filter(|writer| writer.name != reader.name) {
            let refusal = Resolution::new(writer.schema, reader.schema).unwrap_err();
            let (wanted, found) = (reader.name.to_owned(), writer.name.to_owned());
            assert_eq!(refusal, ResolveError::OtherRecord { wanted, found });
        }
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_in_every_field() {
    for vector in vectors() {
        let mut texts = vec![];
        leaves(&vector.json, &mut texts);
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            let found = vector.datum.windows(text.len()).position(|it| it == text.as_bytes());
            // Enums, times and amounts are written as numbers.
            let Some(at) = found else { continue };
            let mut damaged = vector.datum.clone();
            damaged[at] = 0xff;
            let read = (vector.kind.decode)(&damaged);
            let refused = matches!(read, Err(DecodeError::Invalid { .. }));
            assert!(refused, "{}: {text}: {read:?}", vector.file);
        }
    }
}

#[test]
fn an_enum_has_no_other_symbol_and_a_union_no_other_branch() {
    let file = |name: &str| vectors().into_iter().find(|vector| vector.file == name).unwrap();
    for index in [-1, 99, i64::MIN] {
        let mut refused = file("PaymentRefused.json");
        refused.datum.pop();
        Writer::new(&mut refused.datum).long(index);
        let read = (refused.kind.decode)(&refused.datum);
        let what = "enum has no such symbol";
        assert!(matches!(read, Err(DecodeError::Invalid { what: w, .. }) if w == what), "{read:?}");
        let mut cancelled = file("OrderCancelled.silent.json");
        cancelled.datum.pop();
        Writer::new(&mut cancelled.datum).long(index);
        let read = (cancelled.kind.decode)(&cancelled.datum);
        let what = "union has no such branch";
        assert!(matches!(read, Err(DecodeError::Invalid { what: w, .. }) if w == what), "{read:?}");
    }
}

#[test]
fn a_changed_byte_never_reads_as_the_same_fact() {
    for vector in vectors() {
        for index in 0..vector.datum.len() {
            let mut changed = vector.datum.clone();
            changed[index] ^= 0x01;
            let read = (vector.kind.decode)(&changed);
            assert_ne!(read, Ok(vector.json.clone()), "{} at {index}", vector.file);
        }
    }
}

#[test]
fn an_over_long_number_is_refused() {
    let (release, length) = release_head();
    let over_long = [release.as_slice(), &[0x80, 0x00]].concat();
    let wanted =
        DecodeError::Invalid { what: "number is not in its shortest form", at: length + 2 };
    assert_eq!(StockReleased::from_datum(&over_long), Err(wanted.clone()));
    assert_eq!(resolution(StockReleased::SCHEMA).translate(&over_long), Err(wanted));
}

#[test]
fn bombs_are_refused_without_taking_memory() {
    let before = peak_kib();
    let (release, _) = release_head();
    let counts = [i64::MIN, i64::MIN + 1, -1_000_000_000, 1001, 1_000_000_000, i64::MAX];
    for count in counts {
        let mut bomb = release.clone();
        let mut out = Writer::new(&mut bomb);
        out.long(count);
        out.long(count.saturating_abs());
        out.long(i64::MAX);
        let read = StockReleased::from_datum(&bomb);
        assert!(matches!(read, Err(DecodeError::Invalid { .. })), "{count}: {read:?}");
        let read = resolution(StockReleased::SCHEMA).translate(&bomb);
        assert!(matches!(read, Err(DecodeError::Invalid { .. })), "{count}: {read:?}");
    }
    for length in [i64::MIN, -1, 64 * 1024 + 1, i64::MAX] {
        let mut bomb = Vec::new();
        Writer::new(&mut bomb).long(length);
        bomb.resize(100_000, 0x20);
        let read = OrderPlaced::from_datum(&bomb);
        assert!(matches!(read, Err(DecodeError::Invalid { .. })), "{length}: {read:?}");
        let read = resolution(OrderPlaced::SCHEMA).translate(&bomb);
        assert!(matches!(read, Err(DecodeError::Invalid { .. })), "{length}: {read:?}");
    }
    let grown = peak_kib() - before;
    assert!(grown < 64 * 1024, "the peak of resident memory grew by {grown} KiB");
}

/// Every text in a human form.
fn leaves<'a>(json: &'a Json, texts: &mut Vec<&'a str>) {
    match json {
        Json::String(text) => texts.push(text),
        Json::Array(items) => items.iter().for_each(|item| leaves(item, texts)),
        Json::Object(fields) => fields.values().for_each(|field| leaves(field, texts)),
        _ => {}
    }
}

/// A `StockReleased` up to the head of its lines, and how many bytes that is.
fn release_head() -> (Vec<u8>, usize) {
    let mut head = Vec::new();
    let mut out = Writer::new(&mut head);
    out.string("01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60");
    out.string("store");
    let length = head.len();
    (head, length)
}

/// Peak of this process's resident memory; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}
