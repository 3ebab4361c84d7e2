//! A group is put elsewhere while its members stay: a view is folded again exactly, decisions act no
//! second time, and what died has one dead letter however often it is read.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use harness::eventually;
use millrace::Running;
use millrace::admin::{RawRecord, To};
use millrace::contract::Topic;
use millrace::control::{Kind, Place};

use super::view::{Shown, reset, until_shown};
use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::{NOTES, TALLIES};

impl Bench {
    /// Puts a service at an offset of every partition, as far as the partition goes.
    async fn seek(&self, service: &str, topic: &Topic, offset: i64) -> Result<usize> {
        let marks = self.world.admin().await?.watermarks(&self.world.topic(topic)).await?;
        let to = marks.iter().map(|mark| Place {
            topic: topic.name.to_owned(),
            partition: mark.partition,
            offset: offset.clamp(mark.low, mark.high),
        });
        let id = self.ask(service, Kind::Seek { to: to.collect() }).await?;
        let (done, _, detail) = self.until_operation_of(service, id, "done").await?;
        ensure!(done as usize == marks.len(), "{detail}");
        Ok(marks.iter().map(|mark| mark.high - offset.clamp(mark.low, mark.high)).sum::<i64>()
            as usize)
    }
}

/// Writer, tally and ledger with sixty notes in six books, all handled.
pub(super) async fn filled(bench: &Bench) -> Result<(Vec<Running>, Shown)> {
    let mut services = vec![];
    for service in [tally::writer(), tally::tally(), tally::ledger()] {
        services.push(bench.world.mount(service).await?);
    }
    for n in 0..60 {
        bench.note(&services[0], &format!("book-{}", n % 6), 1).await?;
    }
    let wanted: Shown = (0..6).map(|n| (format!("book-{n}"), (10, 10))).collect();
    until_shown(bench, &wanted).await?;
    Ok((services, wanted))
}

pub(super) async fn end(bench: Bench, services: Vec<Running>) -> Result<()> {
    for service in services {
        service.stop().await?;
    }
    bench.world.close().await
}

/// Waits until the ledger's group has committed all there is.
async fn until_at_the_end(bench: &Bench) -> Result<()> {
    let (admin, topic) = (bench.world.admin().await?, bench.world.topic(&TALLIES));
    let marks = admin.watermarks(&topic).await?;
    eventually(SOON, "all is read again", async || {
        let committed = admin.group_offsets(&bench.group_of("ledger"), &[&topic]).await;
        let committed = committed.map_err(|error| error.to_string())?;
        let there = committed.iter().zip(&marks).all(|(at, mark)| at.committed == Some(mark.high));
        if there { Ok(()) } else { Err(format!("{committed:?}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_put_at_its_beginning_is_folded_again_while_its_member_stays() -> Result<()> {
    let bench = Bench::new().await?;
    let (services, wanted) = filled(&bench).await?;
    let mut db = bench.world.database("ledger").await?;
    sqlx::query("UPDATE shown SET total = total + 1000").execute(&mut db).await?;
    let again = bench.seek("ledger", &TALLIES, 0).await?;
    ensure!(again >= 60, "{again} records to read again");
    until_shown(&bench, &wanted).await?;
    bench.seek("ledger", &TALLIES, 2).await?;
    bench.note(&services[0], "book-0", 5).await?;
    let mut wanted = wanted;
    wanted.insert("book-0".to_owned(), (15, 11));
    until_shown(&bench, &wanted).await?;
    end(bench, services).await
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_that_read_again_act_no_second_time() -> Result<()> {
    let bench = Bench::new().await?;
    let (services, shown) = filled(&bench).await?;
    let announced = bench.records(&TALLIES).await?.len();
    let again = bench.seek("tally", &NOTES, 0).await?;
    ensure!(again == 60, "{again} records to read again");
    eventually(SOON, "every note came again", async || {
        let metrics = bench.metrics(&services[1]).await.map_err(|error| error.to_string())?;
        let line = metrics.lines().find(|line| line.starts_with("inbox_duplicates_total"));
        match line.is_some_and(|line| line.ends_with(" 60")) {
            true => Ok(()),
            false => Err(format!("{line:?}")),
        }
    })
    .await?;
    let sums: BTreeMap<String, (i64, i64)> = bench.sums().await?;
    ensure!(sums.values().all(|(total, _)| *total == 10), "{sums:?}");
    ensure!(bench.records(&TALLIES).await?.len() == announced, "something was announced again");
    until_shown(&bench, &shown).await?;
    end(bench, services).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_of_a_paused_group_is_carried_out_and_it_stays_paused() -> Result<()> {
    let bench = Bench::new().await?;
    let (services, wanted) = filled(&bench).await?;
    let mut db = bench.world.database("ledger").await?;
    services[2].hold();
    sqlx::query("UPDATE shown SET total = 0").execute(&mut db).await?;
    bench.seek("ledger", &TALLIES, 0).await?;
    let untouched = bench.count("ledger", "SELECT count(*) FROM shown WHERE total = 0").await?;
    ensure!(untouched == 6, "{untouched} rows of a paused view");
    services[2].release();
    until_shown(&bench, &wanted).await?;
    end(bench, services).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_view_could_not_fold_has_one_dead_letter_after_a_reset() -> Result<()> {
    let bench = Bench::new().await?;
    let (mut services, _) = filled(&bench).await?;
    let key = Some(b"book-0".to_vec());
    let broken = RawRecord { key, payload: Some(b"nonsense".to_vec()), ..RawRecord::default() };
    bench.put(&TALLIES, broken).await?;
    let dead = "SELECT count(*) FROM millrace.parked WHERE status = 'dead'";
    let until_dead = async || {
        eventually(SOON, "it is dead", async || match bench.count("ledger", dead).await {
            Ok(1) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    };
    until_dead().await?;
    bench.seek("ledger", &TALLIES, 0).await?;
    until_at_the_end(&bench).await?;
    until_dead().await?;
    // And once more by a tool, which needs the group to be at rest.
    if let Some(ledger) = services.pop() {
        ledger.stop().await?;
    }
    reset(&bench, To::Earliest).await?;
    services.push(bench.world.mount(tally::ledger()).await?);
    until_dead().await?;
    let letters = "SELECT count(*) FROM millrace.outbox WHERE name = 'dead_letter'";
    let letters = bench.count("ledger", letters).await?;
    ensure!(letters == 1, "{letters} dead letters");
    end(bench, services).await
}
