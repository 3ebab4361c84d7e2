//! A rest between two batches, as long as the last one took: under load there are fewer of them with more in
//! each, which costs all who share the machine less; when there is little to do, a batch takes little time,
//! and what comes after a while is not kept waiting at all.

use std::time::{Duration, Instant};

/// No rest is longer.
const REST_MAX: Duration = Duration::from_millis(20);

/// Until when somebody rests.
#[derive(Debug, Default)]
pub(crate) struct Rest(Option<Instant>);

impl Rest {
    /// From now on, after work that began then.
    pub(crate) fn after(&mut self, began: Instant) {
        let now = Instant::now();
        self.0 = Some(now + now.duration_since(began).min(REST_MAX));
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
        let left = |work: Duration| {
            let mut rest = Rest::default();
            let now = Instant::now();
            rest.after(now.checked_sub(work).expect("the machine runs for longer"));
            rest.0.map(|until| until - now)
        };
        let work = Duration::from_millis(5);
        assert!(left(work).is_some_and(|rest| rest >= work && rest < REST_MAX));
        let long = left(Duration::from_secs(1)).expect("there is a rest");
        assert!(long >= REST_MAX && long < REST_MAX * 10);
        let mut rest = Rest::default();
        rest.after(Instant::now() - work);
        rest.taken().await;
        assert!(rest.0.is_none(), "it is taken once");
        rest.taken().await;
    }
}
