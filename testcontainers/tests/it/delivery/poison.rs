//! A record that cannot be handled stops its partition loudly, is never skipped, and harms nothing
//! else.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use harness::eventually;
use millrace::Running;
use millrace::admin::RawRecord;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::NOTES;
use crate::tally::sums::{PANIC, POISON};

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
    ("an unknown schema id", "schema", |record| payload(record)[1..5].fill(0x7f)),
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
async fn bad_bytes_stop_their_partition_and_say_where_and_why() -> Result<()> {
    let cases = BAD.map(|(what, reason, spoil)| async move {
        let bench = Bench::new().await?;
        let mut bad = bench.raw_note("bad", 1, 1);
        spoil(&mut bad);
        stops(&bench, bad, reason).await.with_context(|| what)?;
        bench.world.close().await
    });
    let mut running = futures::stream::iter(cases).buffer_unordered(AT_ONCE);
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_refuses_or_panics_stops_its_partition() -> Result<()> {
    for (amount, reason) in [(POISON, "13 cannot"), (PANIC, "panicked")] {
        let bench = Bench::new().await?;
        let bad = bench.raw_note("bad", 1, amount);
        stops(&bench, bad, reason).await?;
        bench.world.close().await?;
    }
    Ok(())
}

/// The database names no record: the batch is halved until the guilty one stands alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_the_database_refuses_costs_only_its_own_record() -> Result<()> {
    let bench = Bench::new().await?;
    let bad = bench.raw_note("bad", 1, REFUSED_BY_DATABASE);
    stops(&bench, bad, "book_total_check").await?;
    bench.world.close().await
}

/// Puts a bad record between good ones of all partitions and checks what becomes of them.
async fn stops(bench: &Bench, bad: RawRecord, reason: &str) -> Result<()> {
    let sums = bench.world.mount(tally::tally()).await?;
    sums.hold();
    bench.put(&NOTES, on(3, bench.raw_note("before", 1, 1))).await?;
    let (partition, offset) = bench.put(&NOTES, on(3, bad)).await?;
    bench.put(&NOTES, on(3, bench.raw_note("behind", 1, 1))).await?;
    for other in [0, 1, 2, 4, 5] {
        let note = bench.raw_note(&format!("other-{other}"), 1, 1);
        bench.put(&NOTES, on(other, note)).await?;
    }
    sums.release();
    let mut wanted: BTreeMap<String, i64> =
        [0, 1, 2, 4, 5].map(|other| (format!("other-{other}"), 1)).into();
    wanted.insert("before".into(), 1);
    bench.until_notes(&wanted).await?;
    let place = format!("{}/{partition} stopped at offset {offset}", NOTES.name);
    says(&sums, &place, reason).await?;
    let metrics = bench.metrics(&sums).await?;
    let stopped = metrics.lines().any(|line| {
        line.contains("partition_stopped") && line.contains("\"3\"") && line.ends_with(" 1")
    });
    ensure!(stopped, "no metric says that the partition stopped");
    sums.stop().await?;
    let again = {
        let config = bench.world.config("tally").await?;
        millrace::mount(tally::tally(), config).await?
    };
    says(&again, &place, reason).await?;
    bench.until_notes(&wanted).await?;
    again.stop().await?;
    Ok(())
}

async fn says(service: &Running, place: &str, reason: &str) -> Result<()> {
    eventually(SOON, "readiness names the record", async || {
        let unready = service.health().ready().err().unwrap_or_default();
        let told = unready.iter().any(|(_, why)| why.contains(place) && why.contains(reason));
        if told { Ok(()) } else { Err(format!("{unready:?}, wanted {place}: {reason}")) }
    })
    .await
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
