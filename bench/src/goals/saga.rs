//! A chain of five services at saturation: ours beside bare loops, which are the limit, and beside a
//! transaction for each record.

use anyhow::Result;
use harness::Ground;

use crate::Size;
use crate::chain::{Chain, Side};
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

const GOALS: [&str; 3] = [
    "saga_rate_times_per_message_free",
    "saga_rate_times_limit",
    "saga_rate_times_per_message_2ms",
];
const SIDES: [&str; 3] = ["millrace", "bare", "per message"];
const OURS: usize = 0;
const BARE: usize = 1;
const PER_MESSAGE: usize = 2;

/// Orders of a round; of the slow side fewer.
const ORDERS: u32 = 16_000;
const ORDERS_SLOW: u32 = 2_000;

/// What is judged on a disk.
pub(super) fn goals(disk: &str) -> &'static [&'static str] {
    if disk == "0" { &GOALS[..2] } else { &GOALS[2..] }
}

pub(crate) async fn measure(
    ground: &Ground,
    disk: &str,
    size: Size,
) -> Result<(Rounds, Vec<Verdict>)> {
    let what = format!("saga, sync {disk}");
    let rounds = take_turns(&what, &SIDES, BARE, size.rounds, async |side| {
        let (side, orders) = match side {
            OURS => (Side::Ours, ORDERS),
            BARE => (Side::Bare, ORDERS),
            _ => (Side::PerMessage, ORDERS_SLOW),
        };
        saturated(ground, side, orders / size.less).await
    });
    let rounds = rounds.await?;
    let rate = |side| rounds.median(|it| it.rate, side);
    let told = format!(
        "{:.0} orders/s through five services, five bare loops {:.0}, a transaction for each {:.0}",
        rate(OURS),
        rate(BARE),
        rate(PER_MESSAGE)
    );
    let times = rounds.ratios(|it| it.rate, OURS, PER_MESSAGE);
    if disk != "0" {
        let verdict = Verdict::new(GOALS[2], &times, Bound::AtLeast, 20.0, told);
        return Ok((rounds, vec![verdict]));
    }
    let used = format!(
        "for each order ours + PostgreSQL's: {}, bare {}",
        rounds.cpu(OURS),
        rounds.cpu(BARE)
    );
    let limit = rounds.ratios(|it| it.rate, OURS, BARE);
    let verdicts = vec![
        Verdict::new(GOALS[0], &times, Bound::AtLeast, 8.0, told),
        Verdict::new(GOALS[1], &limit, Bound::AtLeast, 0.5, used),
    ];
    Ok((rounds, verdicts))
}

/// What a side does when everything is there before it begins.
pub(super) async fn saturated(ground: &Ground, side: Side, orders: u32) -> Result<Sample> {
    let chain = Chain::new(ground).await?;
    chain.fill(orders).await?;
    let (at_work, sample) = tokio::join!(chain.begin(side), chain.watch(orders));
    at_work?.stop().await?;
    chain.close().await?;
    sample
}
