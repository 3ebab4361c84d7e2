//! Where a view stands: its rows say how far each partition is folded, its group says what was read
//! last, and the two are brought together when a partition is assigned.

use std::collections::BTreeMap;

use super::{Loop, partition};
use crate::Fault;
use crate::consume::arrive::Record;
use crate::consume::assign::Partition;
use crate::consume::place::Bounds;
use crate::consume::reaction::Failure;
use crate::consume::view::{self, Begin};

impl Loop {
    /// Settles for a view where each newly assigned partition begins. The broker is asked only
    /// about partitions that begin before the position stored beside the rows.
    pub(super) async fn begin_partitions(&mut self, part: &[Record]) -> Result<(), Failure> {
        let mut first: BTreeMap<Partition, &Record> = BTreeMap::new();
        for record in part.iter().filter(|_| self.room.is_view()) {
            if !self.begun.contains(&(partition(record), record.generation)) {
                first.entry(partition(record)).or_insert(record);
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let stored = view::stored(&self.core, first.keys().copied().collect()).await?;
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
            view::begin(&self.core, &*self.room, &begin).await?;
        }
        self.begun.extend(first.iter().map(|(partition, record)| (*partition, record.generation)));
        Ok(())
    }

    /// Looks whether the rows of a view know as much as its group has committed: another build of
    /// them may have become live, or an older state of the database came back. What they lack is
    /// read again, once, since it may be gone. Comes before the first record of an assignment.
    pub(super) async fn compare(&mut self) -> Result<(), Fault> {
        let assignment = self.link.assignment.clone();
        if !self.room.is_view() || self.compared == assignment.latest() {
            return Ok(());
        }
        let (mut compared, owned) = (assignment.latest(), assignment.owned());
        if !owned.is_empty() {
            let stored = view::stored(&self.core, owned.iter().copied().collect()).await?;
            let bounds = self.link.bounds(owned.clone()).await?;
            for (partition, bounds) in owned.into_iter().zip(bounds) {
                let stands = stands(stored.get(&partition).copied(), &bounds);
                if let Some(stands) = stands.filter(|at| self.taken_back.insert((partition, *at))) {
                    self.link.restart(partition, stands).await?;
                    // To whoever reads that is a new assignment, and is as it should be.
                    compared += 1;
                }
            }
        }
        self.compared = compared;
        Ok(())
    }
}

/// Where the rows stand, when the group is ahead of them. Without a position they know nothing: what
/// a member has committed then was folded into other rows.
fn stands(stored: Option<i64>, bounds: &Bounds) -> Option<i64> {
    let committed = bounds.committed?;
    let stands = match stored {
        Some(stored) => stored,
        None if bounds.ours => bounds.low,
        None => return None,
    };
    (stands < committed).then_some(stands.max(bounds.low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_behind_their_group_are_completed_from_where_they_stand() {
        let at = |stored, committed, ours, low| {
            stands(stored, &Bounds { committed, ours, low, high: Some(99) })
        };
        assert_eq!(at(Some(10), Some(10), true, 0), None);
        assert_eq!(at(Some(10), None, false, 0), None);
        assert_eq!(at(Some(10), Some(7), true, 0), None, "the commit lags behind the rows");
        assert_eq!(at(Some(10), Some(12), true, 0), Some(10));
        assert_eq!(at(Some(10), Some(50), true, 30), Some(30), "what is before is gone");
        assert_eq!(at(None, Some(12), true, 3), Some(3), "folded into other rows");
        assert_eq!(at(None, Some(12), false, 0), None, "where a tool put a new view");
        assert_eq!(at(None, None, false, 0), None);
    }
}
