//! How long many things took, without keeping each of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Three digits are kept of each time, from a microsecond to an hour.
const DIGITS: u8 = 3;
const LONGEST_US: u64 = 3_600_000_000;

/// How long a number of things took, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// Half of them at most this.
    pub p50_ms: f64,
    /// 90 of 100 at most this.
    pub p90_ms: f64,
    /// 95 of 100 at most this.
    pub p95_ms: f64,
    /// 99 of 100 at most this.
    pub p99_ms: f64,
    /// 999 of 1,000 at most this.
    pub p999_ms: f64,
    /// None more than this.
    pub max_ms: f64,
    /// Everything that was recorded: a time in microseconds, and how many took that long.
    pub histogram: Vec<(u64, u64)>,
}

pub(super) struct Recorder(Histogram<u64>);

impl Default for Recorder {
    fn default() -> Self {
        let all = Histogram::new_with_max(LONGEST_US, DIGITS);
        Self(all.expect("these are bounds that a histogram takes"))
    }
}

impl Recorder {
    pub(super) fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        self.0.saturating_record(micros.max(1));
    }

    pub(super) fn times(&self) -> Times {
        let ms = |micros: u64| micros as f64 / 1e3;
        let at = |share| ms(self.0.value_at_quantile(share));
        let bucket = |it: hdrhistogram::iterators::IterationValue<u64>| {
            (it.value_iterated_to(), it.count_at_value())
        };
        Times {
            count: self.0.len(),
            mean_ms: (self.0.mean().round()) / 1e3,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(self.0.max()),
            histogram: self.0.iter_recorded().map(bucket).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut recorder = Recorder::default();
        (1..=1000).for_each(|ms| recorder.add(Duration::from_millis(ms)));
        let times = recorder.times();
        let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 0.001;
        assert!(near(times.p50_ms, 500.0) && near(times.p99_ms, 990.0), "{times:?}");
        assert!(near(times.max_ms, 1000.0) && near(times.mean_ms, 500.5), "{times:?}");
        assert_eq!(times.histogram.iter().map(|(_, count)| count).sum::<u64>(), times.count);
    }
}
