//! A view follows its consumer group: reset to the beginning it is refolded exactly, reset to the
//! middle it stays as it is.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use harness::eventually;
use millrace::admin::To;
use sqlx::Row;

use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::TALLIES;

/// Sum and number of folded facts by book.
pub(super) type Shown = BTreeMap<String, (i64, i64)>;

#[tokio::test(flavor = "multi_thread")]
async fn a_view_reset_to_the_earliest_offset_is_rebuilt_exactly() -> Result<()> {
    let bench = Bench::new().await?;
    let before = fill(&bench).await?;
    let mut db = bench.world.database("ledger").await?;
    sqlx::query("UPDATE shown SET total = total + 1000").execute(&mut db).await?;
    reset(&bench, To::Earliest).await?;
    let ledger = bench.world.mount(tally::ledger()).await?;
    until_shown(&bench, &before).await?;
    ledger.stop().await?;
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_reset_to_the_middle_folds_nothing_twice() -> Result<()> {
    let bench = Bench::new().await?;
    let before = fill(&bench).await?;
    reset(&bench, To::Offset(2)).await?;
    let ledger = bench.world.mount(tally::ledger()).await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    for n in 0..6 {
        bench.note(&writer, &format!("book-{n}"), 1).await?;
    }
    let after = before.into_iter().map(|(book, (total, folded))| (book, (total + 1, folded + 1)));
    until_shown(&bench, &after.collect()).await?;
    for service in [ledger, writer, sums] {
        service.stop().await?;
    }
    bench.world.close().await
}

/// Sixty notes through all three services, then everything is stopped.
async fn fill(bench: &Bench) -> Result<Shown> {
    let writer = bench.world.mount(tally::writer()).await?;
    let sums = bench.world.mount(tally::tally()).await?;
    let ledger = bench.world.mount(tally::ledger()).await?;
    for n in 0..60 {
        bench.note(&writer, &format!("book-{}", n % 6), 1).await?;
    }
    let wanted: Shown = (0..6).map(|n| (format!("book-{n}"), (10, 10))).collect();
    until_shown(bench, &wanted).await?;
    for service in [writer, sums, ledger] {
        service.stop().await?;
    }
    Ok(wanted)
}

pub(super) async fn reset(bench: &Bench, to: To) -> Result<()> {
    let (admin, topic) = (bench.world.admin().await?, bench.world.topic(&TALLIES));
    let group = format!("{}test.ledger", bench.world.prefix());
    let committed = admin.group_offsets(&group, &[&topic]).await?;
    ensure!(committed.iter().any(|offset| offset.committed > Some(2)), "{committed:?}");
    admin.reset_group(&group, &[&topic], to).await?;
    Ok(())
}

pub(super) async fn until_shown(bench: &Bench, wanted: &Shown) -> Result<()> {
    eventually(SOON, "the view shows every sum", async || {
        let shown = shown(bench).await.map_err(|error| error.to_string())?;
        if &shown == wanted { Ok(()) } else { Err(format!("{shown:?}, wanted {wanted:?}")) }
    })
    .await
}

async fn shown(bench: &Bench) -> Result<Shown> {
    let mut db = bench.world.database("ledger").await?;
    let rows = sqlx::query("SELECT book, total, folded FROM shown").fetch_all(&mut db).await?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}
