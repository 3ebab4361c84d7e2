//! The batch is the unit of I/O: what is drained together costs one transaction, whatever its size.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use harness::eventually;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::NOTES;

/// Every statement of a batch between BEGIN and COMMIT, in their order.
const STATEMENTS: [&str; 5] = [
    "WITH new AS",
    "WITH waiting AS MATERIALIZED",
    "SELECT book, total, notes, pardoned FROM book WHERE",
    "INSERT INTO book ",
    "WITH begun AS",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_batch_is_one_transaction() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    sums.hold();
    drained(&bench, "many", 300).await?;
    sums.release();
    bench.until_notes(&BTreeMap::from([("many".into(), 300)])).await?;
    let transactions = "SELECT count(DISTINCT xmin::text) FROM millrace.inbox";
    let transactions = bench.count("tally", transactions).await?;
    eventually(SOON, "one batch for each transaction", async || {
        let metrics = bench.metrics(&sums).await.map_err(|error| error.to_string())?;
        let batches = metrics.lines().find_map(|line| {
            line.strip_prefix("consumer_batch_records_count{service=\"tally\"} ")?.parse().ok()
        });
        if batches == Some(transactions) {
            Ok(())
        } else {
            Err(format!("{batches:?} batches, {transactions} transactions"))
        }
    })
    .await?;
    ensure!(transactions < 30, "300 held records took {transactions} transactions");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_three_hundred_takes_as_many_statements_as_a_batch_of_one() -> Result<()> {
    let bench = Bench::new().await?;
    let database = bench.world.database_name("tally");
    bench.world.database_url("tally").await?;
    bench.world.ground().log_statements(&database).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut counts = vec![];
    for (book, size) in [("one", 1), ("many", 300)] {
        sums.hold();
        drained(&bench, book, size).await?;
        sums.release();
        let mut wanted: BTreeMap<String, i64> = BTreeMap::from([("one".into(), 1)]);
        wanted.insert(book.into(), size);
        bench.until_notes(&wanted).await?;
        let batches = "SELECT count(DISTINCT xmin::text) FROM millrace.inbox";
        let statements = bench.world.ground().logged_statements(&database).await?;
        let of_a_batch = STATEMENTS.map(|text| {
            statements.iter().filter(|statement| statement.starts_with(text)).count() as i64
        });
        counts.push((bench.count("tally", batches).await?, of_a_batch));
    }
    for (batches, of_a_batch) in counts {
        for (text, count) in STATEMENTS.iter().zip(of_a_batch) {
            ensure!(count == batches, "{text}: {count} times in {batches} batches");
        }
    }
    let marked = "UPDATE millrace.relay SET";
    let statements = bench.world.ground().logged_statements(&database).await?;
    let marked = statements.iter().filter(|statement| statement.starts_with(marked)).count();
    ensure!(marked <= 10, "that 301 facts are sent was written down {marked} times");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_never_larger_than_its_bound() -> Result<()> {
    let bench = Bench::new().await?;
    let small = |config: &mut millrace::Config| config.consume.batch_records_max = 7;
    let sums = bench.world.mount_with(tally::tally(), small).await?;
    sums.hold();
    drained(&bench, "many", 50).await?;
    sums.release();
    bench.until_notes(&BTreeMap::from([("many".into(), 50)])).await?;
    let largest = "SELECT max(size) FROM
         (SELECT count(*) AS size FROM millrace.inbox GROUP BY xmin::text) AS batches";
    let largest = bench.count("tally", largest).await?;
    ensure!(largest <= 7, "a batch of {largest} records");
    sums.stop().await?;
    bench.world.close().await
}

/// What is past the horizon goes by whole days, but never a day with a fact that is not published.
#[tokio::test(flavor = "multi_thread")]
async fn days_past_the_horizon_are_dropped_unless_something_is_unsent() -> Result<()> {
    let bench = Bench::new().await?;
    bench.world.mount(tally::tally()).await?.stop().await?;
    let old_days = "
        CREATE TABLE millrace.inbox_20200101 PARTITION OF millrace.inbox
            FOR VALUES FROM ('016f5e66-e800-0000-0000-000000000000')
            TO ('016f638d-4400-0000-0000-000000000000');
        CREATE TABLE millrace.outbox_20200101 PARTITION OF millrace.outbox
            FOR VALUES FROM ('016f5e66-e800-0000-0000-000000000000')
            TO ('016f638d-4400-0000-0000-000000000000');
        CREATE TABLE millrace.outbox_20200102 PARTITION OF millrace.outbox
            FOR VALUES FROM ('016f638d-4400-0000-0000-000000000000')
            TO ('016f68b3-a000-0000-0000-000000000000');
        INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
            correlation_id, occurred_at)
        VALUES ('016f638d-4400-7000-8000-000000000000', 7, 't', 'n', 'k', 1, '', 'c', now());";
    let mut db = bench.world.database("tally").await?;
    sqlx::raw_sql(old_days).execute(&mut db).await?;
    // Somebody else has the shard, and does not send.
    sqlx::raw_sql("SELECT pg_advisory_lock(x'6d696c6c'::int, 7)").execute(&mut db).await?;
    bench.world.mount(tally::tally()).await?.stop().await?;
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relname ~ '_2020[0-9]{4}$' AND relkind = 'r'",
    )
    .fetch_all(&mut db)
    .await?;
    ensure!(left == ["outbox_20200102"], "{left:?}");
    bench.world.close().await
}

/// Puts notes on the topic, one key, and returns when they are all there.
async fn drained(bench: &Bench, book: &str, size: i64) -> Result<()> {
    let admin = bench.world.admin().await?;
    let topic = bench.world.topic(&NOTES);
    for version in 1..=size {
        let note = bench.raw_note(book, version as u64, 1);
        admin.produce(&topic, note).await?;
    }
    Ok(())
}
