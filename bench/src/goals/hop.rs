//! One hop: a payment is read, a sale is decided and recorded with its inbox and outbox, and announced.
//! Ours beside the bare loop, which is the limit, and a transaction for each record.

use anyhow::Result;
use harness::Ground;

use crate::Size;
use crate::hop::Hop;
use crate::peers::{bare, per_message};
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

const GOALS: [&str; 5] = [
    "hop_cpu_times_bare",
    "hop_rate_times_per_message_free",
    "hop_rate_times_per_message_2ms",
    "hop_rate_times_per_message_5ms",
    "hop_rate_times_per_message_disk",
];
const SIDES: [&str; 3] = ["millrace", "bare", "per message"];
const OURS: usize = 0;
const BARE: usize = 1;
const PER_MESSAGE: usize = 2;

/// Payments of a round; of the slow side fewer, and fewer still on a disk that is slow.
const RECORDS: u32 = 40_000;
const RECORDS_SLOW: u32 = 4_000;
const RECORDS_SLOWEST: u32 = 1_000;

/// What is judged on a disk.
pub(super) fn goals(disk: &str) -> &'static [&'static str] {
    match disk {
        "0" => &GOALS[..2],
        "2ms" => &GOALS[2..3],
        "5ms" => &GOALS[3..4],
        _ => &GOALS[4..],
    }
}

pub(crate) async fn measure(
    ground: &Ground,
    disk: &str,
    size: Size,
) -> Result<(Rounds, Vec<Verdict>)> {
    let what = format!("hop, sync {disk}");
    let rounds = take_turns(&what, &SIDES, BARE, size.rounds, async |side| {
        let records = match side {
            PER_MESSAGE if disk == "0" || disk == "2ms" => RECORDS_SLOW,
            PER_MESSAGE => RECORDS_SLOWEST,
            _ => RECORDS,
        };
        run(ground, side, records / size.less).await
    });
    let rounds = rounds.await?;
    let rate = |side| rounds.median(|it| it.rate, side);
    let told = format!(
        "{:.0} records/s, the bare loop {:.0}, a transaction for each {:.0}",
        rate(OURS),
        rate(BARE),
        rate(PER_MESSAGE)
    );
    let ratios = rounds.ratios(|it| it.rate, OURS, PER_MESSAGE);
    let mut verdicts = vec![];
    let goals = goals(disk);
    if disk == "0" {
        let used = format!(
            "ours + PostgreSQL's: {}, the bare loop {}",
            rounds.cpu(OURS),
            rounds.cpu(BARE)
        );
        let of = rounds.ratios(Sample::cpu_us, OURS, BARE);
        verdicts.push(Verdict::new(goals[0], &of, Bound::AtMost, 1.5, used));
        verdicts.push(Verdict::new(goals[1], &ratios, Bound::AtLeast, 3.5, told));
    } else if disk == "2ms" {
        verdicts.push(Verdict::new(goals[0], &ratios, Bound::AtLeast, 25.0, told));
    } else {
        verdicts.push(Verdict::known(goals[0], &ratios, told));
    }
    Ok((rounds, verdicts))
}

async fn run(ground: &Ground, side: usize, records: u32) -> Result<Sample> {
    let mut hop = Hop::new(ground).await?;
    hop.fill(records).await?;
    let sample = match side {
        OURS => hop.ours().await?,
        BARE => hop.peer(bare::run).await?,
        _ => hop.peer(|place, stop| per_message::run(place, 1, stop)).await?,
    };
    hop.close().await?;
    Ok(sample)
}
