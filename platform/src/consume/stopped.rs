//! Partitions that stopped at a record which can be neither handled nor parked. Loudly, and tried
//! again: somebody may have made room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arrive::Record;
use super::assign::Partition;
use super::poll::Link;
use crate::Condition;
use crate::core::Core;

/// A partition that stopped is tried again this often.
const STOPPED_FOR: Duration = Duration::from_secs(5);

/// The partitions that stopped.
pub(super) struct Stops {
    core: Arc<Core>,
    condition: Condition,
    stopped: HashMap<Partition, Stopped>,
}

/// Where a partition stopped, and why.
struct Stopped {
    generation: u64,
    offset: i64,
    reason: String,
    since: Instant,
}

impl Stops {
    pub(super) fn new(core: Arc<Core>, condition: Condition) -> Self {
        Self { core, condition, stopped: HashMap::new() }
    }

    /// The offset at which a partition stopped.
    pub(super) fn at(&self, partition: Partition) -> Option<i64> {
        self.stopped.get(&partition).map(|stopped| stopped.offset)
    }

    /// Stops a partition at a record.
    pub(super) fn stop(&mut self, link: &Link, record: &Record, why: &str) {
        let at = &record.position;
        let (topic, partition, offset) = (at.topic, at.partition, at.offset);
        let service = self.core.service;
        tracing::error!(
            service,
            topic,
            partition,
            offset,
            reason = why,
            "partition stopped: this record can be neither handled nor parked"
        );
        link.stop((topic, partition));
        self.core.metrics.partition_stopped(topic, partition, true);
        let reason = format!("{topic}/{partition} stopped at offset {offset}: {why}");
        let (generation, since) = (record.generation, Instant::now());
        let stopped = Stopped { generation, offset, reason, since };
        self.stopped.insert((topic, partition), stopped);
        self.tell();
    }

    /// Partitions that went to another member are no longer ours to report.
    pub(super) fn keep(&mut self, ours: impl Fn(Partition, u64) -> bool) {
        let gone = |(partition, stopped): (&Partition, &Stopped)| {
            (!ours(*partition, stopped.generation)).then_some(*partition)
        };
        let gone: Vec<Partition> = self.stopped.iter().filter_map(gone).collect();
        gone.into_iter().for_each(|partition| self.forget(partition));
    }

    /// A partition goes on, here or elsewhere.
    pub(super) fn forget(&mut self, partition: Partition) {
        if self.stopped.remove(&partition).is_some() {
            self.core.metrics.partition_stopped(partition.0, partition.1, false);
            self.tell();
        }
    }

    /// Those that stopped long enough ago begin again where they stopped; while there is still no
    /// room they stop again.
    pub(super) async fn restart(&mut self, link: &Link) {
        let due: Vec<(Partition, i64)> = self
            .stopped
            .iter()
            .filter(|(_, stopped)| stopped.since.elapsed() >= STOPPED_FOR)
            .map(|(partition, stopped)| (*partition, stopped.offset))
            .collect();
        for (partition, offset) in due {
            match link.restart(partition, offset).await {
                Ok(()) => self.forget(partition),
                Err(fault) => {
                    let service = self.core.service;
                    tracing::warn!(service, error = %fault, "partition not restarted");
                }
            }
        }
    }

    fn tell(&self) {
        let reasons: Vec<&str> =
            self.stopped.values().map(|stopped| stopped.reason.as_str()).collect();
        match reasons.is_empty() {
            true => self.condition.ok(),
            false => self.condition.not(reasons.join("; ")),
        }
    }
}
