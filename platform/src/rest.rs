//! A rest between two batches, about as long as the last one took: under load there are fewer of them with
//! more in each, which costs all who share the machine less. Whoever had a single record before him has no
//! load, and what comes after a while is not kept waiting at all.

use std::time::{Duration, Instant};

/// No rest is longer.
const REST_MAX: Duration = Duration::from_millis(20);

/// Until when somebody rests.
#[derive(Debug, Default)]
pub(crate) struct Rest(Option<Instant>);

impl Rest {
    /// From now on, after work on so many records that began then.
    pub(crate) fn after(&mut self, began: Instant, records: usize) {
        let (now, others) = (Instant::now(), records.saturating_sub(1) as f64);
        let took = now.duration_since(began).min(REST_MAX);
        self.0 = Some(now + took.mul_f64(others / records.max(1) as f64));
    }

    /// What is left of it.
    pub(crate) async fn taken(&mut self) {
        if let Some(until) = self.0.take() {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rest_is_as_long_as_the_work_and_no_longer_than_its_bound() {
        let left = |work: Duration, records| {
            let mut rest = Rest::default();
            rest.after(Instant::now() - work, records);
            rest.0.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
        };
        let work = Duration::from_millis(10);
        assert_eq!([left(work, 0), left(work, 1)], [Duration::ZERO; 2], "nobody queued");
        let (two, many) = (left(work, 2), left(work, 500));
        assert!(two > work / 4 && two < many && many <= REST_MAX, "{two:?} {many:?}");
        assert!(left(Duration::from_secs(1), 500) <= REST_MAX);
        let mut rest = Rest::default();
        rest.after(Instant::now() - work, 2);
        rest.taken().await;
        assert!(rest.0.is_none(), "it is taken once");
        rest.taken().await;
    }
}
