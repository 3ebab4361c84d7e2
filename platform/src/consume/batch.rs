//! The batch loop: drain what is ready, one transaction, store the offsets.
//!
//! Infrastructure that is away is waited for, for as long as it takes. A record that cannot be
//! handled is parked with its key and costs nothing else; when no more can be parked, its partition
//! stops loudly. Nothing is ever skipped.

mod merge;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::arrive::{Arrivals, Incoming, Record};
use super::assign::Partition;
use super::careful::Careful;
use super::poll::Link;
use super::reaction::{Failure, Room, guarded};
use super::seek::Seeks;
use super::stopped::Stops;
use super::turn::Condemned;
use super::view;
use super::{Conditions, Haste, planted, room, tell};
use crate::control::{Pauses, free};
use crate::core::Core;
use crate::rest::Rest;
use crate::{Fault, Poison, fail};

/// How often the loop looks at its own state when no record comes.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Handles batch after batch.
pub(crate) struct Loop {
    core: Arc<Core>,
    room: Arc<dyn Room>,
    link: Link,
    conditions: Conditions,
    arrivals: Arrivals,
    /// The build of a view that is folded into.
    live: i32,
    /// Partitions of a view whose start is settled.
    begun: HashSet<(Partition, u64)>,
    /// Positions beside the rows from which a partition was read again, because the group was ahead
    /// of them.
    taken_back: HashSet<(Partition, i64)>,
    /// The assignment whose partitions were compared with the rows of a view.
    compared: u64,
    stops: Stops,
    seeks: Seeks,
    /// Where partitions were when an operator began to hold them: what was fetched of them by then
    /// is put aside, and fetched again when he lets them go.
    aside: HashMap<Partition, (u64, i64)>,
    careful: Careful,
    /// Faults found in an attempt that had to be taken back.
    condemned: HashMap<(Partition, i64), Poison>,
    /// Until when the next batch is gathered, if it is not full when it begins.
    rest: Rest,
}

impl Loop {
    pub(crate) fn new(
        core: Arc<Core>,
        room: Arc<dyn Room>,
        link: Link,
        conditions: Conditions,
        live: i32,
    ) -> Self {
        let ids = core.schema_ids.get().cloned().unwrap_or_default();
        let arrivals = Arrivals::new(core.registry.clone(), room.facts(), ids);
        Self {
            stops: Stops::new(core.clone(), conditions.partitions.clone()),
            seeks: Seeks::default(),
            live,
            begun: HashSet::new(),
            taken_back: HashSet::new(),
            compared: 0,
            aside: HashMap::new(),
            careful: Careful::default(),
            condemned: HashMap::new(),
            rest: Rest::default(),
            core,
            room,
            link,
            conditions,
            arrivals,
        }
    }

    pub(crate) async fn run(
        mut self,
        mut held: watch::Receiver<bool>,
        stop: CancellationToken,
    ) -> Result<(), Fault> {
        let mut alive = true;
        let mut pauses = self.core.pauses.subscribe();
        let mut seeks = self.core.seeks.subscribe();
        while alive && !stop.is_cancelled() {
            self.go_where_asked().await;
            if let Err(fault) = self.careful.look_back(&self.core).await {
                tracing::warn!(service = self.core.service, error = %fault, "a beginning is remembered");
            }
            if let Err(fault) = self.compare().await {
                tracing::warn!(service = self.core.service, error = %fault, "rows not compared");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Ok(()) = seeks.changed() => continue,
                () = free(&mut held, &mut pauses) => {}
            }
            let parts = pauses.borrow_and_update().parts.clone();
            self.hold(&parts).await;
            self.stops.restart(&self.link).await;
            match self.next(&stop, &mut held, &mut pauses).await {
                Some(batch) => {
                    let (began, records) = (Instant::now(), batch.len());
                    self.settle(batch, &stop).await;
                    self.rest.after(began, records);
                }
                None => alive = false,
            }
        }
        let ended = stop.is_cancelled();
        self.link.close().await;
        if ended && let Err(fault) = self.careful.end(&self.core).await {
            tracing::warn!(service = self.core.service, error = %fault, "a beginning is remembered");
        }
        match ended {
            true => Ok(()),
            false => Err(Fault::transient("the consumer's polling thread ended")),
        }
    }

    /// Moves what an operator wants elsewhere. What was known of a moved partition is forgotten.
    async fn go_where_asked(&mut self) {
        for partition in self.seeks.obey(&self.core, &self.link).await {
            self.aside.remove(&partition);
            self.stops.forget(partition);
        }
    }

    /// Holds what operators hold, and lets go on what they hold no more.
    async fn hold(&mut self, held: &[(&'static str, Option<i32>)]) {
        self.link.hold(held, |partition| self.aside.contains_key(&partition));
        let assignment = self.link.assignment.clone();
        self.core.progress.keep(|partition| assignment.generation(partition).is_some());
        let aside = |partition: &Partition, (generation, _): &mut (u64, i64)| {
            assignment.generation(*partition) == Some(*generation)
        };
        self.aside.retain(aside);
        let free: Vec<(Partition, i64)> = self
            .aside
            .iter()
            .filter(|(partition, _)| !assignment.rests(**partition))
            .map(|(partition, (_, offset))| (*partition, *offset))
            .collect();
        for (partition, offset) in free {
            match self.link.restart(partition, offset).await {
                Ok(()) => drop(self.aside.remove(&partition)),
                Err(fault) => {
                    tracing::warn!(service = self.core.service, error = %fault, "still held");
                }
            }
        }
    }

    /// Whether a record is put aside, because an operator holds its partition.
    fn put_aside(&mut self, record: &Record) -> bool {
        let partition = partition(record);
        if self.stops.at(partition).is_some() {
            return false;
        }
        let held = self.aside.contains_key(&partition) || self.link.assignment.rests(partition);
        if held && self.link.assignment.generation(partition) == Some(record.generation) {
            let place = (record.generation, record.position.offset);
            self.aside.entry(partition).or_insert(place);
        }
        held
    }

    /// One record, and what else is ready, after a rest. Empty when it was only time to look; `None` when the
    /// polling thread is gone.
    async fn next(
        &mut self,
        stop: &CancellationToken,
        held: &mut watch::Receiver<bool>,
        pauses: &mut watch::Receiver<Pauses>,
    ) -> Option<Vec<Record>> {
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Some(vec![]),
            _ = held.changed() => return Some(vec![]),
            _ = pauses.changed() => return Some(vec![]),
            () = tokio::time::sleep(IDLE_TICK) => None,
            record = self.link.records.recv() => Some(record?),
        };
        let Some(first) = first else { return Some(vec![]) };
        let mut batch = vec![first];
        if self.fill(&mut batch) {
            self.rest.taken().await;
            self.fill(&mut batch);
        }
        match self.room.haste() {
            Haste::Nobody => Some(merge::by_time(batch)),
            Haste::Step | Haste::Readers => Some(batch),
        }
    }

    /// Adds what is ready, and says whether there is place for more.
    fn fill(&mut self, batch: &mut Vec<Record>) -> bool {
        let limits = &self.core.config.consume;
        let mut bytes: usize = batch.iter().map(Record::bytes).sum();
        while batch.len() < limits.batch_records_max && bytes < limits.batch_bytes_max {
            let Some(record) = self.link.records.try_recv() else { return true };
            bytes += record.bytes();
            batch.push(record);
        }
        false
    }

    /// Handles every record of a batch, as one transaction when all goes well.
    async fn settle(&mut self, batch: Vec<Record>, stop: &CancellationToken) {
        self.forget_revoked();
        let mut batch = batch;
        batch.retain(|record| !self.put_aside(record));
        let mut parts = VecDeque::from([batch]);
        let mut attempt = 0;
        while let Some(mut part) = parts.pop_front() {
            if let Err(fault) = self.compare().await {
                parts.push_front(part);
                self.wait(&fault, attempt, stop).await;
                attempt += 1;
                if stop.is_cancelled() {
                    break;
                }
                continue;
            }
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
                Err(Failure::Record(index, poison)) => {
                    self.condemned.insert(place(&part[index]), poison);
                    parts.push_front(part);
                }
                // Alone it is tried once more: two transactions may have run into each other.
                Err(Failure::Batch(_)) if part.len() == 1 && attempt == 0 => {
                    parts.push_front(part);
                    attempt = 1;
                }
                Err(Failure::Batch(poison)) if part.len() == 1 => {
                    self.condemned.insert(place(&part[0]), poison);
                    parts.push_front(part);
                    attempt = 0;
                }
                Err(Failure::Batch(_)) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push_front(second);
                    parts.push_front(part);
                }
                Err(Failure::Apart) => {
                    part.into_iter().rev().for_each(|record| parts.push_front(vec![record]));
                }
                Err(Failure::Full(index, reason)) => {
                    self.stops.stop(&self.link, &part[index], &reason);
                    parts.push_front(part);
                }
            }
        }
        self.condemned.clear();
    }

    /// One transaction. What fails in it is parked in it.
    async fn attempt(&mut self, part: &[Record]) -> Result<(), Failure> {
        let (core, assignment) = (self.core.clone(), self.link.assignment.clone());
        let _busy = (core.courtesy.busy(), assignment.busy());
        let began = Instant::now();
        if self.careful.one_by_one(&self.core, part).await? {
            return Err(Failure::Apart);
        }
        self.begin_partitions(part).await?;
        let mut batch: Vec<Incoming<'_>> = Vec::with_capacity(part.len());
        let mut condemned = Condemned::new();
        for (index, record) in part.iter().enumerate() {
            let (incoming, fault) = self.arrivals.arrive(record, record.payload.as_deref()).await?;
            let known = self.condemned.get(&place(record)).cloned();
            let known = known.or(self.careful.fault(&self.core, record).await?);
            let skipped = self.core.skips.fault(place(record));
            condemned.extend(skipped.or(known).or(fault).map(|poison| (index, poison)));
            batch.push(incoming);
        }
        let counted = tell::counted(&batch);
        match self.room.is_view() {
            true => {
                let (core, room, live) = (&self.core, &*self.room, self.live);
                guarded(Box::pin(view::handle(core, room, &batch, condemned, live))).await?
            }
            false => {
                guarded(Box::pin(room::handle(&self.core, &*self.room, &mut batch, condemned)))
                    .await?
            }
        }
        tell::count(&self.core.metrics, &counted, began.elapsed());
        self.careful.finished(&self.core, part).await?;
        self.link.store_offsets(next_offsets(part));
        fail::point("consume.after_store");
        self.conditions.handling.ok();
        self.core.metrics.paused(false);
        tell::note_positions(&self.core, part);
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

    /// A stopped partition that went to another member is no longer ours to report.
    fn forget_revoked(&mut self) {
        let assignment = &self.link.assignment;
        let ours = |partition: Partition, generation: u64| {
            assignment.generation(partition) == Some(generation)
        };
        self.begun.retain(|(partition, generation)| ours(*partition, *generation));
        self.careful.keep(ours);
        self.stops.keep(ours);
    }

    /// Of a stopped partition only what comes before the record it stopped at.
    fn is_ours(&self, record: &Record) -> bool {
        let partition = partition(record);
        let stopped = self.stops.at(partition);
        stopped.is_none_or(|offset| record.position.offset < offset)
            && self.link.assignment.generation(partition) == Some(record.generation)
    }
}

fn place(record: &Record) -> (Partition, i64) {
    (partition(record), record.position.offset)
}

fn partition(record: &Record) -> Partition {
    (record.position.topic, record.position.partition)
}

/// The offset after the last record of each partition.
fn next_offsets(part: &[Record]) -> BTreeMap<Partition, i64> {
    part.iter().map(|record| (partition(record), planted::next(record.position.offset))).collect()
}
