//! What a load test sees: a system that stood still must show in its percentiles.

use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Ground, GroundKind, Part, eventually, skipped};
use ops::load::{self, Plan, Progress};
use tokio_util::sync::CancellationToken;

use super::Shop;
use super::shop::{SOON, same};

const RATE: f64 = 10.0;
const SECONDS: u64 = 10;
/// Orders that are due in half a second.
const STILL: u64 = 5;

/// Orders go on being sent meanwhile: a generator that waits for its answers would not come to the thaw.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_for_half_a_second_is_seen_in_the_percentiles() -> Result<()> {
    let kind = Ground::shared().await?.kind();
    if kind != GroundKind::Native {
        skipped("a broker that stands still", "the broker of this ground is in this process");
        return Ok(());
    }
    let ground = Ground::start(kind).await?;
    let shop = Shop::open_on(&ground, 10, "100.00", |_, _| ()).await?;
    let store = load::Shop::new("steady");
    store.open(&shop.retailer).await?;
    let plan =
        Plan { rate: RATE, time: Duration::from_secs(SECONDS), patience: Duration::from_secs(60) };
    let (progress, stop) = (Progress::default(), CancellationToken::new());
    let until = async |orders| {
        eventually(SOON, "more orders are sent", async || match progress.sent() {
            sent if sent >= orders => Ok(()),
            sent => Err(format!("{sent} of {orders}")),
        })
        .await
    };
    let stand_still = async {
        until(50).await?;
        ground.freeze(Part::Broker).await?;
        until(50 + STILL).await?;
        ground.thaw(Part::Broker).await
    };
    let running = load::run(&shop.retailer, &store, plan, &progress, &stop);
    let (report, stood) = tokio::join!(running, stand_still);
    stood?;
    same((report.sent, report.errors, report.lost, report.unconfirmed), (100, 0, 0, 0))?;
    let decided = &report.order_decided;
    ensure!(decided.p99_ms >= 200.0 && decided.p999_ms >= 450.0, "{decided:?}");
    shop.close().await?;
    ground.stop().await;
    Ok(())
}
