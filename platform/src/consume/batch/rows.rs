//! Where a view stands: its rows say how far each partition is folded, its group says what was read
//! last, and the two are brought together when a partition is assigned.

use std::collections::{BTreeMap, HashMap};

use super::{Loop, partition};
use crate::Fault;
use crate::consume::arrive::Record;
use crate::consume::assign::Partition;
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
        self.take_back(&first, &stored).await?;
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

    /// Looks whether the rows of a view know as much as its group has committed, in partitions that
    /// may send no record for long.
    pub(super) async fn compare(&mut self) -> Result<(), Fault> {
        let assignment = self.link.assignment.clone();
        if !self.room.is_view() || self.compared == assignment.latest() {
            return Ok(());
        }
        let compared = assignment.latest();
        let owned = assignment.owned();
        if !owned.is_empty() {
            let stored = view::stored(&self.core, owned.iter().copied().collect()).await?;
            let bounds = self.link.bounds(owned.clone()).await?;
            for (partition, bounds) in owned.into_iter().zip(bounds) {
                let (stored, committed) = (stored.get(&partition), bounds.committed);
                if let (Some(stored), Some(committed)) = (stored, committed)
                    && *stored < committed
                    && self.taken_back.insert((partition, *stored))
                {
                    self.link.restart(partition, *stored).await?;
                }
            }
        }
        self.compared = compared;
        Ok(())
    }

    /// The rows know less than the group has committed: another build of them became live, or an
    /// older state of the database came back. What they lack is read again, once: it may be gone.
    async fn take_back(
        &mut self,
        first: &BTreeMap<Partition, &Record>,
        stored: &HashMap<Partition, i64>,
    ) -> Result<(), Fault> {
        for (partition, record) in first {
            let Some(stored) = stored.get(partition) else { continue };
            if *stored < record.position.offset && self.taken_back.insert((*partition, *stored)) {
                self.link.restart(*partition, *stored).await?;
                let (topic, number) = *partition;
                return Err(Fault::transient(format!(
                    "{topic}/{number} is read again from {stored}, where the rows stand"
                )));
            }
        }
        Ok(())
    }
}
