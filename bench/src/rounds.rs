//! Sides that take turns: their order rotates from round to round, the first round does not count, and
//! a round in which the reference was disturbed is done again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Serialize, Serializer};

/// A round whose reference is further from its median than this is done again.
const DISTURBED: f64 = 0.3;
/// One of so many rounds, at most: on a machine that is never quiet nothing would ever end.
const REDONE_ONE_OF: usize = 3;

/// What a side did in a round.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Sample {
    /// Pieces of work in a second.
    pub(crate) rate: f64,
    /// Processor time of this process for each piece, in microseconds.
    pub(crate) own_us: f64,
    /// And of PostgreSQL's processes.
    pub(crate) postgres_us: f64,
    /// And of the broker's.
    pub(crate) broker_us: f64,
    /// The same by kinds of threads and processes.
    pub(crate) parts: BTreeMap<String, f64>,
    /// What PostgreSQL wrote to its log for each piece, where that was asked.
    #[serde(skip_serializing_if = "is_nothing")]
    pub(crate) log_bytes: f64,
    /// How long each piece took, where that was asked: microseconds, and how many pieces. Kept on one line, as
    /// `1200:3 1210:1`.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "on_one_line")]
    pub(crate) took: Vec<(u64, u64)>,
}

fn on_one_line<S: Serializer>(took: &[(u64, u64)], to: S) -> std::result::Result<S::Ok, S::Error> {
    let all: Vec<String> = took.iter().map(|(us, count)| format!("{us}:{count}")).collect();
    to.serialize_str(&all.join(" "))
}

fn is_nothing(number: &f64) -> bool {
    *number == 0.0
}

/// How a picture shows what sides did.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shows {
    #[default]
    PerSecond,
    /// How long one piece took.
    Milliseconds,
}

/// All rounds of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) shows: Shows,
    pub(crate) sides: Vec<&'static str>,
    /// For each round a sample of each side.
    pub(crate) samples: Vec<Vec<Sample>>,
    /// Rounds that were done again.
    pub(crate) redone: usize,
}

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Sample {
    /// What so large a share of the pieces took at most.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let all: u64 = self.took.iter().map(|(_, count)| count).sum();
        let mut left = (all as f64 * share).ceil() as u64;
        let reached = |(_, count): &&(u64, u64)| {
            left = left.saturating_sub(*count);
            left == 0
        };
        self.took.iter().find(reached).map_or(Duration::ZERO, |(us, _)| Duration::from_micros(*us))
    }

    /// Processor time for each piece, ours and PostgreSQL's.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.own_us + self.postgres_us
    }
}

/// Lets the sides take turns. A round is disturbed by what the reference says, never by ours.
pub(crate) async fn take_turns(
    what: &str,
    sides: &[&'static str],
    reference: usize,
    rounds: usize,
    mut run: impl AsyncFnMut(usize) -> Result<Sample>,
) -> Result<Rounds> {
    let (mut samples, mut redone): (Vec<Vec<Sample>>, usize) = (vec![], 0);
    let began = Instant::now();
    for round in 0.. {
        if samples.len() == rounds {
            let Some(disturbed) =
                disturbed(&samples, reference).filter(|_| redone < rounds / REDONE_ONE_OF)
            else {
                break;
            };
            samples.remove(disturbed);
            redone += 1;
        }
        let mut taken = vec![Sample::default(); sides.len()];
        for turn in 0..sides.len() {
            let side = (round + turn) % sides.len();
            taken[side] = run(side).await?;
        }
        if round > 0 {
            samples.push(taken);
        }
        let took = began.elapsed().as_secs();
        eprintln!("{what}: round {round} of {rounds} after {took} s");
    }
    Ok(Rounds { shows: Shows::default(), sides: sides.to_vec(), samples, redone })
}

fn disturbed(samples: &[Vec<Sample>], reference: usize) -> Option<usize> {
    let rates: Vec<f64> = samples.iter().map(|round| round[reference].rate).collect();
    let median = Spread::of(&rates)?.median;
    rates.iter().position(|rate| (rate / median - 1.0).abs() > DISTURBED)
}

impl Rounds {
    /// One side over another, round by round.
    pub(crate) fn ratios(&self, of: impl Fn(&Sample) -> f64, side: usize, over: usize) -> Vec<f64> {
        self.samples.iter().map(|round| of(&round[side]) / of(&round[over])).collect()
    }

    /// The processor time of a side for each piece, as it is told: ours and PostgreSQL's.
    pub(crate) fn cpu(&self, side: usize) -> String {
        let (own, postgres) =
            (self.median(|it| it.own_us, side), self.median(|it| it.postgres_us, side));
        format!("{own:.1} + {postgres:.1} us")
    }

    /// The median of something of a side.
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64, side: usize) -> f64 {
        let all: Vec<f64> = self.samples.iter().map(|round| of(&round[side])).collect();
        Spread::of(&all).map_or(f64::NAN, |spread| spread.median)
    }
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        (!sorted.is_empty()).then(|| Self { lower: at(0.25), median: at(0.5), upper: at(0.75) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rate: f64) -> Sample {
        Sample { rate, ..Sample::default() }
    }

    #[test]
    fn quartiles_lie_between_the_values() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { lower: 1.75, median: 2.5, upper: 3.25 });
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn a_quantile_is_what_so_many_took_at_most() {
        let sample = Sample { took: vec![(10, 98), (200, 1), (3_000, 1)], ..Sample::default() };
        let at = |share| sample.quantile(share).as_micros();
        assert_eq!([at(0.5), at(0.98), at(0.99), at(0.999)], [10, 10, 200, 3_000]);
        assert_eq!(Sample::default().quantile(0.5), Duration::ZERO);
        assert_eq!(serde_json::to_value(&sample).unwrap()["took"], "10:98 200:1 3000:1");
    }

    #[tokio::test]
    async fn the_first_round_does_not_count_and_the_order_rotates() {
        let mut order = vec![];
        let rounds = take_turns("t", &["a", "b"], 0, 2, async |side| {
            order.push(side);
            Ok(rate(1.0 + side as f64))
        });
        let rounds = rounds.await.unwrap();
        assert_eq!(order, [0, 1, 1, 0, 0, 1]);
        assert_eq!(rounds.samples.len(), 2);
        assert_eq!(rounds.ratios(|it| it.rate, 1, 0), [2.0, 2.0]);
    }

    #[tokio::test]
    async fn a_round_in_which_the_reference_was_disturbed_is_done_again() {
        let mut round = 0;
        let rounds = take_turns("t", &["ours", "reference"], 1, 3, async |side| {
            round += usize::from(side == 1);
            // Ours may be as slow as it is: it is never the reason.
            let of_reference = if round == 3 { 10.0 } else { 100.0 };
            Ok(rate(if side == 0 { round as f64 } else { of_reference }))
        });
        let rounds = rounds.await.unwrap();
        assert_eq!((rounds.samples.len(), rounds.redone), (3, 1));
        assert!(rounds.samples.iter().all(|round| round[1].rate == 100.0));
    }
}
