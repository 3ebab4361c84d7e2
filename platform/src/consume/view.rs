//! The room of folds: rows that are nothing but folded facts, and beside them how far each
//! partition is folded. A consumer group that is reset to the beginning refolds; one that is reset
//! to the middle skips what is folded already.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::future::BoxFuture;

use super::arrive::Arrived;
use super::assign::Partition;
use super::poll::Bounds;
use super::reaction::{Fact, Failure, Reaction, Read, Room, Table, apply, guarded};
use super::room::span;
use crate::core::{Core, in_time, within};
use crate::service::View;
use crate::{Fault, store};

/// Forgetting a partition takes no longer; it is begun again after that.
const WIPE_MAX: Duration = Duration::from_secs(120);

/// Reactions that fold into the rows of `W`.
pub(crate) struct Folder<W> {
    table: Table<W>,
}

/// Where a newly assigned partition begins.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    /// Offset of the first record that was delivered.
    pub(crate) first: i64,
    /// What the broker knows.
    pub(crate) bounds: Bounds,
}

/// What to do with a newly assigned partition.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// Fold on from the stored position.
    Continue,
    /// The group was reset to the beginning: forget the partition and fold it again.
    Refold,
    /// The stored position is beyond the log: the topic was made anew.
    Recreated,
}

/// Decides by the stored position, the first record delivered and what the broker knows. A
/// partition whose first records are past their retention is forgotten only when a tool asked for
/// it: what it has folded cannot be read again.
fn start(stored: Option<i64>, begin: &Begin) -> Start {
    let Bounds { committed, ours, low, high } = begin.bounds.clone();
    let Some(stored) = stored.filter(|stored| *stored > begin.first) else {
        return Start::Continue;
    };
    match committed {
        _ if high.is_some_and(|high| stored > high) => Start::Recreated,
        Some(committed) if committed >= stored && begin.first <= low => Start::Recreated,
        Some(committed) if ours || committed > low => Start::Continue,
        None if low > 0 => Start::Continue,
        _ => Start::Refold,
    }
}

impl<W: View> Folder<W> {
    pub(crate) fn new(reactions: Vec<Reaction<W>>) -> Self {
        Self { table: Table::new(reactions) }
    }

    async fn transact(&self, core: &Core, batch: &[Arrived]) -> Result<(), Failure> {
        let facts = self.table.prepare(batch)?;
        let mut tx = core.begin().await?;
        let at = |arrived: &Arrived| (arrived.position.topic, arrived.position.partition);
        let folded = store::positions(&mut tx, &batch.iter().map(at).collect()).await?;
        let mut next: BTreeMap<(&'static str, i32), i64> = BTreeMap::new();
        let mut new: Vec<usize> = vec![];
        for (index, arrived) in batch.iter().enumerate() {
            let at = &arrived.position;
            let stored = folded.get(&(at.topic, at.partition)).copied().unwrap_or(0);
            let reached = next.entry((at.topic, at.partition)).or_insert(stored);
            if at.offset >= *reached {
                *reached = at.offset + 1;
                new.push(index);
            }
        }
        let folding = self.fold(core, &mut tx, batch, &facts, &new).await;
        if let Err(failure) = folding {
            tx.rollback().await?;
            return Err(failure);
        }
        store::save_positions(&mut tx, &next).await?;
        crate::fail::point("view.before_commit");
        tx.commit().await?;
        crate::fail::point("view.after_commit");
        core.committed(false);
        Ok(())
    }

    async fn fold(
        &self,
        core: &Core,
        tx: &mut crate::Tx,
        batch: &[Arrived],
        facts: &[Box<dyn Fact<W>>],
        indices: &[usize],
    ) -> Result<(), Failure> {
        if indices.is_empty() {
            return Ok(());
        }
        let mut keys = W::Keys::default();
        for index in indices {
            facts[*index].keys(&mut keys);
        }
        let mut rows = W::load(tx, &keys).await?;
        let mut emit = core.pen(tx);
        for index in indices {
            let mut span = span(core, &batch[*index]);
            if let Err(poison) = apply(facts[*index].as_ref(), &mut rows, &mut emit) {
                span.fail("poison");
                return Err(Failure::Record(*index, poison.into()));
            }
        }
        Ok(rows.save(tx).await?)
    }

    async fn begin(&self, core: &Core, begin: &Begin) -> Result<(), Fault> {
        let mut tx = core.begin().await?;
        let partition = BTreeSet::from([(begin.topic, begin.partition)]);
        let folded = store::positions(&mut tx, &partition).await?;
        let stored = folded.get(&(begin.topic, begin.partition)).copied();
        let decided = start(stored, begin);
        if decided == Start::Continue {
            return tx.commit().await;
        }
        let Begin { topic, partition, first, .. } = begin;
        if decided == Start::Recreated {
            tracing::error!(topic, partition, stored, first, "topic was recreated; refolding");
        } else {
            tracing::info!(topic, partition, stored, first, "group was reset; refolding");
        }
        W::wipe(&mut tx, begin.topic, begin.partition).await?;
        let next = BTreeMap::from([((begin.topic, begin.partition), begin.first)]);
        store::save_positions(&mut tx, &next).await?;
        tx.commit().await
    }
}

impl<W: View> Room for Folder<W> {
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

    fn sweep<'a>(&'a self, _core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn is_view(&self) -> bool {
        true
    }

    fn stored<'a>(
        &'a self,
        core: &'a Core,
        partitions: BTreeSet<Partition>,
    ) -> BoxFuture<'a, Result<HashMap<Partition, i64>, Fault>> {
        Box::pin(in_time(async move {
            let mut tx = core.begin().await?;
            let stored = store::positions(&mut tx, &partitions).await?;
            tx.commit().await.map(|()| stored)
        }))
    }

    /// Forgetting a partition may take longer than a transaction usually does.
    fn begin_partition<'a>(
        &'a self,
        core: &'a Core,
        start: &'a Begin,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(within(WIPE_MAX, self.begin(core, start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_starts_where_the_positions_say() {
        let (tool, member) = (false, true);
        let cases = [
            // stored, first, committed, ours, low, high -> start
            (None, 0, None, tool, 0, 9, Start::Continue),
            (Some(57), 57, Some(57), member, 0, 60, Start::Continue),
            (Some(57), 60, Some(60), member, 0, 61, Start::Continue),
            // the commit lags behind the rows after a crash: skip what is folded
            (Some(57), 40, Some(40), member, 0, 57, Start::Continue),
            (Some(13), 12, Some(12), member, 12, 13, Start::Continue),
            // reset to the middle, and to the beginning, also of a log that begins later
            (Some(57), 40, Some(40), tool, 0, 57, Start::Continue),
            (Some(57), 0, Some(0), tool, 0, 57, Start::Refold),
            (Some(57), 12, Some(12), tool, 12, 57, Start::Refold),
            // the group has no offsets: what is past its retention is kept
            (Some(57), 0, None, tool, 0, 57, Start::Refold),
            (Some(57), 12, None, tool, 12, 57, Start::Continue),
            // an earlier batch of ours was committed after the partition came back
            (Some(57), 40, Some(57), member, 0, 57, Start::Continue),
            // the committed offset is out of range, so the client began at the beginning
            (Some(57), 0, Some(57), member, 0, 57, Start::Recreated),
            // the log is shorter than what is folded
            (Some(57), 0, None, tool, 0, 3, Start::Recreated),
            (Some(57), 0, Some(0), member, 0, 3, Start::Recreated),
        ];
        for (stored, first, committed, ours, low, high, wanted) in cases {
            let bounds = Bounds { committed, ours, low, high: Some(high) };
            let begin = Begin { topic: "t", partition: 0, first, bounds };
            assert_eq!(start(stored, &begin), wanted, "{stored:?} {begin:?}");
        }
    }
}
