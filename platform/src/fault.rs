//! What can go wrong while a fact is handled: one variant for each reaction of the platform.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The cause of a fault.
pub type Source = Box<dyn Error + Send + Sync>;

/// Why a transaction could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database, the registry or the broker is away: retried for as long as it takes.
    #[error("{0}")]
    Transient(#[source] Source),
    /// The data cannot be handled, now or later.
    #[error("{0}")]
    Poison(#[source] Poison),
}

/// The data of one record cannot be handled. Rows must be as they were before the decision.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}")]
pub struct Poison {
    code: Cow<'static, str>,
    worth_another_attempt: bool,
    source: Arc<dyn Error + Send + Sync>,
}

/// How often a record that fails is tried before it becomes a dead letter, and how long the pauses
/// are. While it waits, only what comes after it for the same key waits with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPolicy {
    /// Attempts in all, the first one included.
    attempts: u32,
    base: Duration,
    max: Duration,
    poison: &'static [&'static str],
}

impl Fault {
    /// A transient fault with a plain text as its cause.
    pub fn transient(cause: impl Into<Source>) -> Self {
        Self::Transient(cause.into())
    }

    /// A fault of the data with a plain text as its cause.
    pub fn poison(cause: impl Into<Source>) -> Self {
        Self::Poison(Poison::coded("data", cause))
    }

    /// Whether the same work may succeed when it is done again.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}

impl Poison {
    /// The same facts over the same rows would be refused again: a dead letter at once.
    pub fn new(cause: impl Into<Source>) -> Self {
        Self::coded("decision", cause)
    }

    /// As [`Poison::new`], told apart from other causes by a short code: the `error_type` of
    /// metrics and dead letters, so never made of data.
    pub fn coded(code: &'static str, cause: impl Into<Source>) -> Self {
        Self { code: code.into(), worth_another_attempt: false, source: cause.into().into() }
    }

    /// Something it needs may come meanwhile: it is tried again as its reaction's policy says.
    pub fn again(mut self) -> Self {
        self.worth_another_attempt = true;
        self
    }

    /// The code it is told apart by.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What went wrong and what led to it, outermost first, one line each.
    pub(crate) fn chain(&self) -> String {
        let mut lines = vec![self.source.to_string()];
        let mut cause = self.source.source();
        while let Some(error) = cause {
            lines.push(error.to_string());
            cause = error.source();
        }
        lines.dedup();
        lines.join("\n")
    }
}

impl Default for FaultPolicy {
    /// Three attempts within half a second. Decisions are pure, so what they refuse is not tried
    /// again unless they say so; what the database refused or what panicked is.
    fn default() -> Self {
        Self::attempts(3)
    }
}

impl FaultPolicy {
    /// So many attempts in all, with pauses of up to 100 ms, doubled each time up to 10 s.
    pub const fn attempts(attempts: u32) -> Self {
        let (base, max) = (Duration::from_millis(100), Duration::from_secs(10));
        Self { attempts, base, max, poison: &[] }
    }

    /// Pauses of up to `base`, doubled with each attempt, never over `max`; each is drawn between
    /// nothing and that bound.
    pub const fn backoff(mut self, base: Duration, max: Duration) -> Self {
        (self.base, self.max) = (base, max);
        self
    }

    /// Codes that are never tried again, whatever the fault says.
    pub const fn poison(mut self, codes: &'static [&'static str]) -> Self {
        self.poison = codes;
        self
    }

    /// How long to wait before the next attempt, when `attempts` have failed and the last one with
    /// `poison`; `None` when there is none. `draw` lies between 0 and 1.
    pub(crate) fn pause(&self, poison: &Poison, attempts: u32, draw: f64) -> Option<Duration> {
        let spent = attempts >= self.attempts;
        if spent || !poison.worth_another_attempt || self.poison.contains(&poison.code()) {
            return None;
        }
        let doubled = self.base.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        Some(doubled.min(self.max).mul_f64(draw.clamp(0.0, 1.0)))
    }
}

impl From<Poison> for Fault {
    fn from(poison: Poison) -> Self {
        Self::Poison(poison)
    }
}

impl From<sqlx::Error> for Fault {
    /// Classes 21 (cardinality), 22 (data exception), 23 (constraint violation), 44 (check option)
    /// and 54 (limit exceeded) blame the data; everything else is the database's affair and is
    /// retried. Two transactions may have run into each other: worth another attempt.
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(database) => database.code().map(Cow::into_owned),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_)
            | sqlx::Error::RowNotFound => Some("22000".to_owned()),
            _ => None,
        };
        match code {
            Some(code) if matches!(code.get(..2), Some("21" | "22" | "23" | "44" | "54")) => {
                let code = format!("sql_{code}").into();
                let poison = Poison { code, worth_another_attempt: true, source: Arc::new(error) };
                Self::Poison(poison)
            }
            _ => Self::Transient(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_how_long_to_wait_and_when_to_give_up() {
        let policy = FaultPolicy::attempts(4)
            .backoff(Duration::from_millis(100), Duration::from_millis(300))
            .poison(&["hopeless"]);
        let again = Poison::coded("late", "not there yet").again();
        let pauses: Vec<Option<u128>> = (1..=4)
            .map(|failed| policy.pause(&again, failed, 1.0).map(|pause| pause.as_millis()))
            .collect();
        assert_eq!(pauses, [Some(100), Some(200), Some(300), None]);
        assert_eq!(policy.pause(&again, 1, 0.0), Some(Duration::ZERO), "full jitter");
        assert_eq!(policy.pause(&Poison::new("refused"), 1, 1.0), None);
        assert_eq!(policy.pause(&Poison::coded("hopeless", "x").again(), 1, 1.0), None);
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let outer = Poison::new(Fault::transient("the inner cause"));
        assert_eq!(outer.chain(), "the inner cause");
    }
}
