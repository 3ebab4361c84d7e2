//! A key that waits: what comes after a record that failed waits behind it, in order, for this
//! group alone; when the record is handled, the key goes on where it stood.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::eventually;
use millrace::admin::RawRecord;
use millrace::control::{Do, Kind, OpsTopics, Pause, Selection, Status};
use millrace::repair::Repair;
use millrace::{Event, FaultPolicy, Timestamp};
use sqlx::Row;
use uuid::Uuid;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::{NOTES, TALLIES, Tallied};
use crate::tally::sums::{LATE, POISON};

impl Bench {
    fn ops(&self) -> OpsTopics {
        OpsTopics::of("test")
    }

    fn group(&self) -> String {
        self.group_of("tally")
    }

    pub(super) fn group_of(&self, service: &str) -> String {
        format!("{}test.{service}", self.world.prefix())
    }

    /// Asks the group of `tally`; the id of what was asked.
    async fn command(&self, kind: Kind) -> Result<Uuid> {
        self.ask("tally", kind).await
    }

    /// Asks the group of a service; the id of what was asked.
    pub(super) async fn ask(&self, service: &str, kind: Kind) -> Result<Uuid> {
        self.world.ask(&format!("test.{service}"), kind).await
    }

    async fn put_ops(&self, topic: &str, key: String, payload: Option<Vec<u8>>) -> Result<()> {
        let topic = format!("{}{topic}", self.world.prefix());
        let record = RawRecord { key: Some(key.into()), payload, ..RawRecord::default() };
        self.world.admin().await?.produce(&topic, record).await?;
        Ok(())
    }

    /// Waits until an operation of `tally` is in a state; done, failed and what it says.
    async fn until_operation(&self, id: Uuid, state: &str) -> Result<(i32, i32, String)> {
        self.until_operation_of("tally", id, state).await
    }

    /// The same of another service.
    pub(super) async fn until_operation_of(
        &self,
        service: &str,
        id: Uuid,
        state: &str,
    ) -> Result<(i32, i32, String)> {
        eventually(SOON, "the operation ends", async || {
            let mut db = self.world.database(service).await.map_err(|error| error.to_string())?;
            let find = "SELECT state, done, failed, detail FROM millrace.operation WHERE id = $1";
            let found = sqlx::query(find).bind(id).fetch_optional(&mut db).await;
            let row = found.map_err(|error| error.to_string())?.ok_or("not obeyed")?;
            let found: String = row.get(0);
            match found == state {
                true => Ok((row.get(1), row.get(2), row.get(3))),
                false => Err(format!("{found}: {}", row.get::<String, _>(3))),
            }
        })
        .await
    }

    async fn pardon(&self, books: &[&str]) -> Result<()> {
        let mut db = self.world.database("tally").await?;
        sqlx::query(
            "INSERT INTO book (book, total, notes, pardoned) SELECT book, 0, 0, true
             FROM unnest($1::text[]) AS new (book)
             ON CONFLICT (book) DO UPDATE SET pardoned = true",
        )
        .bind(books)
        .execute(&mut db)
        .await?;
        Ok(())
    }

    async fn until_parked(&self, records: i64) -> Result<()> {
        let count = "SELECT count(*) FROM millrace.parked
                     WHERE status IN ('waiting', 'retrying', 'dead')";
        eventually(SOON, "so many records wait", async || {
            let found = self.count("tally", count).await.map_err(|error| error.to_string())?;
            if found == records { Ok(()) } else { Err(format!("{found}, wanted {records}")) }
        })
        .await
    }

    /// The sums that `tally` announced for a book, in their order.
    async fn announced(&self, book: &str) -> Result<Vec<i64>> {
        let records = self.records(&TALLIES).await?;
        let of_book =
            records.iter().filter(|record| record.key.as_deref() == Some(book.as_bytes()));
        of_book.map(|record| total(record.payload.as_deref().unwrap_or_default())).collect()
    }

    async fn statuses(&self) -> Result<Vec<Status>> {
        let topic = format!("{}{}", self.world.prefix(), self.ops().status);
        let records = self.world.admin().await?.read_all(&topic).await?;
        let status = |record: millrace::admin::Record| {
            Ok(serde_json::from_slice(&record.payload.unwrap_or_default())?)
        };
        records.into_iter().map(status).collect()
    }
}

/// The sum that a record of sums announces.
fn total(payload: &[u8]) -> Result<i64> {
    let (_, datum) = millrace::contract::unframe(payload)?;
    Ok(Tallied::from_datum(datum)?.total)
}

fn now() -> String {
    Timestamp::from(time::OffsetDateTime::now_utc()).to_string()
}

fn notes(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
    of.iter().map(|(book, notes)| ((*book).to_owned(), *notes)).collect()
}

fn redrive(select: Selection) -> Kind {
    Kind::Redrive { select, rate: None, canary: None, repair: Repair::default() }
}

fn key(book: &str) -> Selection {
    Selection { key: Some(book.to_owned()), ..Selection::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_dead_letter_waits_and_is_redriven_in_order_for_this_group_alone()
-> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    for (version, amount) in [(1, 1), (2, POISON), (3, 100), (4, 1000)] {
        bench.put(&NOTES, bench.raw_note("bad", version, amount)).await?;
    }
    for book in ["a", "b", "c"] {
        bench.put(&NOTES, bench.raw_note(book, 1, 1)).await?;
    }
    bench.until_notes(&notes(&[("bad", 1), ("a", 1), ("b", 1), ("c", 1)])).await?;
    bench.until_parked(3).await?;
    let letters = bench.until_letters(1).await?;
    bench.pardon(&["bad"]).await?;
    let asked = bench.command(redrive(key("bad"))).await?;
    bench.until_operation(asked, "done").await?;
    bench.put(&NOTES, bench.raw_note("bad", 5, 5)).await?;
    bench.until_notes(&notes(&[("bad", 5), ("a", 1), ("b", 1), ("c", 1)])).await?;
    bench.until_parked(0).await?;
    ensure!(bench.letters().await? == letters, "a redrive makes no new dead letters");
    ensure!(bench.records(&NOTES).await?.len() == 8, "a redriven record is not sent again");
    let sent: Vec<i64> = eventually(SOON, "every sum is announced", async || {
        let sent = bench.announced("bad").await.map_err(|error| error.to_string())?;
        if sent.len() == 5 { Ok(sent) } else { Err(format!("{sent:?}")) }
    })
    .await?;
    ensure!(sent == [1, 1 + POISON, 101 + POISON, 1101 + POISON, 1106 + POISON], "{sent:?}");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_worth_another_attempt_is_tried_again_while_other_keys_go_on() -> Result<()> {
    let bench = Bench::new().await?;
    let pauses = (Duration::from_millis(20), Duration::from_millis(100));
    let patient = FaultPolicy::attempts(1000).backoff(pauses.0, pauses.1);
    let sums = bench.world.mount(tally::tally_with(patient)).await?;
    bench.put(&NOTES, bench.raw_note("late", 1, LATE)).await?;
    bench.put(&NOTES, bench.raw_note("late", 2, 1)).await?;
    bench.put(&NOTES, bench.raw_note("other", 1, 1)).await?;
    bench.until_notes(&notes(&[("other", 1)])).await?;
    bench.until_parked(2).await?;
    bench.pardon(&["late"]).await?;
    bench.until_notes(&notes(&[("other", 1), ("late", 2)])).await?;
    bench.until_parked(0).await?;
    ensure!(bench.letters().await?.is_empty(), "it never was a dead letter");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_stops_when_the_same_cause_comes_back() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    for book in 0..6 {
        bench.put(&NOTES, bench.raw_note(&format!("bad-{book}"), 1, POISON)).await?;
    }
    bench.until_letters(6).await?;
    let everything = Selection::default();
    let canary = Kind::Redrive {
        select: everything,
        rate: Some(50.0),
        canary: Some(1),
        repair: Repair::default(),
    };
    let asked = bench.command(canary).await?;
    let (done, failed, detail) = bench.until_operation(asked, "stopped").await?;
    ensure!((done, failed) == (0, 1) && detail.contains("came back"), "{done} {failed} {detail}");
    let letters = bench.until_letters(7).await?;
    let again = letters.iter().filter(|letter| {
        letter.headers.contains(&("dlq_redrive_count".to_owned(), Some(b"1".to_vec())))
    });
    ensure!(again.count() == 1, "only the canary failed again: {letters:?}");
    let dead = "SELECT count(*) FROM millrace.parked_key WHERE state = 'dead'";
    ensure!(bench.count("tally", dead).await? == 6, "every key waits for an operator again");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_letter_lets_its_followers_go_and_can_be_restored() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    bench.put(&NOTES, bench.raw_note("bad", 1, POISON)).await?;
    bench.put(&NOTES, bench.raw_note("bad", 2, 2)).await?;
    bench.until_parked(2).await?;
    let asked = bench.command(Kind::Discard { select: key("bad") }).await?;
    bench.until_operation(asked, "done").await?;
    bench.until_notes(&notes(&[("bad", 1)])).await?;
    bench.until_parked(0).await?;
    let asked = bench.command(Kind::Restore { select: key("bad") }).await?;
    bench.until_operation(asked, "done").await?;
    bench.pardon(&["bad"]).await?;
    let asked = bench.command(redrive(key("bad"))).await?;
    bench.until_operation(asked, "done").await?;
    bench.until_notes(&notes(&[("bad", 2)])).await?;
    let audit = format!("{}{}", bench.world.prefix(), bench.ops().audit);
    eventually(SOON, "every change is on record", async || {
        let admin = bench.world.admin().await.map_err(|error| error.to_string())?;
        let told = admin.read_all(&audit).await.map_err(|error| error.to_string())?.len();
        if told == 6 { Ok(()) } else { Err(format!("{told} records")) }
    })
    .await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_stops_when_no_more_may_wait_and_goes_on_when_there_is_room() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount_with(tally::tally(), |config| {
        config.consume.parked_keys_max = 1;
    });
    let sums = sums.await?;
    let on = |record: RawRecord| RawRecord { partition: Some(2), ..record };
    bench.put(&NOTES, on(bench.raw_note("first", 1, POISON))).await?;
    bench.until_parked(1).await?;
    bench.put(&NOTES, on(bench.raw_note("second", 1, POISON))).await?;
    bench.put(&NOTES, on(bench.raw_note("good", 1, 1))).await?;
    eventually(SOON, "readiness names the limit", async || {
        let unready = sums.health().ready().err().unwrap_or_default();
        let told = unready.iter().any(|(_, why)| why.contains("parked_keys_max"));
        if told { Ok(()) } else { Err(format!("{unready:?}")) }
    })
    .await?;
    bench.command(Kind::Discard { select: key("first") }).await?;
    bench.until_notes(&notes(&[("good", 1)])).await?;
    bench.until_letters(2).await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_a_known_identity_is_a_dead_letter_and_no_repetition() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let first = bench.raw_note("a", 1, 1);
    let mut second = bench.raw_note("a", 2, 5);
    let id = |record: &RawRecord| record.headers.iter().position(|(name, _)| name == "ce_id");
    let at = id(&first).expect("a note has an identity");
    second.headers[at] = first.headers[at].clone();
    bench.put(&NOTES, first.clone()).await?;
    bench.put(&NOTES, first).await?;
    bench.put(&NOTES, second).await?;
    let letter = bench.until_letters(1).await?.remove(0);
    let told = ("dlq_error_type".to_owned(), Some(b"id_collision".to_vec()));
    ensure!(letter.headers.contains(&told), "{letter:?}");
    bench.until_notes(&notes(&[("a", 1)])).await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_version_is_waited_for_and_then_followed_in_order() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    for (version, amount) in [(1, 1), (3, 100), (4, 1000)] {
        bench.put(&NOTES, bench.raw_note("gap", version, amount)).await?;
    }
    bench.put(&NOTES, bench.raw_note("other", 1, 1)).await?;
    bench.until_notes(&notes(&[("gap", 1), ("other", 1)])).await?;
    bench.until_parked(2).await?;
    bench.put(&NOTES, bench.raw_note("gap", 2, 10)).await?;
    bench.until_notes(&notes(&[("gap", 4), ("other", 1)])).await?;
    let sent: Vec<i64> = eventually(SOON, "every sum is announced", async || {
        let sent = bench.announced("gap").await.map_err(|error| error.to_string())?;
        if sent.len() == 4 { Ok(sent) } else { Err(format!("{sent:?}")) }
    })
    .await?;
    ensure!(sent == [1, 11, 111, 1111], "{sent:?}");
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_never_comes_is_an_alarm_and_can_be_passed_over() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount_with(tally::tally(), |config| {
        config.consume.gap_wait = Duration::from_millis(300);
    });
    let sums = sums.await?;
    for (version, amount) in [(1, 1), (3, 100), (4, 1000)] {
        bench.put(&NOTES, bench.raw_note("gap", version, amount)).await?;
    }
    let letter = bench.until_letters(1).await?.remove(0);
    let told = ("dlq_reason".to_owned(), Some(b"version_gap".to_vec()));
    ensure!(letter.headers.contains(&told), "{letter:?}");
    let asked = bench.command(redrive(key("gap"))).await?;
    bench.until_operation(asked, "done").await?;
    bench.until_notes(&notes(&[("gap", 3)])).await?;
    bench.put(&NOTES, bench.raw_note("gap", 5, 1)).await?;
    bench.until_notes(&notes(&[("gap", 4)])).await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_holds_a_group_or_a_partition_and_skips_a_record() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let on = |partition, record: RawRecord| RawRecord { partition: Some(partition), ..record };
    let hold = |partition: Option<i32>| Pause {
        group: bench.group(),
        topic: partition.map(|_| NOTES.name.to_owned()),
        partition,
        paused: true,
        by: "a test".to_owned(),
        reason: "to see it held".to_owned(),
        at: now(),
    };
    let told = async |wanted: &[String]| {
        eventually(SOON, "the service says what is held", async || {
            let all = bench.statuses().await.map_err(|error| error.to_string())?;
            let held = all.last().map(|status| status.paused.clone()).unwrap_or_default();
            if held == wanted { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await
    };
    for part in [Some(1), None] {
        let pause = hold(part);
        let state = serde_json::to_vec(&pause)?;
        bench.put_ops(&bench.ops().desired, pause.key(), Some(state)).await?;
    }
    told(&["group".to_owned(), format!("{}/1", NOTES.name)]).await?;
    let (partition, offset) = bench.put(&NOTES, on(0, bench.raw_note("skipped", 1, 1))).await?;
    for (partition, book) in [(0, "free"), (1, "held")] {
        bench.put(&NOTES, on(partition, bench.raw_note(book, 1, 1))).await?;
    }
    let topic = NOTES.name.to_owned();
    let asked = bench.command(Kind::Skip { topic, partition, offset }).await?;
    bench.until_operation(asked, "done").await?;
    ensure!(bench.handled().await? == 0, "the whole group is held");
    bench.put_ops(&bench.ops().desired, hold(None).key(), None).await?;
    bench.until_notes(&notes(&[("free", 1)])).await?;
    let letter = bench.until_letters(1).await?.remove(0);
    let reason = ("dlq_reason".to_owned(), Some(b"skipped".to_vec()));
    ensure!(letter.headers.contains(&reason), "{letter:?}");
    told(&[format!("{}/1", NOTES.name)]).await?;
    bench.put_ops(&bench.ops().desired, hold(Some(1)).key(), None).await?;
    bench.until_notes(&notes(&[("free", 1), ("held", 1)])).await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_redrive_is_paused_resumed_and_cancelled() -> Result<()> {
    let bench = Bench::new().await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let books: Vec<String> = (0..8).map(|book| format!("bad-{book}")).collect();
    for book in &books {
        bench.put(&NOTES, bench.raw_note(book, 1, POISON)).await?;
    }
    bench.until_letters(8).await?;
    bench.pardon(&books.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let slow = Kind::Redrive {
        select: Selection::default(),
        rate: Some(0.001),
        canary: None,
        repair: Repair::default(),
    };
    let operation = bench.command(slow).await?;
    bench.until_operation(operation, "running").await?;
    for (action, state) in
        [(Do::Pause, "paused"), (Do::Resume, "running"), (Do::Cancel, "cancelled")]
    {
        bench.command(Kind::Control { operation, action }).await?;
        bench.until_operation(operation, state).await?;
    }
    let asked = bench.command(redrive(Selection::default())).await?;
    let (done, failed, _) = bench.until_operation(asked, "done").await?;
    ensure!((done, failed) == (8, 0), "{done} {failed}");
    bench.until_parked(0).await?;
    sums.stop().await?;
    bench.world.close().await
}
