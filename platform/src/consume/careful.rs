//! A record that kills the process kills every process in turn. Where a partition begins after an
//! assignment is written down before it is handled: what was begun with several times and never
//! finished is handled record by record, and the record at which it ends again and again becomes a
//! dead letter before it is touched.

use std::collections::HashMap;

use sqlx::Row as _;

use super::arrive::Record;
use super::assign::Partition;
use crate::core::{Core, in_time};
use crate::{Fault, Poison};

/// A batch that was begun with so often is handled record by record.
const BEGUN_MAX: i32 = 3;
/// A record that was handled by itself so often and not finished is not handled again.
const ALONE_MAX: i32 = 2;

/// What is known of the beginnings of this member's partitions.
#[derive(Default)]
pub(super) struct Careful {
    /// The assignment under which a partition's beginning was written down.
    begun: HashMap<Partition, u64>,
    /// What is written down and not finished, and how far it is handled record by record.
    open: HashMap<Partition, Option<i64>>,
    /// The record that is handled by itself and counted for it: a repetition by this process, whose
    /// database was away, is no death.
    counted: Option<(Partition, i64)>,
}

impl Careful {
    /// Partitions that went to another member begin anew when they come back.
    pub(super) fn keep(&mut self, ours: impl Fn(Partition, u64) -> bool) {
        self.begun.retain(|partition, generation| ours(*partition, *generation));
        let begun = &self.begun;
        self.open.retain(|partition, _| begun.contains_key(partition));
    }

    /// Writes down what is begun with, and says whether these have to be handled one by one.
    pub(super) async fn one_by_one(&mut self, core: &Core, part: &[Record]) -> Result<bool, Fault> {
        let mut new: HashMap<Partition, (u64, i64, i64)> = HashMap::new();
        for record in part {
            let (partition, offset) = (partition(record), record.position.offset);
            if self.begun.get(&partition) != Some(&record.generation) {
                new.entry(partition).or_insert((record.generation, offset, offset)).2 = offset;
            }
        }
        for (partition, (generation, first, last)) in new {
            let suspect = in_time(begin(core, partition, first, last)).await?;
            if suspect {
                tracing::warn!(
                    service = core.service,
                    topic = partition.0,
                    partition = partition.1,
                    offset = first,
                    "begun with before and not finished: record by record"
                );
            }
            self.open.insert(partition, suspect.then_some(last));
            self.begun.insert(partition, generation);
        }
        Ok(part.len() > 1 && part.iter().any(|record| self.is_suspect(record)))
    }

    /// The fault of a record that the process did not survive.
    pub(super) async fn fault(
        &mut self,
        core: &Core,
        record: &Record,
    ) -> Result<Option<Poison>, Fault> {
        let place = (partition(record), record.position.offset);
        if !self.is_suspect(record) || self.counted == Some(place) {
            return Ok(None);
        }
        let alone = in_time(handle_alone(core, record)).await?;
        if alone <= ALONE_MAX {
            self.counted = Some(place);
            return Ok(None);
        }
        let killed = format!("the process ended {ALONE_MAX} times while it handled this record");
        Ok(Some(Poison::coded("crash", killed)))
    }

    /// These were finished: whatever ends the process from now on, it was not they.
    pub(super) async fn finished(&mut self, core: &Core, part: &[Record]) -> Result<(), Fault> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut last: HashMap<Partition, i64> = HashMap::new();
        for record in part {
            last.insert(partition(record), record.position.offset);
        }
        for (partition, offset) in last {
            let Some(until) = self.open.get(&partition).copied() else { continue };
            in_time(forget(core, partition, offset)).await?;
            if until.is_none_or(|until| offset >= until) {
                self.open.remove(&partition);
            }
        }
        Ok(())
    }

    fn is_suspect(&self, record: &Record) -> bool {
        let until = self.open.get(&partition(record)).copied().flatten();
        until.is_some_and(|until| record.position.offset <= until)
    }
}

fn partition(record: &Record) -> Partition {
    (record.position.topic, record.position.partition)
}

/// Whether what lies between these offsets is suspect.
async fn begin(
    core: &Core,
    (topic, partition): Partition,
    first: i64,
    last: i64,
) -> Result<bool, Fault> {
    let begun = sqlx::query(
        r#"INSERT INTO millrace.in_hand AS hand (topic, "partition", "offset", begun)
           VALUES ($1, $2, $3, 1)
           ON CONFLICT (topic, "partition", "offset") DO UPDATE SET begun = hand.begun + 1
           RETURNING begun,
               (SELECT count(*) FROM millrace.in_hand WHERE topic = $1 AND "partition" = $2
                AND "offset" BETWEEN $3 AND $4 AND alone > 0)"#,
    )
    .bind(topic)
    .bind(partition)
    .bind(first)
    .bind(last)
    .fetch_one(&core.pool)
    .await?;
    Ok(begun.get::<i32, _>(0) >= BEGUN_MAX || begun.get::<i64, _>(1) > 0)
}

/// How often the record was handled by itself, this time included.
async fn handle_alone(core: &Core, record: &Record) -> Result<i32, Fault> {
    let at = &record.position;
    let alone = sqlx::query_scalar(
        r#"INSERT INTO millrace.in_hand AS hand (topic, "partition", "offset", alone)
           VALUES ($1, $2, $3, 1)
           ON CONFLICT (topic, "partition", "offset") DO UPDATE SET alone = hand.alone + 1
           RETURNING alone"#,
    );
    let alone = alone.bind(at.topic).bind(at.partition).bind(at.offset);
    Ok(alone.fetch_one(&core.pool).await?)
}

async fn forget(core: &Core, (topic, partition): Partition, until: i64) -> Result<(), Fault> {
    let done = sqlx::query(
        r#"DELETE FROM millrace.in_hand
           WHERE topic = $1 AND "partition" = $2 AND "offset" <= $3"#,
    );
    done.bind(topic).bind(partition).bind(until).execute(&core.pool).await?;
    Ok(())
}
