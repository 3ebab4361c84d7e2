//! The numbers of a replica.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::decode::Tally;

/// What a replica counts.
#[derive(Default)]
pub(crate) struct ReplicaMetrics {
    records: Family<Outcome, Counter>,
    rebuilds: Counter,
    behind: Gauge<f64, AtomicU64>,
    stale: Gauge,
    subscribers: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

impl ReplicaMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let own = Self::default();
        let (rebuilds, behind) = (own.rebuilds.clone(), own.behind.clone());
        registry.register("replica_records", "Records read into the store", own.records.clone());
        registry.register("replica_rebuilds", "Stores thrown away and made anew", rebuilds);
        registry.register("replica_behind_seconds", "Age of what the store is as of", behind);
        registry.register("replica_stale_keys", "Keys not as in the topic", own.stale.clone());
        let subscribers = own.subscribers.clone();
        registry.register("replica_subscribers", "Clients that follow the changes", subscribers);
        own
    }

    pub(super) fn read(&self, tally: &Tally) {
        let outcomes = [
            ("state", tally.states),
            ("erased", tally.erased),
            ("stale", tally.stale),
            ("passed", tally.passed),
        ];
        for (outcome, count) in outcomes {
            self.records.get_or_create(&Outcome { outcome }).inc_by(count);
        }
    }

    pub(super) fn rebuilt(&self) {
        self.rebuilds.inc();
    }

    pub(super) fn behind(&self, seconds: f64, stale_keys: u64) {
        self.behind.set(seconds);
        self.stale.set(i64::try_from(stale_keys).unwrap_or(i64::MAX));
    }

    pub(super) fn subscribers(&self) -> &Gauge {
        &self.subscribers
    }
}
