//! The batch loop: drain what is ready, one transaction, store the offsets.
//!
//! Infrastructure that is away is waited for, for as long as it takes. A record that cannot be
//! handled stops its partition loudly and costs nothing else; it is never skipped.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Conditions;
use super::arrive::{Arrivals, Arrived, Record};
use super::assign::Partition;
use super::poll::Link;
use super::reaction::{Failure, Room};
use super::view::Begin;
use crate::core::Core;
use crate::{Fault, fail};

/// How often the loop looks at its own state when no record comes.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Handles batch after batch.
pub(crate) struct Loop {
    core: Arc<Core>,
    room: Arc<dyn Room>,
    link: Link,
    conditions: Conditions,
    arrivals: Arrivals,
    /// Partitions of a view whose start is settled.
    begun: HashSet<(Partition, u64)>,
    /// Partitions that stopped at a record.
    stopped: HashMap<Partition, Stopped>,
}

/// Where a partition stopped, and why.
struct Stopped {
    generation: u64,
    offset: i64,
    reason: String,
}

impl Loop {
    pub(crate) fn new(
        core: Arc<Core>,
        room: Arc<dyn Room>,
        link: Link,
        conditions: Conditions,
    ) -> Self {
        let ids = core.schema_ids.get().cloned().unwrap_or_default();
        let arrivals = Arrivals::new(core.registry.clone(), room.facts(), ids);
        let (begun, stopped) = (HashSet::new(), HashMap::new());
        Self { core, room, link, conditions, arrivals, begun, stopped }
    }

    pub(crate) async fn run(
        mut self,
        mut held: watch::Receiver<bool>,
        stop: CancellationToken,
    ) -> Result<(), Fault> {
        let mut alive = true;
        while alive && !stop.is_cancelled() {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = held.wait_for(|held| !held) => {}
            }
            match self.next(&stop, &mut held).await {
                Some(batch) => self.settle(batch, &stop).await,
                None => alive = false,
            }
        }
        let ended = stop.is_cancelled();
        self.link.close().await;
        match ended {
            true => Ok(()),
            false => Err(Fault::transient("the consumer's polling thread ended")),
        }
    }

    /// One record, and what else is ready; never waits to fill a batch. Empty when it was only
    /// time to look; `None` when the polling thread is gone.
    async fn next(
        &mut self,
        stop: &CancellationToken,
        held: &mut watch::Receiver<bool>,
    ) -> Option<Vec<Record>> {
        let limits = &self.core.config.consume;
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Some(vec![]),
            _ = held.changed() => return Some(vec![]),
            () = tokio::time::sleep(IDLE_TICK) => None,
            record = self.link.records.recv() => Some(record?),
        };
        let Some(first) = first else { return Some(vec![]) };
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < limits.batch_records_max && bytes < limits.batch_bytes_max {
            let Ok(record) = self.link.records.try_recv() else { break };
            bytes += record.bytes();
            batch.push(record);
        }
        Some(batch)
    }

    /// Handles every record of a batch, as one transaction when all goes well.
    async fn settle(&mut self, batch: Vec<Record>, stop: &CancellationToken) {
        self.forget_revoked();
        let mut parts = VecDeque::from([batch]);
        let mut attempt = 0;
        while let Some(mut part) = parts.pop_front() {
            part.retain(|record| self.is_ours(record));
            if part.is_empty() || stop.is_cancelled() {
                continue;
            }
            match self.attempt(&part).await {
                Ok(()) => attempt = 0,
                Err(Failure::Transient(fault)) => {
                    parts.push_front(part);
                    self.wait(&fault, attempt, stop).await;
                    attempt += 1;
                }
                Err(Failure::Record(index, fault)) => {
                    self.stop_at(&part[index], &fault);
                    parts.push_front(part);
                }
                // Alone it is tried once more: two transactions may have run into each other.
                Err(Failure::Batch(_)) if part.len() == 1 && attempt == 0 => {
                    parts.push_front(part);
                    attempt = 1;
                }
                Err(Failure::Batch(fault)) if part.len() == 1 => {
                    self.stop_at(&part[0], &fault);
                    attempt = 0;
                }
                Err(Failure::Batch(_)) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push_front(second);
                    parts.push_front(part);
                }
            }
        }
    }

    /// One transaction. What a partition has after the first record that cannot be handled is not
    /// touched: the caller stops the partition there and tries the others again.
    async fn attempt(&mut self, part: &[Record]) -> Result<(), Failure> {
        let assignment = self.link.assignment.clone();
        let _busy = assignment.busy();
        let began = std::time::Instant::now();
        self.begin_partitions(part).await?;
        let mut arrived: Vec<Arrived> = Vec::with_capacity(part.len());
        let mut places = Vec::with_capacity(part.len());
        for (index, record) in part.iter().enumerate() {
            match self.arrivals.arrive(record).await {
                Ok(Some(fact)) => {
                    arrived.push(fact);
                    places.push(index);
                }
                Ok(None) => self.core.metrics.skipped_unknown(record.position.topic, 1),
                Err(fault @ Fault::Transient(_)) => return Err(Failure::Transient(fault)),
                Err(fault) => return Err(Failure::Record(index, fault)),
            }
        }
        if !arrived.is_empty() {
            let handled = self.room.handle(&self.core, &arrived).await;
            handled.map_err(|failure| match failure {
                Failure::Record(index, fault) => Failure::Record(places[index], fault),
                other => other,
            })?;
            self.count(&arrived, began.elapsed());
        }
        self.link.store_offsets(next_offsets(part));
        fail::point("consume.after_store");
        self.conditions.handling.ok();
        self.core.metrics.paused(false);
        self.note_lag(part);
        Ok(())
    }

    /// Settles for a view where each newly assigned partition begins. The broker is asked only
    /// about partitions that begin before the position stored beside the rows.
    async fn begin_partitions(&mut self, part: &[Record]) -> Result<(), Failure> {
        let mut first: BTreeMap<Partition, &Record> = BTreeMap::new();
        for record in part.iter().filter(|_| self.room.is_view()) {
            if !self.begun.contains(&(partition(record), record.generation)) {
                first.entry(partition(record)).or_insert(record);
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let stored = self.room.stored(&self.core, first.keys().copied().collect()).await?;
        let behind = |(partition, record): &(&Partition, &&Record)| {
            stored.get(*partition).is_some_and(|stored| *stored > record.position.offset)
        };
        let behind: Vec<Partition> =
            first.iter().filter(behind).map(|(partition, _)| *partition).collect();
        let bounds = match behind.is_empty() {
            true => vec![],
            false => self.link.bounds(behind.clone()).await?,
        };
        for ((topic, partition), bounds) in behind.into_iter().zip(bounds) {
            let first = first[&(topic, partition)].position.offset;
            let begin = Begin { topic, partition, first, bounds };
            self.room.begin_partition(&self.core, &begin).await?;
        }
        self.begun.extend(first.iter().map(|(partition, record)| (*partition, record.generation)));
        Ok(())
    }

    /// Full jitter under a growing cap: a crowd that lost its database does not return as one.
    async fn wait(&self, fault: &Fault, attempt: u32, stop: &CancellationToken) {
        let limits = &self.core.config.consume;
        let cap = limits.retry_base.saturating_mul(1 << attempt.min(16)).min(limits.retry_max);
        let pause = cap.mul_f64(rand::rng().random_range(0.0..=1.0));
        tracing::warn!(service = self.core.service, error = %fault, attempt, "batch will be retried");
        self.conditions.handling.not(format!("retrying a batch: {fault}"));
        self.core.metrics.paused(true);
        self.core.metrics.retried("transient");
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn stop_at(&mut self, record: &Record, fault: &Fault) {
        let at = &record.position;
        let (topic, partition, offset) = (at.topic, at.partition, at.offset);
        let service = self.core.service;
        tracing::error!(
            service, topic, partition, offset, reason = %fault,
            "partition stopped: this record cannot be handled and is not skipped"
        );
        self.link.stop((topic, partition));
        self.core.metrics.partition_stopped(topic, partition, true);
        let reason = format!("{topic}/{partition} stopped at offset {offset}: {fault}");
        let stopped = Stopped { generation: record.generation, offset, reason };
        self.stopped.insert((topic, partition), stopped);
        self.tell_stopped();
    }

    /// A stopped partition that went to another member is no longer ours to report.
    fn forget_revoked(&mut self) {
        let assignment = &self.link.assignment;
        let ours = |partition: Partition, generation: u64| {
            assignment.generation(partition) == Some(generation)
        };
        self.begun.retain(|(partition, generation)| ours(*partition, *generation));
        let before = self.stopped.len();
        let metrics = &self.core.metrics;
        self.stopped.retain(|partition, stopped| {
            let stays = ours(*partition, stopped.generation);
            if !stays {
                metrics.partition_stopped(partition.0, partition.1, false);
            }
            stays
        });
        if self.stopped.len() != before {
            self.tell_stopped();
        }
    }

    fn tell_stopped(&self) {
        let reasons: Vec<&str> =
            self.stopped.values().map(|stopped| stopped.reason.as_str()).collect();
        match reasons.is_empty() {
            true => self.conditions.partitions.ok(),
            false => self.conditions.partitions.not(reasons.join("; ")),
        }
    }

    /// Of a stopped partition only what comes before the record it stopped at.
    fn is_ours(&self, record: &Record) -> bool {
        let partition = partition(record);
        let stopped = self.stopped.get(&partition);
        stopped.is_none_or(|stopped| record.position.offset < stopped.offset)
            && self.link.assignment.generation(partition) == Some(record.generation)
    }

    fn count(&self, arrived: &[Arrived], took: Duration) {
        let mut counts: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
        for fact in arrived {
            *counts.entry((fact.position.topic, fact.name)).or_default() += 1;
        }
        let metrics = &self.core.metrics;
        metrics.batch(arrived.len(), took);
        for ((topic, name), count) in counts {
            metrics.consumed(topic, name, count);
            metrics.processed(topic, name, took, None);
        }
    }

    fn note_lag(&self, part: &[Record]) {
        let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        for record in part {
            if let Some(written) = record.timestamp_ms {
                let seconds = (now - i128::from(written)).max(0) as f64 / 1000.0;
                let at = &record.position;
                self.core.metrics.time_lag(at.topic, at.partition, seconds);
            }
        }
    }
}

fn partition(record: &Record) -> Partition {
    (record.position.topic, record.position.partition)
}

/// The offset after the last record of each partition.
fn next_offsets(part: &[Record]) -> BTreeMap<Partition, i64> {
    part.iter().map(|record| (partition(record), record.position.offset + 1)).collect()
}
