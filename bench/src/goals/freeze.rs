//! Whether this harness sees what it is there to see: a broker that stands still for half a second has to
//! show in the slowest orders of a run. Whoever counts from the moment of sending, or sends the next order
//! when the last one has arrived, would miss it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::{Ground, Part};
use tokio::sync::oneshot;

use super::latency::{Plan, through};
use crate::ahead;
use crate::chain::{Chain, Side};
use crate::rounds::{Rounds, Shows};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 1] = ["frozen_broker_is_seen"];
const SIDES: [&str; 1] = ["bare loops, a frozen broker"];

const FROZEN: Duration = Duration::from_millis(500);
const PLAN: Plan = Plan { rate: 100.0, timed: Duration::from_secs(10) };
/// What has to be seen at least: one order of twenty comes while it stands still, and some of them at the
/// very beginning of it.
const P99_MIN: Duration = Duration::from_millis(200);
const P999_MIN: Duration = Duration::from_millis(450);
/// The others know nothing of it.
const HALF_MAX: Duration = Duration::from_millis(100);

pub(crate) async fn measure(ground: &Ground) -> Result<(Rounds, Vec<Verdict>)> {
    let chain = Arc::new(Chain::new(ground).await?);
    let (at_work, loaded) = (chain.begin(Side::Bare).await?, chain.clone());
    let (begun, begins) = oneshot::channel();
    let load = ahead::go(move || through(&loaded, PLAN, || begun.send(()).unwrap_or_default()));
    let freeze = async {
        begins.await.context("no order came in")?;
        tokio::time::sleep(PLAN.middle()).await;
        ground.freeze(Part::Broker).await?;
        tokio::time::sleep(FROZEN).await;
        ground.thaw(Part::Broker).await
    };
    let (sample, frozen) = tokio::join!(load, freeze);
    at_work.stop().await?;
    Arc::into_inner(chain).context("somebody still loads the chain")?.close().await?;
    let sample = sample?;
    frozen?;
    let [half, p99, p999] = [0.5, 0.99, 0.999].map(|share| sample.quantile(share));
    let times = |seen: Duration, least: Duration| seen.as_secs_f64() / least.as_secs_f64();
    let seen = times(p99, P99_MIN).min(times(p999, P999_MIN));
    let told = format!(
        "p99 {} ms and p99.9 {} ms, at least {} and {}, while a broker stood still for {} ms; half of the \
         orders took {} ms, at most {}",
        p99.as_millis(),
        p999.as_millis(),
        P99_MIN.as_millis(),
        P999_MIN.as_millis(),
        FROZEN.as_millis(),
        half.as_millis(),
        HALF_MAX.as_millis()
    );
    // Where everything is slow, or the generator starved, nothing was seen.
    let sees = half <= HALF_MAX && sample.rate.is_finite();
    let seen = if sees { vec![seen] } else { vec![] };
    let verdict = Verdict::new(GOALS[0], &seen, Bound::AtLeast, 1.0, told);
    let (sides, samples) = (SIDES.to_vec(), vec![vec![sample]]);
    Ok((Rounds { shows: Shows::Milliseconds, sides, samples, redone: 0 }, vec![verdict]))
}
