//! At-least-once delivery, exactly-once effect.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::eventually;
use millrace::Event;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::{NOTES, Noted, TALLIES};

#[tokio::test(flavor = "multi_thread")]
async fn every_fact_acts_once() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut wanted = BTreeMap::new();
    for n in 0..40 {
        let book = format!("book-{}", n % 7);
        bench.note(&writer, &book, 1).await?;
        *wanted.entry(book).or_insert(0) += 1;
    }
    bench.until_notes(&wanted).await?;
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_delivered_again_at_another_offset_changes_nothing() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let note = bench.raw_note("once", 1, 5);
    for _ in 0..3 {
        bench.put(&NOTES, note.clone()).await?;
    }
    bench.put(&NOTES, bench.raw_note("once", 2, 7)).await?;
    bench.until_notes(&BTreeMap::from([("once".into(), 2)])).await?;
    ensure!(bench.sums().await?["once"] == (12, 2), "the repetitions added something");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_at_or_below_the_last_one_is_never_applied() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    for (version, amount) in [(1, 1), (2, 10), (2, 100), (1, 1000), (3, 10_000)] {
        bench.put(&NOTES, bench.raw_note("zombie", version, amount)).await?;
    }
    bench.until_notes(&BTreeMap::from([("zombie".into(), 3)])).await?;
    ensure!(bench.sums().await?["zombie"] == (10_011, 3), "{:?}", bench.sums().await?);
    sums.stop().await?;
    bench.world.close().await
}

/// A zombie and its successor: both read everything and write to one database. With the inbox
/// insert last, 3,000 records were applied 5,495 times; inserted first they act once.
#[tokio::test(flavor = "multi_thread")]
async fn two_owners_at_once_apply_each_fact_once() -> Result<()> {
    let bench = Bench::new().await?;
    let own_group = |group: &'static str| {
        move |config: &mut millrace::Config| {
            config.kafka.properties.insert("group.id".into(), group.into());
        }
    };
    let owner = bench.world.mount_with(tally::tally(), own_group("owner")).await?;
    let zombie = bench.world.mount_with(tally::tally(), own_group("zombie")).await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let books: Vec<String> = (0..100).map(|n| format!("book-{}", n % 10)).collect();
    for chunk in books.chunks(20) {
        let notes = chunk.iter().map(|book| bench.note(&writer, book, 1));
        futures::future::try_join_all(notes).await?;
    }
    let wanted = (0..10).map(|n| (format!("book-{n}"), 10)).collect();
    bench.until_notes(&wanted).await?;
    for service in [writer, owner, zombie] {
        service.stop().await?;
    }
    let facts = bench.records(&TALLIES).await?.len();
    ensure!(facts == 100, "{facts} sums were announced for 100 notes");
    bench.world.close().await
}

/// With the client's own storing of offsets at poll time, ten graceful restarts lost 1,804 of
/// 1,818 records.
#[tokio::test(flavor = "multi_thread")]
async fn graceful_restarts_skip_nothing_and_repeat_nothing() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    for n in 0..60 {
        bench.note(&writer, &format!("book-{}", n % 6), 1).await?;
    }
    for round in 0..4 {
        let sums = bench
            .world
            .mount_with(tally::tally(), |config| config.consume.batch_records_max = 5)
            .await?;
        let wanted = round * 10;
        eventually(SOON, "some notes are handled", async || {
            let handled: i64 = bench.handled().await.map_err(|error| error.to_string())?;
            if handled > wanted { Ok(()) } else { Err(format!("{handled} of {wanted}")) }
        })
        .await?;
        sums.stop().await?;
    }
    let sums = bench.world.mount(tally::tally()).await?;
    bench.until_notes(&(0..6).map(|n| (format!("book-{n}"), 10)).collect()).await?;
    let metrics = bench.metrics(&sums).await?;
    let repeated = metrics.lines().any(|line| line.starts_with("inbox_duplicates_total{"));
    ensure!(!repeated, "a graceful restart had records delivered again");
    sums.stop().await?;
    writer.stop().await?;
    bench.world.close().await
}

/// Else a group that is put back again and again would take its records for deadly, and handle them one by one.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_ends_in_order_suspects_nothing_of_what_it_finished() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    bench.put(&NOTES, bench.raw_note("finished", 1, 1)).await?;
    bench.until_notes(&BTreeMap::from([("finished".into(), 1)])).await?;
    sums.stop().await?;
    let suspect = bench.count("tally", "SELECT count(*) FROM millrace.in_hand").await?;
    ensure!(suspect == 0, "{suspect} beginnings are still written down");
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_written_with_another_version_of_its_schema_is_resolved() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let newer = r#"{"type":"record","name":"Noted","namespace":"test.note","fields":[
        {"name":"mood","type":"string","default":"calm"},
        {"name":"book","type":"string"},{"name":"amount","type":"long"}]}"#;
    let id = bench.world.registry().register(&Noted::subject(), newer).await?;
    let mut note = bench.raw_note("resolved", 1, 0);
    let mut datum = vec![];
    let mut out = millrace::contract::Writer::new(&mut datum);
    out.string("cheerful");
    out.string("resolved");
    out.long(42);
    note.payload = Some(millrace::contract::frame(id, &datum));
    bench.put(&NOTES, note).await?;
    bench.until_notes(&BTreeMap::from([("resolved".into(), 1)])).await?;
    ensure!(bench.sums().await?["resolved"] == (42, 1));
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_of_an_unknown_type_is_passed_over() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut future = bench.raw_note("later", 1, 1);
    for (name, value) in &mut future.headers {
        if name == "ce_type" {
            *value = Some(b"test.note.Crossed".to_vec());
        }
    }
    bench.put(&NOTES, future).await?;
    bench.put(&NOTES, bench.raw_note("later", 2, 3)).await?;
    bench.until_notes(&BTreeMap::from([("later".into(), 1)])).await?;
    eventually(Duration::from_secs(5), "still ready", async || {
        sums.health().ready().map_err(|reasons| format!("{reasons:?}"))
    })
    .await?;
    sums.stop().await?;
    bench.world.close().await
}

/// Members come and go while facts flow; the broker gives their partitions to one another.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_join_and_leave_lose_nothing_and_repeat_no_effect() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let first = bench.world.mount(tally::tally()).await?;
    write(&bench, &writer, 30).await?;
    let second = bench.world.mount(tally::tally()).await?;
    write(&bench, &writer, 30).await?;
    first.stop().await?;
    write(&bench, &writer, 30).await?;
    let wanted = (0..6).map(|n| (format!("book-{n}"), 15)).collect();
    bench.until_notes(&wanted).await?;
    second.stop().await?;
    writer.stop().await?;
    let facts = bench.records(&TALLIES).await?.len();
    ensure!(facts == 90, "{facts} sums were announced for 90 notes");
    bench.world.close().await
}

async fn write(bench: &Bench, writer: &millrace::Running, count: usize) -> Result<()> {
    for n in 0..count {
        bench.note(writer, &format!("book-{}", n % 6), 1).await?;
    }
    Ok(())
}
