//! A real broker that is away, at start and later, is waited for.

use std::collections::BTreeMap;

use anyhow::Result;
use harness::{Ground, GroundKind, Part};

use super::{Bench, until_unready};
use crate::tally;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_broker_that_is_away_at_start_and_later_loses_nothing() -> Result<()> {
    let ground = Ground::start(GroundKind::Native).await?;
    let bench = Bench::on(&ground).await?;
    let writer = bench.world.config("writer").await?;
    let sums = bench.world.config("tally").await?;
    ground.crash(Part::Broker).await?;
    let writer = millrace::mount(tally::writer(), writer).await?;
    let sums = millrace::mount(tally::tally(), sums).await?;
    until_unready(&sums).await?;
    ground.restart(Part::Broker).await?;
    harness::ready(&writer).await?;
    harness::ready(&sums).await?;
    bench.note(&writer, "book", 1).await?;
    bench.until_notes(&BTreeMap::from([("book".into(), 1)])).await?;
    ground.crash(Part::Broker).await?;
    until_unready(&writer).await?;
    for _ in 0..5 {
        bench.note(&writer, "book", 1).await?;
    }
    ground.restart(Part::Broker).await?;
    bench.until_notes(&BTreeMap::from([("book".into(), 6)])).await?;
    harness::ready(&writer).await?;
    harness::ready(&sums).await?;
    sums.stop().await?;
    writer.stop().await?;
    ground.stop().await;
    Ok(())
}
