//! Several instances of one service: they join, leave, freeze, wake up as zombies and die while
//! facts flow, and every fact acts once. A planned restart repeats nothing.

use anyhow::{Result, ensure};
use harness::{Ground, Signal};
use tokio_util::sync::CancellationToken;

use crate::fault::notes;

const DUPLICATES: &str = "inbox_duplicates_total";

#[tokio::test(flavor = "multi_thread")]
async fn instances_join_leave_freeze_wake_and_die_and_every_fact_acts_once() -> Result<()> {
    let field = notes::field(&Ground::shared().await?, 3).await?;
    let (fleet, stop) = (field.fleet(), CancellationToken::new());
    let change = async {
        let _stops = stop.clone().drop_guard();
        notes::members(&field, "tally", 3).await?;
        fleet.instance("tally/4")?.start().await?;
        notes::members(&field, "tally", 4).await?;
        ensure!(fleet.instance("tally/4")?.stop().await, "it did not end by itself");
        notes::members(&field, "tally", 3).await?;
        fleet.instance("tally/1")?.signal(Signal::Stop).await;
        notes::members(&field, "tally", 2).await?;
        // The zombie still believes that its partitions are its own.
        fleet.instance("tally/1")?.signal(Signal::Continue).await;
        notes::members(&field, "tally", 3).await?;
        fleet.instance("tally/2")?.kill().await;
        notes::members(&field, "tally", 2).await?;
        fleet.instance("tally/2")?.start().await?;
        notes::members(&field, "tally", 3).await
    };
    let (notes, changed) = tokio::join!(notes::go_on(&field, &stop), change);
    changed?;
    let notes = notes?;
    notes::counted(&field, &notes).await?;
    notes::told_in_order(&field, &notes).await?;
    notes::all_ready(&field).await?;
    field.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_restart_of_one_of_three_loses_and_repeats_nothing() -> Result<()> {
    let field = notes::field(&Ground::shared().await?, 3).await?;
    notes::members(&field, "tally", 3).await?;
    let (restarted, stop) = (field.fleet().instance("tally/2")?, CancellationToken::new());
    let change = async {
        let _stops = stop.clone().drop_guard();
        ensure!(restarted.stop().await, "it did not end by itself");
        notes::members(&field, "tally", 2).await?;
        restarted.start().await?;
        notes::members(&field, "tally", 3).await?;
        restarted.until_ready().await
    };
    let (notes, changed) = tokio::join!(notes::go_on(&field, &stop), change);
    changed?;
    let notes = notes?;
    notes::counted(&field, &notes).await?;
    let repeated = notes::counter(&field, "tally", DUPLICATES).await?;
    ensure!(repeated == 0.0, "{repeated} facts came twice");
    notes::told_in_order(&field, &notes).await?;
    field.close().await
}
