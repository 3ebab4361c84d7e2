//! When to leave a partner alone: closed, open, half open. A state machine that is told the time and
//! never waits, and the breakers of one service by partner.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a breaker opens and how it closes again.
#[derive(Debug, Clone, Copy)]
pub struct BreakerPolicy {
    /// The latest calls that are looked at.
    pub window: usize,
    /// Fewer calls than this say nothing.
    pub calls_min: usize,
    /// It opens when this share of them failed, above 0 and at most 1.
    pub failure_share: f64,
    /// Nothing is called for this long after it opened.
    pub open_for: Duration,
    /// Half open, so many calls are let through; it closes when so many succeeded.
    pub probes: usize,
}

impl BreakerPolicy {
    /// Half of at least 5 of the last 20 calls; looks again after 5 s with 2 calls.
    pub const DEFAULT: Self = Self {
        window: 20,
        calls_min: 5,
        failure_share: 0.5,
        open_for: Duration::from_secs(5),
        probes: 2,
    };
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Closed,
    HalfOpen,
    Open,
}

impl Stand {
    /// Its name in metrics and status.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }

    /// Its number in metrics.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Leave to call so often; every call of it is recorded or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave {
    pub(crate) calls: usize,
    /// The life of the state it was given in: what a call says of an earlier one is old news.
    life: u64,
}

/// One breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: State,
    life: u64,
}

#[derive(Debug)]
enum State {
    /// The latest outcomes, `true` for a success.
    Closed(VecDeque<bool>),
    Open(Instant),
    HalfOpen {
        out: usize,
        good: usize,
    },
}

impl Breaker {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed(VecDeque::new()), life: 0 }
    }

    pub(crate) fn stand(&self) -> Stand {
        match self.state {
            State::Closed(_) => Stand::Closed,
            State::HalfOpen { .. } => Stand::HalfOpen,
            State::Open(_) => Stand::Open,
        }
    }

    /// How many of so many calls may begin now.
    pub(crate) fn leave(&mut self, now: Instant, wanted: usize) -> Leave {
        if matches!(self.state, State::Open(since) if now.duration_since(since) >= self.policy.open_for)
        {
            self.enter(State::HalfOpen { out: 0, good: 0 });
        }
        let calls = match &mut self.state {
            State::Closed(_) => wanted,
            State::Open(_) => 0,
            State::HalfOpen { out, good } => {
                let calls = wanted.min(self.policy.probes.saturating_sub(*out + *good));
                *out += calls;
                calls
            }
        };
        Leave { calls, life: self.life }
    }

    /// Calls that were not made after all.
    pub(crate) fn give_back(&mut self, leave: Leave, calls: usize) {
        if let (State::HalfOpen { out, .. }, true) = (&mut self.state, leave.life == self.life) {
            *out = out.saturating_sub(calls);
        }
    }

    /// A call of this leave has ended.
    pub(crate) fn record(&mut self, now: Instant, leave: Leave, success: bool) {
        if leave.life != self.life {
            return;
        }
        let policy = self.policy;
        match &mut self.state {
            State::Closed(latest) => {
                latest.push_back(success);
                if latest.len() > policy.window {
                    latest.pop_front();
                }
                let failures = latest.iter().filter(|success| !**success).count();
                let share = failures as f64 / latest.len() as f64;
                if latest.len() >= policy.calls_min && share >= policy.failure_share {
                    self.enter(State::Open(now));
                }
            }
            State::Open(_) => {}
            State::HalfOpen { .. } if !success => self.enter(State::Open(now)),
            State::HalfOpen { out, good } => {
                (*out, *good) = (out.saturating_sub(1), *good + 1);
                if *good >= policy.probes {
                    self.enter(State::Closed(VecDeque::new()));
                }
            }
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.life += 1;
    }
}

/// The breakers of a service by partner; whatever is asked of one partner shares its breaker.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<BTreeMap<&'static str, Breaker>>);

impl Breakers {
    /// One closed breaker for each partner.
    pub(crate) fn new(partners: impl Iterator<Item = (&'static str, BreakerPolicy)>) -> Self {
        let breaker = |(partner, policy)| (partner, Breaker::new(policy));
        Self(Mutex::new(partners.map(breaker).collect()))
    }

    /// `closed`, `half_open` or `open` for each partner.
    pub(crate) fn states(&self) -> BTreeMap<&'static str, &'static str> {
        let states = self.all();
        states.iter().map(|(partner, breaker)| (*partner, breaker.stand().as_str())).collect()
    }

    /// Works on one breaker and says where it stood before and stands after.
    pub(crate) fn with<T>(
        &self,
        partner: &str,
        work: impl FnOnce(&mut Breaker) -> T,
    ) -> Option<(T, Stand, Stand)> {
        let mut all = self.all();
        let breaker = all.get_mut(partner)?;
        let before = breaker.stand();
        let done = work(breaker);
        Some((done, before, breaker.stand()))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        window: 4,
        calls_min: 3,
        failure_share: 0.5,
        open_for: Duration::from_secs(5),
        probes: 2,
    };

    /// What happens at a second, and where the breaker stands afterwards.
    enum Step {
        /// A call is let through and ends so.
        Call(bool),
        /// Nothing is let through.
        Refused,
        /// So many of ten are let through, and none ends.
        Take(usize),
        /// A call that was let through at the step of this number ends so.
        Late(usize, bool),
    }
    use Stand::{Closed, HalfOpen, Open};
    use Step::{Call, Late, Refused, Take};

    fn follow(steps: &[(u64, Step, Stand)]) {
        let start = Instant::now();
        let mut breaker = Breaker::new(POLICY);
        let mut leaves = vec![];
        for (n, (second, step, wanted)) in steps.iter().enumerate() {
            let now = start + Duration::from_secs(*second);
            let given = match step {
                Call(success) => {
                    let leave = breaker.leave(now, 1);
                    assert_eq!(leave.calls, 1, "step {n}");
                    breaker.record(now, leave, *success);
                    leave
                }
                Refused => breaker.leave(now, 10),
                Take(calls) => {
                    let leave = breaker.leave(now, 10);
                    assert_eq!(leave.calls, *calls, "step {n}");
                    leave
                }
                Late(step, success) => {
                    let leave: Leave = leaves[*step];
                    breaker.record(now, leave, *success);
                    leave
                }
            };
            assert!(!matches!(step, Refused) || given.calls == 0, "step {n}");
            leaves.push(given);
            assert_eq!(breaker.stand(), *wanted, "step {n}");
        }
    }

    #[test]
    fn it_opens_by_the_share_of_failures_among_enough_calls() {
        follow(&[(0, Call(false), Closed), (0, Call(false), Closed), (0, Call(true), Open)]);
        follow(&[
            (0, Call(false), Closed),
            (0, Call(true), Closed),
            (0, Call(true), Closed),
            (0, Call(true), Closed),
            // The first failure has left the window: one of four is not half.
            (0, Call(false), Closed),
            (0, Call(false), Open),
        ]);
    }

    #[test]
    fn open_it_lets_nothing_through_until_its_time_is_over() {
        follow(&[
            (0, Call(false), Closed),
            (0, Call(false), Closed),
            (1, Call(false), Open),
            (1, Refused, Open),
            (5, Refused, Open),
            (6, Take(2), HalfOpen),
            (6, Refused, HalfOpen),
        ]);
    }

    #[test]
    fn half_open_it_closes_after_enough_successes_and_opens_at_the_first_failure() {
        let open = || [(0, Call(false), Closed), (0, Call(false), Closed), (0, Call(false), Open)];
        let [a, b, c] = open();
        follow(&[
            a,
            b,
            c,
            (5, Call(true), HalfOpen),
            (5, Call(true), Closed),
            (5, Take(10), Closed),
        ]);
        let [a, b, c] = open();
        follow(&[
            a,
            b,
            c,
            (5, Call(true), HalfOpen),
            (6, Call(false), Open),
            (10, Refused, Open),
            (11, Take(2), HalfOpen),
        ]);
    }

    #[test]
    fn what_a_call_of_an_earlier_life_says_is_old_news() {
        follow(&[
            (0, Take(10), Closed),
            (0, Call(false), Closed),
            (0, Call(false), Closed),
            (0, Call(false), Open),
            (0, Late(0, true), Open),
            (5, Take(2), HalfOpen),
            (5, Late(0, true), HalfOpen),
            (5, Late(0, false), HalfOpen),
            (5, Late(5, true), HalfOpen),
            (5, Late(5, true), Closed),
        ]);
    }

    #[test]
    fn a_probe_that_was_not_made_can_be_made_later() {
        let now = Instant::now();
        let mut breaker = Breaker::new(POLICY);
        breaker.enter(State::Open(now));
        let later = now + POLICY.open_for;
        let leave = breaker.leave(later, 10);
        assert_eq!((leave.calls, breaker.leave(later, 10).calls), (2, 0));
        breaker.give_back(leave, 2);
        assert_eq!(breaker.leave(later, 10).calls, 2);
    }

    #[test]
    fn partners_have_breakers_of_their_own() {
        let all = [("bank", POLICY), ("mail", POLICY)];
        let breakers = Breakers::new(all.into_iter());
        let now = Instant::now();
        for _ in 0..3 {
            breakers.with("bank", |breaker| {
                let leave = breaker.leave(now, 1);
                breaker.record(now, leave, false);
            });
        }
        let states: Vec<_> = breakers.states().into_iter().collect();
        assert_eq!(states, [("bank", "open"), ("mail", "closed")]);
        assert!(breakers.with("nobody", |_| ()).is_none());
    }
}
