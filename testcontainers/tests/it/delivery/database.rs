//! A database that is there and does not do what it is asked: connections that are cut off, locks
//! that are held, sessions that stay, a pool that is too small.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use harness::eventually;
use sqlx::{Connection, Executor};

use super::{Bench, SOON};
use crate::tally;

/// Cuts off every other connection to the database it is run on.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_off_again_and_again_lose_nothing_and_repeat_no_effect() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let cut = async |service: &str| bench.count(service, CUT).await;
    let mut taken = 0;
    for n in 0..30 {
        let key = format!("k-{n}");
        let post = bench.post(&writer, &key, "book", 1);
        let (posted, first, second) = tokio::join!(post, cut("writer"), cut("tally"));
        taken += i64::from(posted?.0 == 202);
        ensure!(first? + second? >= 0);
    }
    for n in 0..30 {
        let key = format!("k-{n}");
        let again = eventually(SOON, "the command is taken", async || {
            match bench.post(&writer, &key, "book", 1).await {
                Ok((202, _)) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        again.await?;
    }
    bench.until_notes(&BTreeMap::from([("book".into(), 30)])).await?;
    ensure!(bench.sums().await?["book"] == (30, 30), "{taken} were taken at first");
    harness::ready(&writer).await?;
    harness::ready(&sums).await?;
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_answered_for_in_time_and_waited_for() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let mut session = bench.world.database("writer").await?;
    session.execute("BEGIN; LOCK TABLE millrace.outbox IN ACCESS EXCLUSIVE MODE").await?;
    let posts = (0..12).map(|n| {
        let (bench, writer) = (&bench, &writer);
        async move { bench.post(writer, &format!("k-{n}"), "book", 1).await }
    });
    let answered = tokio::time::timeout(Duration::from_millis(5_500), async {
        futures::future::try_join_all(posts).await
    });
    let answers = answered.await.context("a request was not answered within 5 s")??;
    let refused = |status: u16| [409, 503, 504].contains(&status);
    ensure!(answers.iter().all(|(status, _)| refused(*status)), "{answers:?}");
    session.execute("ROLLBACK").await?;
    for n in 0..12 {
        let (status, body) = bench.post(&writer, &format!("k-{n}"), "book", 1).await?;
        ensure!(status == 202, "{status}: {body}");
    }
    bench.until_sent("writer", 12).await?;
    harness::ready(&writer).await?;
    writer.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_stays_in_its_transaction_holds_up_nobody() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let mut idle = vec![];
    for service in ["writer", "tally"] {
        let mut session = bench.world.database(service).await?;
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        session.execute("SELECT count(*) FROM millrace.outbox").await?;
        idle.push(session);
    }
    for _ in 0..20 {
        bench.note(&writer, "book", 1).await?;
    }
    bench.until_notes(&BTreeMap::from([("book".into(), 20)])).await?;
    bench.until_sent("tally", 20).await?;
    for session in idle {
        session.close().await?;
    }
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}

/// Publishing has connections of its own, so that a crowd at the door cannot hold it up.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_a_pool_of_two_is_served_or_told_and_facts_flow() -> Result<()> {
    let bench = Bench::new().await?;
    let small = |config: &mut millrace::Config| config.database.max_connections = 2;
    let writer = bench.world.mount_with(tally::writer(), small).await?;
    let sums = bench.world.mount_with(tally::tally(), small).await?;
    let posts = (0..200).map(|n| {
        let (bench, writer) = (&bench, &writer);
        async move { anyhow::Ok(bench.post(writer, &format!("k-{n}"), "book", 1).await?.0) }
    });
    let answers: Vec<Result<u16>> =
        futures::stream::iter(posts).buffer_unordered(100).collect().await;
    let answers: Vec<u16> = answers.into_iter().collect::<Result<_>>()?;
    ensure!(answers.iter().all(|status| [202, 503].contains(status)), "{answers:?}");
    let taken = answers.iter().filter(|status| **status == 202).count();
    ensure!(taken > 0, "nobody was served");
    bench.until_notes(&BTreeMap::from([("book".into(), taken as i64)])).await?;
    writer.stop().await?;
    sums.stop().await?;
    bench.world.close().await
}
