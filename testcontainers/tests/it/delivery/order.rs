//! Per-order order: the facts of a key reach the topic in the order of their commits, numbered
//! without a gap, whoever relays them.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};
use harness::{Ground, GroundKind, Part, eventually};
use millrace::Running;
use millrace::admin::Record;
use sqlx::Connection;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::{NOTES, TALLIES};

const BOOKS: usize = 5;

/// A cursor over the sequence lost 53 % of such events; a cursor over transaction ids and SKIP
/// LOCKED between relays inverted the order of keys.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_lose_nothing_and_keep_the_order_of_every_key() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    write_at_once(&bench, &[&writer], 240).await?;
    bench.until_sent("writer", 240).await?;
    gapless(&bench.records(&NOTES).await?, 240)?;
    writer.stop().await?;
    bench.world.close().await
}

/// The table is read when a session begins, once for each poll, and before a key that it has not met.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_sent_without_being_read_and_is_not_marked() -> Result<()> {
    let bench = Bench::new().await?;
    let database = bench.world.database_name("writer");
    bench.world.database_url("writer").await?;
    bench.world.ground().log_statements(&database).await?;
    let slow = |config: &mut millrace::Config| {
        config.outbox.poll = std::time::Duration::from_secs(300);
    };
    let writer = bench.world.mount_with(tally::writer(), slow).await?;
    write_at_once(&bench, &[&writer], 240).await?;
    bench.until_sent("writer", 240).await?;
    gapless(&bench.records(&NOTES).await?, 240)?;
    let statements = bench.world.ground().logged_statements(&database).await?;
    let count = |text: &str| statements.iter().filter(|it| it.starts_with(text)).count();
    let read = count("SELECT event_id, topic, name, key, version");
    ensure!(read <= 2 + BOOKS, "240 facts were read by {read} statements");
    ensure!(count("UPDATE millrace.outbox") == 0, "rows are marked");
    writer.stop().await?;
    bench.world.close().await
}

/// Each session ends before it has written down what it sent, and nothing else is sent by the next.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_sent_is_written_down_by_the_next_one() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let mut db = bench.world.database("writer").await?;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for count in 1..=4 {
        let key = format!("k-{count}");
        eventually(SOON, "the command is taken", async || {
            match bench.post(&writer, &key, "book", 1).await {
                Ok((202, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        eventually(SOON, "the note is on the topic", async || {
            match bench.records(&NOTES).await.map_err(|error| error.to_string())?.len() {
                found if found >= count => Ok(()),
                found => Err(format!("{found} of {count}")),
            }
        })
        .await?;
        sqlx::raw_sql(cut).execute(&mut db).await?;
        bench.until_sent("writer", count as i64).await?;
    }
    gapless(&bench.records(&NOTES).await?, 4)?;
    writer.stop().await?;
    bench.world.close().await
}

/// As a join, the question how much waits walked through everything that was ever sent, once for each poll.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_of_the_relay_reads_nothing_that_is_sent() -> Result<()> {
    const SENT: i64 = 20_000;
    let bench = Bench::new().await?;
    bench.world.mount(tally::writer()).await?.stop().await?;
    let mut db = bench.world.database("writer").await?;
    let sent = sqlx::query(
        "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, correlation_id,
             occurred_at)
         SELECT gen_random_uuid(), n % 16, $2, 'test.note.Noted', 'k-' || n, 1, '', now()
         FROM generate_series(1, $1) AS n",
    );
    sent.bind(SENT).bind(NOTES.name).execute(&mut db).await?;
    let below = "UPDATE millrace.relay SET below = (SELECT max(id) + 1 FROM millrace.outbox)";
    sqlx::query(below).execute(&mut db).await?;
    let often = |config: &mut millrace::Config| {
        config.outbox.poll = std::time::Duration::from_millis(50);
    };
    let writer = bench.world.mount_with(tally::writer(), often).await?;
    let read = eventually(SOON, "the server has counted many looks", async || {
        let counted = sqlx::query_as::<_, (i64, i64)>(
            "SELECT sum(idx_scan)::bigint, sum(COALESCE(idx_tup_fetch, 0) + seq_tup_read)::bigint
             FROM pg_stat_user_tables WHERE relname LIKE 'outbox%'",
        );
        match counted.fetch_one(&mut db).await {
            Ok((looks, read)) if looks >= 200 => Ok(read),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    ensure!(read < SENT, "{read} rows were read, where none waits");
    ensure!(bench.records(&NOTES).await?.is_empty(), "something was sent again");
    writer.stop().await?;
    bench.world.close().await
}

/// Rows of keys that are known to be new are inserted without asking for each whether it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_meets_another_transaction_at_a_new_key_is_done_again() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut db = bench.world.database("tally").await?;
    let mut faster = db.begin().await?;
    let begins = sqlx::query("INSERT INTO millrace.stream_version VALUES ($1, 'met', 1)");
    begins.bind(TALLIES.name).execute(&mut *faster).await?;
    bench.put(&NOTES, bench.raw_note("met", 1, 5)).await?;
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually(SOON, "the batch waits for the other one", async || {
        match bench.count("tally", waits).await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    faster.commit().await?;
    bench.until_notes(&BTreeMap::from([("met".into(), 1)])).await?;
    bench.until_sent("tally", 1).await?;
    let records = bench.records(&TALLIES).await?;
    let versions: Vec<_> =
        records.iter().filter_map(|record| record.header("ce_sequence")).collect();
    ensure!(versions == [format!("{:020}", 2)], "{versions:?}");
    ensure!(bench.letters().await?.is_empty(), "nothing was wrong with the record");
    sums.stop().await?;
    bench.world.close().await
}

/// What a key begins with is known before its rows are written; what comes later is asked of the database.
#[tokio::test(flavor = "multi_thread")]
async fn new_and_known_keys_of_one_batch_go_on_where_they_are() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut notes: BTreeMap<String, i64> = BTreeMap::new();
    for batch in [[("b", 2), ("d", 1)], [("a", 3), ("b", 2)], [("c", 1), ("d", 2)]] {
        sums.hold();
        for (book, count) in batch {
            let said = notes.entry(book.to_owned()).or_default();
            for _ in 0..count {
                *said += 1;
                bench.put(&NOTES, bench.raw_note(book, said.unsigned_abs(), 1)).await?;
            }
        }
        sums.release();
        bench.until_notes(&notes).await?;
    }
    bench.until_sent("tally", notes.values().sum()).await?;
    let records = bench.records(&TALLIES).await?;
    for (book, count) in notes {
        let of_book = records.iter().filter(|it| it.key.as_deref() == Some(book.as_bytes()));
        let versions: Vec<_> = of_book.filter_map(|it| it.header("ce_sequence")).collect();
        let wanted: Vec<_> = (1..=count).map(|version| format!("{version:020}")).collect();
        ensure!(versions == wanted, "{book}: {versions:?}");
    }
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_of_one_outbox_never_publish_the_same_shard() -> Result<()> {
    let bench = Bench::new().await?;
    let first = bench.world.mount(tally::writer()).await?;
    let second = bench.world.mount(tally::writer()).await?;
    write_at_once(&bench, &[&first, &second], 120).await?;
    bench.until_sent("writer", 120).await?;
    let records = bench.records(&NOTES).await?;
    ensure!(records.len() == 120, "{} records for 120 facts: both published", records.len());
    gapless(&records, 120)?;
    first.stop().await?;
    write_at_once(&bench, &[&second], 60).await.context("the second takes over")?;
    bench.until_sent("writer", 180).await?;
    gapless(&bench.records(&NOTES).await?, 180)?;
    second.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_delays_facts_and_loses_none() -> Result<()> {
    let ground = Ground::start(GroundKind::Embedded).await?;
    let bench = Bench::on(&ground).await?;
    let writer = bench.world.mount_with(tally::writer(), |config| {
        config.outbox.delivery_timeout = std::time::Duration::from_secs(2);
    });
    let writer = writer.await?;
    write_at_once(&bench, &[&writer], 20).await?;
    ground.crash(Part::Broker).await?;
    write_at_once(&bench, &[&writer], 40).await.context("the door stays open")?;
    eventually(SOON, "not ready while the broker is away", async || {
        writer.health().ready().err().map(drop).ok_or_else(|| "ready".to_owned())
    })
    .await?;
    ground.restart(Part::Broker).await?;
    bench.until_sent("writer", 60).await?;
    gapless(&bench.records(&NOTES).await?, 60)?;
    eventually(SOON, "ready again", async || {
        writer.health().ready().map_err(|reasons| format!("{reasons:?}"))
    })
    .await?;
    writer.stop().await?;
    ground.stop().await;
    Ok(())
}

/// The relay begins where nothing unsent can be any more: what a transaction in progress has drawn an
/// id for is not left behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_fact_committed_long_after_its_id_was_drawn_is_sent_all_the_same() -> Result<()> {
    // Numbers of transactions are those of a whole server: nobody else may draw one.
    let ground = Ground::start(GroundKind::Embedded).await?;
    let bench = Bench::on(&ground).await?;
    let often = |config: &mut millrace::Config| {
        config.outbox.poll = std::time::Duration::from_millis(20);
    };
    let writer = bench.world.mount_with(tally::writer(), often).await?;
    let mut db = bench.world.database("writer").await?;
    let mut late = db.begin().await?;
    sqlx::query(
        "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, occurred_at)
         VALUES ($1, 0, $2, 'late', 'late', 1, '', '', now())",
    )
    .bind(uuid::Uuid::now_v7())
    .bind(NOTES.name)
    .execute(&mut *late)
    .await?;
    // While nobody else commits, the transaction in progress is the youngest the database knows.
    let mut db = bench.world.database("writer").await?;
    let mut looks = HashSet::new();
    eventually(SOON, "the relay looked several times", async || {
        let begun: Option<String> = sqlx::query_scalar(
            "SELECT max(query_start)::text FROM pg_stat_activity
             WHERE query LIKE '%millrace.outbox%' AND pid <> pg_backend_pid()
                 AND datname = current_database()",
        )
        .fetch_one(&mut db)
        .await
        .map_err(|error| error.to_string())?;
        looks.extend(begun);
        if looks.len() > 8 { Ok(()) } else { Err(format!("{} times", looks.len())) }
    })
    .await?;
    for count in 1..=30 {
        bench.note(&writer, "early", 1).await?;
        bench.until_sent("writer", count).await?;
    }
    late.commit().await?;
    bench.until_sent("writer", 31).await?;
    writer.stop().await?;
    bench.world.close().await?;
    ground.stop().await;
    Ok(())
}

/// Between a transaction's id of a fact and its number nobody could see that the id is held. The first
/// draw gives it a number by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_its_number_before_it_draws_an_id() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    writer.stop().await?;
    let mut db = bench.world.database("writer").await?;
    sqlx::raw_sql(
        "CREATE FUNCTION millrace.numbered() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF pg_current_xact_id_if_assigned() IS NULL THEN
                 RAISE EXCEPTION 'no number at id %', NEW.id;
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER numbered BEFORE INSERT ON millrace.outbox
             FOR EACH ROW EXECUTE FUNCTION millrace.numbered()",
    )
    .execute(&mut db)
    .await?;
    for _ in 0..3 {
        sqlx::query(
            "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
                 correlation_id, occurred_at)
             VALUES (gen_random_uuid(), 0, 'none', 'none', 'none', 1, '', '', now())",
        )
        .execute(&mut db)
        .await?;
    }
    bench.world.close().await
}

/// The slow poll would find the fact much later than the test waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_one_process_wakes_the_relay_of_another() -> Result<()> {
    let bench = Bench::new().await?;
    let slow = |config: &mut millrace::Config| {
        config.outbox.poll = std::time::Duration::from_secs(300);
    };
    let owner = bench.world.mount_with(tally::writer(), slow).await?;
    let other = bench.world.mount_with(tally::writer(), slow).await?;
    write_at_once(&bench, &[&other], 8).await?;
    bench.until_sent("writer", 8).await?;
    owner.stop().await?;
    other.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_the_broker_refuses_blocks_its_key_and_no_other() -> Result<()> {
    let bench = Bench::new().await?;
    let small = |config: &mut millrace::Config| {
        config.kafka.properties.insert("message.max.bytes".into(), "2000".into());
    };
    let writer = bench.world.mount_with(tally::writer(), small).await?;
    bench.note(&writer, &"long".repeat(1000), 1).await?;
    write_at_once(&bench, &[&writer], 20).await?;
    bench.until_sent("writer", 20).await?;
    gapless(&bench.records(&NOTES).await?, 20)?;
    eventually(SOON, "a metric tells of the blocked key", async || {
        let metrics = bench.metrics(&writer).await.map_err(|error| error.to_string())?;
        let alarm = metrics.lines().any(|line| line.contains("blocked") && line.ends_with(" 1"));
        if alarm { Ok(()) } else { Err("no such line".to_owned()) }
    })
    .await?;
    writer.stop().await?;
    bench.world.close().await
}

/// Sixteen writers, few keys.
async fn write_at_once(bench: &Bench, doors: &[&Running], count: usize) -> Result<()> {
    let work: Vec<usize> = (0..count).collect();
    for chunk in work.chunks(16) {
        let notes = chunk.iter().map(|n| {
            let door = doors[n % doors.len()];
            async move { bench.note(door, &format!("book-{}", n % BOOKS), 1).await }
        });
        futures::future::try_join_all(notes).await?;
    }
    Ok(())
}

/// After exact repetitions are removed, the versions of each key are 1, 2, 3.. in offset order.
pub(crate) fn gapless(records: &[Record], count: usize) -> Result<()> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| (record.partition, record.offset));
    let mut seen = HashSet::new();
    let mut versions: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for record in sorted {
        let id = record.header("ce_id").context("ce_id")?;
        if !seen.insert(id.to_owned()) {
            continue;
        }
        let version: u64 = record.header("ce_sequence").context("ce_sequence")?.parse()?;
        let last = versions.entry(record.key.clone().unwrap_or_default()).or_default();
        ensure!(version == *last + 1, "version {version} follows {last}");
        *last = version;
    }
    ensure!(seen.len() == count, "{} facts on the topic, {count} in the outbox", seen.len());
    Ok(())
}
