//! The numbers of what is asked outside. The names of partners and asks are constants of the code,
//! so that the number of series is bounded.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::breaker::Stand;

const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The metrics of a service's asks and breakers.
pub(crate) struct AskMetrics {
    state: Family<Dependency, Gauge>,
    transitions: Family<Transition, Counter>,
    pending: Family<Asked, Gauge>,
    oldest: Family<Asked, Gauge<f64, AtomicU64>>,
    calls: Family<Call, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Dependency {
    dependency: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Transition {
    dependency: &'static str,
    to: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    ask: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    ask: &'static str,
    outcome: &'static str,
}

impl AskMetrics {
    /// Metrics of a registry.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            state: Family::default(),
            transitions: Family::default(),
            pending: Family::default(),
            oldest: Family::default(),
            calls: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        let state = "0 closed, 1 half open, 2 open";
        registry.register("circuit_breaker_state", state, new.state.clone());
        let transitions = "States that breakers have entered";
        registry.register("circuit_breaker_transitions", transitions, new.transitions.clone());
        registry.register("asks_pending", "Asks without an answer", new.pending.clone());
        let oldest = "Age of the oldest ask without an answer";
        registry.register("asks_oldest_pending_seconds", oldest, new.oldest.clone());
        registry.register("ask_duration_seconds", "Time of a call outside", new.calls.clone());
        new
    }

    /// Where a breaker stands.
    pub(crate) fn breaker(&self, dependency: &'static str, stand: Stand) {
        self.state.get_or_create(&Dependency { dependency }).set(stand.number());
    }

    /// A breaker has entered another state.
    pub(crate) fn turned(&self, dependency: &'static str, to: Stand) {
        self.breaker(dependency, to);
        self.transitions.get_or_create(&Transition { dependency, to: to.as_str() }).inc();
    }

    /// Asks of one name without an answer, and the age of the oldest.
    pub(crate) fn pending(&self, ask: &'static str, count: i64, oldest_seconds: f64) {
        self.pending.get_or_create(&Asked { ask }).set(count);
        self.oldest.get_or_create(&Asked { ask }).set(oldest_seconds);
    }

    /// One call: `answered`, `pending`, `refused` or `away`.
    pub(crate) fn called(&self, ask: &'static str, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&Call { ask, outcome }).observe(took.as_secs_f64());
    }
}
