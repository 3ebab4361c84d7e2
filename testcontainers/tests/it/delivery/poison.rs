//! A record that cannot be handled becomes a dead letter with its own bytes, once, and harms
//! nothing else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use millrace::admin::RawRecord;

use super::Bench;
use crate::tally;
use crate::tally::facts::NOTES;
use crate::tally::sums::{LATE, PANIC, POISON};

/// An amount whose sum the table of `tally` refuses.
const REFUSED_BY_DATABASE: i64 = -1_000_000;
/// Worlds that run side by side.
const AT_ONCE: usize = 4;

/// What is wrong with a record, and a word of the reason that is given.
type Bad = (&'static str, &'static str, fn(&mut RawRecord));

const BAD: [Bad; 12] = [
    ("no key", "no key", |record| record.key = None),
    ("an empty key", "no key", |record| record.key = Some(vec![])),
    ("no payload", "no payload", |record| record.payload = None),
    ("a short payload", "too short", |record| record.payload = Some(vec![0, 0])),
    ("a wrong magic byte", "magic", |record| payload(record)[0] = 7),
    ("an unknown schema id", "no schema", |record| payload(record)[1..5].fill(0x7f)),
    ("a truncated datum", "ends inside", |record| {
        payload(record).pop();
    }),
    ("trailing bytes", "left over", |record| payload(record).push(0)),
    ("no identity", "ce_id", |record| record.headers.retain(|(name, _)| name != "ce_id")),
    ("a sequence of letters", "ce_sequence", |record| header(record, "ce_sequence", "first")),
    ("another subject", "ce_subject", |record| header(record, "ce_subject", "elsewhere")),
    ("a key that is not its own", "not the key", |record| {
        record.key = Some(b"other".to_vec());
        header(record, "ce_subject", "other");
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_bytes_become_a_dead_letter_and_cost_nothing_else() -> Result<()> {
    let cases = BAD.map(|(what, reason, spoil)| async move {
        let bench = Bench::new().await?;
        let mut bad = bench.raw_note("bad", 1, 1);
        spoil(&mut bad);
        parks(&bench, bad, reason).await.with_context(|| what)?;
        bench.world.close().await
    });
    let mut running = futures::stream::iter(cases).buffer_unordered(AT_ONCE);
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_refuses_or_panics_becomes_a_dead_letter() -> Result<()> {
    for (amount, reason) in [(POISON, "13 cannot"), (PANIC, "panicked"), (LATE, "too early")] {
        let bench = Bench::new().await?;
        let bad = bench.raw_note("bad", 1, amount);
        parks(&bench, bad, reason).await?;
        bench.world.close().await?;
    }
    Ok(())
}

/// The database names no record: the batch is halved until the guilty one stands alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_the_database_refuses_costs_only_its_own_record() -> Result<()> {
    let bench = Bench::new().await?;
    let bad = bench.raw_note("bad", 1, REFUSED_BY_DATABASE);
    parks(&bench, bad, "book_total_check").await?;
    bench.world.close().await
}

/// Puts a bad record between good ones of all partitions and checks what becomes of them.
async fn parks(bench: &Bench, bad: RawRecord, reason: &str) -> Result<()> {
    let sums = bench.world.mount(tally::tally()).await?;
    sums.hold();
    bench.put(&NOTES, on(3, bench.raw_note("before", 1, 1))).await?;
    let (partition, offset) = bench.put(&NOTES, on(3, bad.clone())).await?;
    bench.put(&NOTES, on(3, bench.raw_note("behind", 1, 1))).await?;
    for other in [0, 1, 2, 4, 5] {
        let note = bench.raw_note(&format!("other-{other}"), 1, 1);
        bench.put(&NOTES, on(other, note)).await?;
    }
    sums.release();
    let mut wanted: BTreeMap<String, i64> =
        [0, 1, 2, 4, 5].map(|other| (format!("other-{other}"), 1)).into();
    wanted.extend([("before".into(), 1), ("behind".into(), 1)]);
    bench.until_notes(&wanted).await?;
    let letter = bench.until_letters(1).await?.remove(0);
    ensure!(letter.key == bad.key && letter.payload == bad.payload, "other bytes: {letter:?}");
    ensure!(letter.headers.starts_with(&bad.headers), "other headers: {letter:?}");
    let note = |name: &str| {
        let found = letter.headers.iter().find(|(known, _)| known == name);
        let value = found.and_then(|(_, value)| value.clone()).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    };
    let place =
        (note("dlq_original_topic"), note("dlq_original_partition"), note("dlq_original_offset"));
    let wanted_place = (bench.world.topic(&NOTES), partition.to_string(), offset.to_string());
    ensure!(place == wanted_place, "{place:?}, wanted {wanted_place:?}");
    ensure!(note("dlq_error_message").contains(reason), "{letter:?}, wanted {reason}");
    ensure!(note("dlq_fingerprint").len() == 8, "{letter:?}");
    ensure!(sums.health().ready().is_ok(), "a dead letter is no reason to be unready");
    sums.stop().await?;
    let group = format!("{}test.tally", bench.world.prefix());
    bench.world.ground().rewind_group(&group, &[&bench.world.topic(&NOTES)]).await?;
    let again = bench.world.mount(tally::tally()).await?;
    bench.put(&NOTES, on(3, bench.raw_note("after", 1, 1))).await?;
    wanted.insert("after".into(), 1);
    bench.until_notes(&wanted).await?;
    again.stop().await?;
    let letters = bench.letters().await?;
    ensure!(letters.len() == 1, "read again, it is another dead letter: {letters:?}");
    Ok(())
}

fn on(partition: i32, record: RawRecord) -> RawRecord {
    RawRecord { partition: Some(partition), ..record }
}

fn payload(record: &mut RawRecord) -> &mut Vec<u8> {
    record.payload.as_mut().expect("a note has a payload")
}

fn header(record: &mut RawRecord, name: &str, value: &str) {
    for (known, old) in &mut record.headers {
        if known == name {
            *old = Some(value.as_bytes().to_vec());
        }
    }
}
