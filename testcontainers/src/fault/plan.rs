//! A plan: which fault comes when, and for how long. It follows from a seed, is shown as text and
//! read back, and never breaks what it needs in order to heal: of two steps at the same time none
//! breaks what the other breaks or needs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::{Class, Fault, Field, Menu, Outcome, ParseError, text};

/// Between the beginnings of two faults: five seconds in the mean.
const INTERVAL_MS: std::ops::Range<u64> = 2_000..8_000;
const FIRST_MS: std::ops::Range<u64> = 500..3_000;
/// After its time a fault takes as long as this to heal, and holds others off.
const SLACK: Duration = Duration::from_secs(3);
/// When nothing fits at a moment, the plan goes on to the next.
const TRIES: usize = 30;

/// A fault and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// After the beginning of the run, in whole milliseconds.
    pub at: Duration,
    /// From its injection to its healing, in whole milliseconds.
    pub lasts: Duration,
    /// What happens.
    pub fault: Fault,
}

/// A schedule of faults, all of them healed at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it follows from.
    pub seed: u64,
    /// How long it is.
    pub length: Duration,
    /// In the order of their beginnings.
    pub steps: Vec<Step>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Injected and healed.
    Done,
    /// Not tried: this ground or machine cannot show it.
    NotHere(String),
    /// A promise was broken at once.
    Wrong(String),
    /// The kit could not inject or heal it.
    Failed(String),
    /// The run was stopped before.
    NotReached,
}

/// A step, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What was to be done.
    pub step: Step,
    /// What became of it.
    pub fate: Fate,
    /// From the moment when it was to be healed until it was.
    pub healing: Duration,
}

impl Plan {
    /// The plan of this length that follows from a seed and from what there is to break. The same
    /// seed gives the same plan.
    pub fn random(seed: u64, length: Duration, menu: &Menu) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut steps: Vec<Step> = vec![];
        let mut at = Duration::from_millis(dice.random_range(FIRST_MS));
        while at < length {
            let fitting = (0..TRIES).find_map(|_| {
                let fault = menu.pick(&mut dice)?.clone();
                let (shortest, longest) = fault.stay();
                let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                let lasts = dice.random_range(ms(shortest)..=ms(longest));
                let step = Step { at, lasts: Duration::from_millis(lasts), fault };
                let free = step.end() <= length && !steps.iter().any(|other| step.conflicts(other));
                free.then_some(step)
            });
            steps.extend(fitting);
            at += Duration::from_millis(dice.random_range(INTERVAL_MS));
        }
        Self { seed, length, steps }
    }

    /// Lets everything happen at its time, and tells what became of each step once all of it is
    /// healed. When it is stopped, it heals at once.
    pub async fn run(&self, field: &Field, stop: &CancellationToken) -> Vec<Told> {
        let begin = Instant::now();
        join_all(self.steps.iter().map(|step| step.run(field, begin, stop))).await
    }

    /// How many steps of each class it has.
    pub fn classes(&self) -> BTreeMap<Class, usize> {
        let mut classes = BTreeMap::new();
        for step in &self.steps {
            *classes.entry(step.fault.class()).or_default() += 1;
        }
        classes
    }
}

impl Step {
    fn end(&self) -> Duration {
        self.at + self.lasts
    }

    async fn run(&self, field: &Field, begin: Instant, stop: &CancellationToken) -> Told {
        let told = |fate, healing| Told { step: self.clone(), fate, healing };
        if until(begin + self.at, stop).await {
            return told(Fate::NotReached, Duration::ZERO);
        }
        tracing::info!(fault = %self.fault, "injected");
        let fate = match self.fault.inject(field).await {
            Ok(Outcome::NotHere(why)) => return told(Fate::NotHere(why), Duration::ZERO),
            Ok(Outcome::Injected) => Fate::Done,
            Ok(Outcome::Wrong(what)) => Fate::Wrong(what),
            Err(error) => Fate::Failed(format!("injecting: {error:#}")),
        };
        until(Instant::now() + self.lasts, stop).await;
        let healing = Instant::now();
        let healed = self.fault.heal(field).await;
        tracing::info!(fault = %self.fault, "healed");
        let fate = match healed {
            Ok(()) => fate,
            Err(error) => Fate::Failed(format!("healing: {error:#}")),
        };
        told(fate, healing.elapsed())
    }

    /// Whether the two are there at the same time and one breaks what the other breaks or needs.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let apart = |a: &Self, b: &Self| a.end() + SLACK < b.at;
        if apart(self, other) || apart(other, self) {
            return false;
        }
        let (ours, theirs) = (self.fault.breaks(), other.fault.breaks());
        let (we, they) = (self.fault.needs(), other.fault.needs());
        let meet = |some: &[String], others: &[String]| {
            some.iter().any(|a| others.iter().any(|b| within(a, b) || within(b, a)))
        };
        meet(&ours, &theirs) || meet(&ours, &they) || meet(&theirs, &we)
    }
}

/// Waits for a moment; whether the stop came first.
async fn until(moment: Instant, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep_until(moment.into()) => false,
    }
}

/// Whether a path is another one or lies below it.
fn within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan seed {} length {}", self.seed, text::show(self.length))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (text::show(self.at), text::show(self.lasts));
        write!(f, "at {at} for {lasts}: {}", self.fault)
    }
}

impl FromStr for Plan {
    type Err = ParseError;

    /// Empty lines and those that begin with `#` are passed over.
    fn from_str(whole: &str) -> Result<Self, ParseError> {
        let mut lines =
            whole.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let head = lines.next().unwrap_or_default();
        let wrong = || ParseError::new(head, "a head, like `plan seed 7 length 60s`");
        let ["plan", "seed", seed, "length", length] = text::words(head)? else {
            return Err(wrong());
        };
        let (seed, length) = (seed.parse().map_err(|_| wrong())?, text::duration(length)?);
        let mut steps = lines.map(str::parse).collect::<Result<Vec<Step>, _>>()?;
        steps.sort_by_key(|step| step.at);
        Ok(Self { seed, length, steps })
    }
}

impl FromStr for Step {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new(line, "a step, like `at 2s for 500ms: process kill a/1`");
        let (when, fault) = line.split_once(": ").ok_or_else(wrong)?;
        let ["at", at, "for", lasts] = text::words(when)? else { return Err(wrong()) };
        let (at, lasts) = (text::duration(at)?, text::duration(lasts)?);
        Ok(Self { at, lasts, fault: fault.parse()? })
    }
}
