//! Processor time: of this process, and of PostgreSQL's and the broker's with all that descends from
//! them, part by part. Threads are told apart by their ids, so that one that ends takes nothing back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use harness::{Ground, Part};
use rustix::time::{ClockId, clock_gettime};

use crate::rounds::Sample;

/// Whose time is counted beside our own. Of what runs elsewhere nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// The process that PostgreSQL's others descend from.
    pub(crate) postgres: Option<u32>,
    pub(crate) broker: Option<u32>,
}

impl Beside {
    /// The servers of a ground.
    pub(crate) async fn of(ground: &Ground) -> Self {
        let postgres = ground.process_id(Part::Postgres).await.ok();
        Self { postgres, broker: ground.process_id(Part::Broker).await.ok() }
    }
}

/// A moment, and what was used until then.
pub(crate) struct Meter {
    beside: Beside,
    at: Instant,
    own: Duration,
    threads: BTreeMap<u32, Used>,
}

/// Who used how much.
struct Used {
    whose: Whose,
    part: String,
    time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Postgres,
    Broker,
}

impl Whose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Postgres => "PostgreSQL",
            Self::Broker => "broker",
        }
    }
}

impl Meter {
    /// Begins now.
    pub(crate) fn begin(beside: Beside) -> Self {
        let threads = threads(beside);
        Self { beside, at: Instant::now(), own: own(), threads }
    }

    /// What was used since then for each of so many pieces of work.
    pub(crate) fn end(&self, pieces: f64) -> Sample {
        let (elapsed, own) = (self.at.elapsed(), own() - self.own);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / pieces;
        let mut sample =
            Sample { rate: pieces / elapsed.as_secs_f64(), own_us: each(own), ..Sample::default() };
        for (id, now) in threads(self.beside) {
            let before = self.threads.get(&id).map_or(Duration::ZERO, |used| used.time);
            let us = each(now.time.saturating_sub(before));
            match now.whose {
                Whose::Own => {}
                Whose::Postgres => sample.postgres_us += us,
                Whose::Broker => sample.broker_us += us,
            }
            let part = format!("{} {}", now.whose.as_str(), now.part);
            *sample.parts.entry(part).or_default() += us;
        }
        sample
    }
}

/// Of all threads of this process, also of those that have ended.
fn own() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn threads(beside: Beside) -> BTreeMap<u32, Used> {
    let mut all = of_process(std::process::id(), Whose::Own);
    for process in beside.postgres.into_iter().flat_map(descendants) {
        all.extend(of_process(process, Whose::Postgres));
    }
    for process in beside.broker.into_iter().flat_map(descendants) {
        all.extend(of_process(process, Whose::Broker));
    }
    all
}

fn of_process(process: u32, whose: Whose) -> BTreeMap<u32, Used> {
    let ids = numbers(&format!("/proc/{process}/task"));
    let used = |id: u32| {
        let time = scheduled(&format!("/proc/{process}/task/{id}/schedstat"))?;
        let part = match whose {
            Whose::Postgres => backend(process),
            Whose::Own | Whose::Broker => thread(&format!("/proc/{process}/task/{id}/comm")),
        };
        Some((id, Used { whose, part: part?, time }))
    };
    ids.filter_map(used).collect()
}

/// A process and all that descend from it.
fn descendants(root: u32) -> BTreeSet<u32> {
    let parents: BTreeMap<u32, u32> =
        numbers("/proc").filter_map(|id| Some((id, parent(id)?))).collect();
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
    ours
}

fn numbers(folder: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// In nanoseconds, as the scheduler counts them.
fn scheduled(file: &str) -> Option<Duration> {
    let text = fs::read_to_string(file).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The name of a thread, without what tells it from others of its kind.
fn thread(file: &str) -> Option<String> {
    let name = fs::read_to_string(file).ok()?;
    Some(name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || "-#".contains(c)).to_owned())
}

/// What a process of PostgreSQL is for, as its title says.
fn backend(process: u32) -> Option<String> {
    let title = fs::read_to_string(format!("/proc/{process}/cmdline")).ok()?;
    let title = title.trim_end_matches(['\0', ' ']);
    Some(match title.strip_prefix("postgres: ") {
        Some(whom) if whom.contains('(') => "sessions".to_owned(),
        Some(helper) if helper.contains(" worker") => "workers".to_owned(),
        Some(duty) => duty.to_owned(),
        None => "server".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_for_who_does_it() {
        let meter = Meter::begin(Beside::default());
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < Duration::from_millis(200) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let sample = meter.end(10.0);
        assert!(sample.own_us > 1_000.0 && sample.own_us < 100_000.0, "{sample:?}");
        assert_eq!((sample.postgres_us, sample.broker_us), (0.0, 0.0));
        let parts: f64 = sample.parts.values().sum();
        assert!(parts > 1_000.0, "a thread of this process did it: {sample:?}");
        assert!(sample.parts.keys().all(|part| part.starts_with("own ")), "{sample:?}");
    }

    #[test]
    fn what_descends_from_a_process_is_counted_with_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let ours = descendants(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ours.contains(&child.id()) && ours.contains(&std::process::id()), "{ours:?}");
    }
}
