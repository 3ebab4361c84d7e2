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
        let now = Instant::now();
        self.0 = length(now.duration_since(began), records).map(|rest| now + rest);
    }

    /// What is left of it.
    pub(crate) async fn taken(&mut self) {
        if let Some(until) = self.0.take().filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// How long to rest after work on so many records that took so long.
fn length(took: Duration, records: usize) -> Option<Duration> {
    let others = records.checked_sub(1).filter(|others| *others > 0)?;
    Some(took.min(REST_MAX).mul_f64(others as f64 / records as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_follows_the_work_and_the_queue_up_to_a_bound() {
        let ms = Duration::from_millis;
        assert_eq!([length(ms(10), 0), length(ms(10), 1)], [None, None], "nobody queued");
        assert_eq!(length(ms(10), 2), Some(ms(5)));
        assert_eq!(length(ms(10), 10), Some(ms(9)));
        assert_eq!(length(ms(1_000), 4), Some(REST_MAX.mul_f64(0.75)));
    }

    #[tokio::test]
    async fn a_rest_is_taken_once() {
        let mut rest = Rest::default();
        rest.after(Instant::now() - Duration::from_millis(2), 2);
        assert!(rest.0.is_some());
        rest.taken().await;
        assert!(rest.0.is_none());
        rest.taken().await;
    }
}
