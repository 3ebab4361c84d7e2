//! The room of decisions: one transaction for a batch, the inbox first.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::future::BoxFuture;

use super::arrive::Arrived;
use super::assign::Partition;
use super::reaction::{Fact, Failure, Reaction, Read, Room, Table, apply, guarded};
use super::view::Begin;
use crate::core::{Core, in_time};
use crate::emit::Origin;
use crate::service::{Sweep, WorkingSet};
use crate::store::{self, Versions};
use crate::telemetry::ProcessSpan;
use crate::{Fault, Tx, fail};

/// At most this many due rows are decided in one transaction.
const SWEEP_ROWS_MAX: i64 = 500;

/// Reactions that decide over the rows of `W`.
pub(crate) struct Handler<W> {
    table: Table<W>,
}

impl<W: WorkingSet> Handler<W> {
    pub(crate) fn new(reactions: Vec<Reaction<W>>) -> Self {
        Self { table: Table::new(reactions) }
    }

    async fn transact(&self, core: &Core, batch: &[Arrived]) -> Result<(), Failure> {
        let facts = self.table.prepare(batch)?;
        let mut tx = core.begin().await?;
        let new = self.admit(core, &mut tx, batch).await?;
        fail::point("consume.after_inbox");
        if new.indices.is_empty() {
            tx.commit().await?;
            return Ok(());
        }
        let decided = self.decide(core, &mut tx, batch, &facts, &new.indices).await;
        let announced = match decided {
            Ok(announced) => announced,
            Err(failure) => {
                tx.rollback().await?;
                return Err(failure);
            }
        };
        store::save_last_versions(&mut tx, &new.applied).await?;
        fail::point("consume.before_commit");
        tx.commit().await?;
        fail::point("consume.after_commit");
        core.committed(announced);
        Ok(())
    }

    /// Which records act: those the inbox has not seen and whose version is above the last one
    /// applied for their key.
    async fn admit(&self, core: &Core, tx: &mut Tx, batch: &[Arrived]) -> Result<Admitted, Fault> {
        let all: Vec<&Arrived> = batch.iter().collect();
        let mut fresh: HashSet<_> = store::inbox_insert(tx, &all).await?;
        let candidates: Vec<&Arrived> =
            batch.iter().filter(|arrived| fresh.contains(&arrived.id)).collect();
        let mut admitted = Admitted::default();
        let last = match candidates.is_empty() {
            true => Versions::new(),
            false => store::last_versions(tx, &candidates).await?,
        };
        for (index, arrived) in batch.iter().enumerate() {
            if !fresh.remove(&arrived.id) {
                core.metrics.duplicates(arrived.name, 1);
                continue;
            }
            let key = (arrived.position.topic, arrived.key.clone());
            let applied = admitted.applied.get(&key).or_else(|| last.get(&key)).copied();
            if applied.is_some_and(|applied| arrived.version <= applied) {
                core.metrics.duplicates(arrived.name, 1);
                continue;
            }
            admitted.applied.insert(key, arrived.version);
            admitted.indices.push(index);
        }
        Ok(admitted)
    }

    /// Load, decide one after the other, save, announce.
    async fn decide(
        &self,
        core: &Core,
        tx: &mut Tx,
        batch: &[Arrived],
        facts: &[Box<dyn Fact<W>>],
        indices: &[usize],
    ) -> Result<bool, Failure> {
        let mut keys = W::Keys::default();
        for index in indices {
            facts[*index].keys(&mut keys);
        }
        let mut rows = W::load(tx, &keys).await?;
        let mut emit = core.pen(tx);
        let mut spans = Vec::with_capacity(indices.len());
        for index in indices {
            let arrived = &batch[*index];
            let mut span = span(core, arrived);
            emit.caused_by(origin(arrived, &span));
            if let Err(poison) = apply(facts[*index].as_ref(), &mut rows, &mut emit) {
                span.fail("poison");
                return Err(Failure::Record(*index, poison.into()));
            }
            spans.push(span);
        }
        rows.save(tx).await?;
        Ok(core.announce(tx, emit).await?)
    }
}

/// What of a batch acts, and the versions that are then applied.
#[derive(Default)]
struct Admitted {
    indices: Vec<usize>,
    applied: Versions,
}

/// The span of one record, a child of the span that created the fact.
pub(super) fn span(core: &Core, arrived: &Arrived) -> ProcessSpan {
    core.tracing.process(
        arrived.position.topic,
        arrived.position.partition,
        arrived.position.offset,
        &core.group,
        arrived.name,
        arrived.id,
        &arrived.key,
        &arrived.cause.correlation,
        arrived.cause.trace.as_ref(),
    )
}

fn origin(arrived: &Arrived, span: &ProcessSpan) -> Origin {
    Origin {
        correlation: Some(arrived.cause.correlation.clone()),
        causation: Some(arrived.id),
        span: Some(span.context()),
    }
}

impl<W: WorkingSet> Room for Handler<W> {
    fn facts(&self) -> Vec<Read> {
        self.table.reads()
    }

    fn handle<'a>(
        &'a self,
        core: &'a Core,
        batch: &'a [Arrived],
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(guarded(self.transact(core, batch)))
    }

    fn sweep<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>> {
        match self.table.sweeper() {
            Some(sweep) => Box::pin(in_time(sweep(core))),
            None => Box::pin(std::future::ready(Ok(0))),
        }
    }

    fn is_view(&self) -> bool {
        false
    }

    fn stored<'a>(
        &'a self,
        _core: &'a Core,
        _partitions: BTreeSet<Partition>,
    ) -> BoxFuture<'a, Result<HashMap<Partition, i64>, Fault>> {
        Box::pin(std::future::ready(Ok(HashMap::new())))
    }

    fn begin_partition<'a>(
        &'a self,
        _core: &'a Core,
        _start: &'a Begin,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One transaction for the rows that are due.
pub(super) async fn sweep<W: Sweep>(core: &Core) -> Result<usize, Fault> {
    let mut tx = core.begin().await?;
    let (keys, due) = W::due(&mut tx, SWEEP_ROWS_MAX).await?;
    if due == 0 {
        tx.commit().await?;
        return Ok(0);
    }
    let mut rows = W::load(&mut tx, &keys).await?;
    let mut emit = core.pen(&tx);
    rows.sweep(&mut emit)?;
    rows.save(&mut tx).await?;
    let announced = core.announce(&mut tx, emit).await?;
    tx.commit().await?;
    core.committed(announced);
    Ok(due)
}
