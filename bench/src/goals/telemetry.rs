//! What it costs to be watched: a hop with one trace of a hundred exported beside one without, and the bare
//! loop with a span for each record beside itself.

use anyhow::Result;
use harness::Ground;

use crate::Size;
use crate::hop::Hop;
use crate::peers::{bare, spans};
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 2] = ["telemetry_off_cpu_times_on", "spans_off_cpu_times_on"];
const SIDES: [&str; 4] = ["off", "on", "bare", "bare, spans for each record"];
const OFF: usize = 0;
const ON: usize = 1;
const BARE: usize = 2;
const SPANS: usize = 3;

const RECORDS: u32 = 40_000;
/// Of what nothing is judged by.
const RECORDS_OF_PEERS: u32 = 20_000;
const SHARE: f64 = 0.01;

pub(crate) async fn measure(ground: &Ground, size: Size) -> Result<(Rounds, Vec<Verdict>)> {
    let rounds = take_turns("telemetry", &SIDES, OFF, size.rounds, async |side| {
        let mut hop = Hop::new(ground).await?;
        let records = if side < BARE { RECORDS } else { RECORDS_OF_PEERS };
        hop.fill(records / size.less).await?;
        let receiver = hop.world.traces().endpoint();
        let sample = match side {
            OFF => hop.ours().await,
            ON => hop.ours_with(|config| config.trace.sample_ratio = SHARE).await,
            BARE => hop.peer(bare::run).await,
            _ => hop.peer(|place, stop| spans::run(place, receiver, SHARE, stop)).await,
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
    let peers = format!(
        "bare loops: {:.1} us without, {:.1} us with two spans of `tracing` for each record, of which the \
         layer of OpenTelemetry exports one of a hundred",
        cpu(BARE),
        cpu(SPANS)
    );
    let ratios = |off, on| rounds.ratios(Sample::cpu_us, off, on);
    let verdicts = vec![
        Verdict::new(GOALS[0], &ratios(OFF, ON), Bound::AtLeast, 0.95, told),
        Verdict::known(GOALS[1], &ratios(BARE, SPANS), peers),
    ];
    Ok((rounds, verdicts))
}
