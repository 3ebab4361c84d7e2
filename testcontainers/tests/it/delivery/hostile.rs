//! What strangers send to the front door and put on the topics, as far as it harms nobody: it is
//! carried as it is, or passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use millrace::admin::RawRecord;
use serde_json::json;

use super::Bench;
use super::order::gapless;
use crate::tally;
use crate::tally::facts::{NOTES, TALLIES};

/// What somebody may write into any text.
const ODD_TEXTS: [&str; 6] = [
    "'; DROP TABLE book; --",
    "a\r\nce_id: b",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{202e}txt.exe",
    "\u{feff}\u{200b}$1 %s {}",
    "\u{1f600}\u{10ffff}",
];

#[tokio::test(flavor = "multi_thread")]
async fn odd_texts_are_carried_as_they_are_from_the_door_to_the_rows() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    for text in ODD_TEXTS {
        bench.note(&writer, text, 1).await?;
    }
    let (status, body) = bench.post(&writer, "nul", "nul \0 in it", 1).await?;
    ensure!(status == 422 && body["code"] == "invalid_body", "{status}: {body}");
    bench.until_notes(&ODD_TEXTS.map(|text| (text.to_owned(), 1)).into()).await?;
    let records = bench.records(&NOTES).await?;
    let keys = records.iter().filter_map(|record| record.key.as_deref());
    let mut keys: Vec<&str> = keys.filter_map(|key| std::str::from_utf8(key).ok()).collect();
    let mut wanted = ODD_TEXTS;
    keys.sort_unstable();
    wanted.sort_unstable();
    ensure!(keys == wanted, "{keys:?}");
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_commands_under_one_key_have_one_winner_and_one_answer() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let posts = (0..100).map(|_| bench.post(&writer, "same", "book", 1));
    let answers = futures::future::try_join_all(posts).await?;
    ensure!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 202), "{answers:?}");
    let others = (2..100).map(|amount| bench.post(&writer, "same", "book", amount));
    let others = futures::future::try_join_all(others).await?;
    let reused = |(status, body): &(u16, serde_json::Value)| {
        *status == 422 && body["code"] == "idempotency_key_reused"
    };
    ensure!(others.iter().all(reused), "{others:?}");
    ensure!(bench.count("writer", "SELECT count(*) FROM millrace.outbox").await? == 1);
    writer.stop().await?;
    bench.world.close().await
}

/// Whatever a client that hangs up has been told, asking again under its key is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_at_any_moment_leaves_nothing_half_done() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let url = format!("{}/v1/notes", writer.url());
    for n in 0..40_u64 {
        let http = reqwest::Client::builder().timeout(Duration::from_micros(200 * n)).build()?;
        let post = http.post(&url).header("Idempotency-Key", format!("k-{n}"));
        drop(post.json(&json!({ "book": "book", "amount": 1 })).send().await);
    }
    for n in 0..40 {
        let (status, body) = bench.post(&writer, &format!("k-{n}"), "book", 1).await?;
        ensure!(status == 202, "k-{n}: {status}: {body}");
    }
    bench.until_notes(&BTreeMap::from([("book".into(), 40)])).await?;
    let facts = bench.count("writer", "SELECT count(*) FROM millrace.outbox").await?;
    ensure!(facts == 40, "{facts} facts of 40 commands");
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}

/// A key with a thousand facts is handled in their order, each once, and the keys beside it too.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_key_keeps_its_order_and_loses_no_other() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let (admin, topic) = (bench.world.admin().await?, bench.world.topic(&NOTES));
    let mut wanted = BTreeMap::from([("hot".to_owned(), 1_000)]);
    for version in 1..=1_000 {
        admin.produce(&topic, bench.raw_note("hot", version, 1)).await?;
        if version % 20 == 0 {
            let other = format!("other-{version}");
            admin.produce(&topic, bench.raw_note(&other, 1, 1)).await?;
            wanted.insert(other, 1);
        }
    }
    bench.until_notes(&wanted).await?;
    bench.until_sent("tally", 1_050).await?;
    gapless(&bench.records(&TALLIES).await?, 1_050)?;
    sums.stop().await?;
    bench.world.close().await
}

/// Headers that are not the contract's are nobody's business, and a trace that cannot be read is no
/// reason to refuse a fact.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_forged_headers_do_not_stop_a_fact() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut wanted = BTreeMap::new();
    for (n, (name, value)) in foreign_headers().into_iter().enumerate() {
        let book = format!("book-{n}");
        let mut note = bench.raw_note(&book, 1, 1);
        note.headers.push((name, value));
        bench.put(&NOTES, note).await?;
        wanted.insert(book, 1);
    }
    let mut twice: RawRecord = bench.raw_note("twice", 1, 1);
    twice.headers.extend((0..100).map(|n| ("baggage".to_owned(), Some(format!("k{n}=v").into()))));
    bench.put(&NOTES, twice).await?;
    wanted.insert("twice".into(), 1);
    bench.until_notes(&wanted).await?;
    sums.stop().await?;
    bench.world.close().await
}

fn foreign_headers() -> Vec<(String, Option<Vec<u8>>)> {
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    vec![
        header("", b"a header without a name"),
        ("null".to_owned(), None),
        header("large", &vec![b'x'; 900 * 1024]),
        header("x\r\nce_id", b"a\r\nb"),
        header("bytes", &[0xff, 0xfe, 0x00]),
        header("CE_ID", b"another case is another header"),
        header("traceparent", b"00-00000000000000000000000000000000-0000000000000000-01"),
        header("traceparent", b"\xff\xff"),
        header("traceparent", &[b'0'; 100_000]),
        header("tracestate", &[b','; 10_000]),
    ]
}

/// What is wrong with a record that nobody can handle, as a change of a good one.
type Bad = (&'static str, fn(&mut RawRecord));

const BAD: [Bad; 17] = [
    ("an identity twice", |record| {
        let id = record.headers.iter().find(|(name, _)| name == "ce_id").cloned();
        record.headers.extend(id);
    }),
    ("an identity of random bits", |record| {
        header(record, "ce_id", b"6ba7b814-9dad-41d1-80b4-00c04fd430c8");
    }),
    ("an identity that is not UTF-8", |record| header(record, "ce_id", b"\xff\xfe")),
    ("a type that is not UTF-8", |record| header(record, "ce_type", b"\xff\xfe")),
    ("version 0", |record| header(record, "ce_sequence", b"0")),
    ("a version over 63 bits", |record| header(record, "ce_sequence", b"18446744073709551615")),
    ("a version over 64 bits", |record| header(record, "ce_sequence", b"18446744073709551616")),
    ("a negative version", |record| header(record, "ce_sequence", b"-1")),
    ("a time that is none", |record| header(record, "ce_time", b"2026-02-30T00:00:00Z")),
    ("a year of five digits", |record| header(record, "ce_time", b"10000-01-01T00:00:00Z")),
    ("a correlation with NUL", |record| header(record, "ce_correlationid", b"a\0b")),
    ("a causation that is none", |record| {
        record.headers.push(("ce_causationid".to_owned(), Some(b"'; --".to_vec())));
    }),
    ("another kind of content", |record| header(record, "content-type", b"application/json")),
    ("another specification", |record| header(record, "ce_specversion", b"0.3")),
    ("no header at all", |record| record.headers.clear()),
    ("a key with NUL", |record| rename(record, "nul\0nul")),
    ("a key longer than an index takes", |record| rename(record, &long_key())),
];

fn header(record: &mut RawRecord, name: &str, value: &[u8]) {
    for (_, old) in record.headers.iter_mut().filter(|(known, _)| known == name) {
        *old = Some(value.to_vec());
    }
}

/// Another key, in the record and in what it says of itself; its datum is of the key it had.
fn rename(record: &mut RawRecord, key: &str) {
    record.key = Some(key.into());
    header(record, "ce_subject", key.as_bytes());
}

/// Too long for a row of an index, and nothing that can be made shorter.
fn long_key() -> String {
    let piece = |n: u32| uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &n.to_be_bytes());
    (0..300).map(|n| piece(n).simple().to_string()).collect()
}

/// Each is a dead letter with the bytes and headers it came with, and nothing else notices.
#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_header_and_key_is_a_dead_letter_and_stops_nobody() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut wanted = BTreeMap::new();
    let mut bad = vec![];
    for (n, (_, spoil)) in BAD.iter().enumerate() {
        let mut record = bench.raw_note(&format!("bad-{n}"), 1, 1);
        spoil(&mut record);
        bench.put(&NOTES, record.clone()).await?;
        bad.push(record);
        let good = format!("good-{n}");
        bench.put(&NOTES, bench.raw_note(&good, 1, 1)).await?;
        wanted.insert(good, 1);
    }
    bench.until_notes(&wanted).await?;
    let letters = bench.until_letters(BAD.len()).await?;
    for (record, (what, _)) in bad.iter().zip(BAD) {
        let same = letters.iter().any(|letter| {
            (&letter.key, &letter.payload) == (&record.key, &record.payload)
                && letter.headers.starts_with(&record.headers)
        });
        ensure!(same, "{what} is no dead letter as it came");
    }
    harness::ready(&sums).await?;
    sums.stop().await?;
    bench.world.close().await
}

/// How long a thousand bad records in a row may take, beside the facts between them.
const THOUSAND_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_bad_records_in_a_row_stall_nobody() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    sums.hold();
    let (admin, topic) = (bench.world.admin().await?, bench.world.topic(&NOTES));
    for n in 0..1_000 {
        let mut bad = bench.raw_note(&format!("bad-{n}"), 1, 1);
        bad.payload.as_mut().map(Vec::pop);
        admin.produce(&topic, bad).await?;
    }
    let mut wanted = BTreeMap::new();
    for n in 0..20 {
        let good = format!("good-{n}");
        admin.produce(&topic, bench.raw_note(&good, 1, 1)).await?;
        wanted.insert(good, 1);
    }
    let begun = std::time::Instant::now();
    sums.release();
    bench.until_notes(&wanted).await?;
    ensure!(begun.elapsed() < THOUSAND_MAX, "the good ones waited for {:?}", begun.elapsed());
    bench.until_letters(1_000).await?;
    harness::ready(&sums).await?;
    sums.stop().await?;
    bench.world.close().await
}
