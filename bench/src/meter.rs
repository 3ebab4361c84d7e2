//! Processor time: of this process, and of PostgreSQL with all that descends from it. Processes are
//! told apart by their ids, so that one that ends takes nothing back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::rounds::Sample;

/// A moment, and what was used until then.
pub(crate) struct Meter {
    postmaster: Option<u32>,
    at: Instant,
    own: Duration,
    postgres: BTreeMap<u32, Duration>,
}

impl Meter {
    /// Begins now. Of a PostgreSQL elsewhere nothing is known.
    pub(crate) fn begin(postmaster: Option<u32>) -> Self {
        let postgres = postmaster.map(used).unwrap_or_default();
        Self { postmaster, at: Instant::now(), own: own(), postgres }
    }

    /// What was used since then for each of so many pieces of work.
    pub(crate) fn end(&self, pieces: f64) -> Sample {
        let (elapsed, own) = (self.at.elapsed(), own() - self.own);
        let now = self.postmaster.map(used).unwrap_or_default();
        let since = |(process, used): (&u32, &Duration)| {
            used.saturating_sub(self.postgres.get(process).copied().unwrap_or_default())
        };
        let postgres: Duration = now.iter().map(since).sum();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / pieces;
        Sample {
            rate: pieces / elapsed.as_secs_f64(),
            own_us: each(own),
            postgres_us: each(postgres),
        }
    }
}

/// Of all threads of this process, also of those that have ended.
fn own() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Of each process that descends from one, in nanoseconds as the scheduler counts them.
fn used(root: u32) -> BTreeMap<u32, Duration> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: BTreeMap<u32, u32> = ids.filter_map(|id| Some((id, parent(id)?))).collect();
    let mut ours = BTreeSet::from([root]);
    // A child never has a child that was there before it, but ids wrap.
    while let Some(more) = parents
        .iter()
        .filter(|(id, parent)| ours.contains(parent) && !ours.contains(id))
        .map(|(id, _)| *id)
        .next()
    {
        ours.insert(more);
    }
    ours.into_iter().filter_map(|id| Some((id, scheduled(id)?))).collect()
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn scheduled(id: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_for_who_does_it() {
        let meter = Meter::begin(Some(std::process::id()));
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < Duration::from_millis(200) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let sample = meter.end(10.0);
        // This process stands for PostgreSQL here, but only by its first thread.
        assert!(sample.own_us > 1_000.0 && sample.own_us < 100_000.0, "{sample:?}");
        assert!(sample.rate < 50.0 && sample.postgres_us < sample.own_us, "{sample:?}");
    }
}
