//! What it costs to be watched: a hop with one trace of a hundred exported beside one without.

use anyhow::Result;
use harness::Ground;

use crate::Size;
use crate::hop::Hop;
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 1] = ["telemetry_off_cpu_times_on"];
const SIDES: [&str; 2] = ["off", "on"];
const OFF: usize = 0;
const ON: usize = 1;

const RECORDS: u32 = 40_000;
const SHARE: f64 = 0.01;

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let rounds = take_turns("telemetry", &SIDES, OFF, size.rounds, async |side| {
        let mut hop = Hop::new(ground).await?;
        hop.fill(RECORDS / size.less).await?;
        let sample = match side {
            ON => hop.ours_with(|config| config.trace.sample_ratio = SHARE).await,
            _ => hop.ours().await,
        };
        hop.close().await?;
        sample
    });
    let rounds = rounds.await?;
    let cpu = |side| rounds.median(Sample::cpu_us, side);
    let told = format!(
        "{:.1} us for each record without traces, {:.1} us with one of a hundred exported, the \
         receiver's work among it; metrics are always counted",
        cpu(OFF),
        cpu(ON)
    );
    let ratios = rounds.ratios(Sample::cpu_us, OFF, ON);
    let verdict = Verdict::new(GOALS[0], &ratios, Bound::AtLeast, 0.95, told);
    Ok((rounds, vec![verdict]))
}
