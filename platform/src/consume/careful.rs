//! A record that kills the process kills every process in turn. Where a partition begins after an
//! assignment is written down before it is handled, and forgotten when it has gone well for so long that
//! the next process begins behind it: what was begun with several times is handled record by record, and
//! the record at which it ends again and again becomes a dead letter before it is touched.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::Row as _;

use super::arrive::Record;
use super::assign::Partition;
use crate::core::{Core, in_time};
use crate::{Fault, Poison};

/// A batch that was begun with so often is handled record by record.
const BEGUN_MAX: i32 = 3;
/// A record that was handled by itself so often and not finished is not handled again.
const ALONE_MAX: i32 = 2;
/// By then the client has committed what was handled first: it does so each second.
const COMMITTED_AFTER: Duration = Duration::from_secs(3);

/// What is known of the beginnings of this member's partitions.
#[derive(Default)]
pub(super) struct Careful {
    /// The assignment under which a partition's beginning was written down.
    begun: HashMap<Partition, u64>,
    /// Beginnings that are written down.
    open: HashMap<Partition, Beginning>,
    /// The record that is handled by itself and counted for it: a repetition by this process, whose
    /// database was away, is no death.
    counted: Option<(Partition, i64)>,
}

/// A beginning that is written down.
struct Beginning {
    since: Instant,
    /// How far it is handled record by record at least, if it is suspect.
    suspect: Option<i64>,
    /// The last record that was finished.
    done: Option<i64>,
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
            let suspect = in_time(begin(core, partition, first)).await?.map(|far| far.max(last));
            if suspect.is_some() {
                tracing::warn!(
                    service = core.service,
                    topic = partition.0,
                    partition = partition.1,
                    offset = first,
                    "begun with before and not finished: record by record"
                );
            }
            self.open.insert(partition, Beginning { since: Instant::now(), suspect, done: None });
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

    /// These were finished: whatever ends the process from now on, it was not they. What was begun with
    /// stays written down as long as another process would begin with it again.
    pub(super) async fn finished(&mut self, core: &Core, part: &[Record]) -> Result<(), Fault> {
        for record in part {
            let Some(beginning) = self.open.get_mut(&partition(record)) else { continue };
            beginning.done = Some(record.position.offset);
            if beginning.suspect.is_some() {
                in_time(forget(core, partition(record), record.position.offset)).await?;
            }
        }
        Ok(())
    }

    /// Forgets the beginnings of partitions that went well for long enough.
    pub(super) async fn look_back(&mut self, core: &Core) -> Result<(), Fault> {
        let over: Vec<(Partition, i64)> =
            self.open.iter().filter_map(|(of, it)| Some((*of, it.over()?))).collect();
        for (partition, done) in over {
            in_time(forget(core, partition, done)).await?;
            self.open.remove(&partition);
        }
        Ok(())
    }

    /// The process ends in order, so that nothing of what it finished has killed it: whoever begins there again, as
    /// after a seek, has nothing to fear.
    pub(super) async fn end(&mut self, core: &Core) -> Result<(), Fault> {
        for (partition, beginning) in std::mem::take(&mut self.open) {
            if let Some(done) = beginning.trusted() {
                in_time(forget(core, partition, done)).await?;
            }
        }
        Ok(())
    }

    fn is_suspect(&self, record: &Record) -> bool {
        self.open.get(&partition(record)).is_some_and(|beginning| beginning.suspect.is_some())
    }
}

impl Beginning {
    /// The last record that was finished, if nobody will begin with what comes before it.
    fn over(&self) -> Option<i64> {
        self.trusted().filter(|_| self.since.elapsed() >= COMMITTED_AFTER)
    }

    /// The last record that was finished, if none of those it was begun with is suspect any more.
    fn trusted(&self) -> Option<i64> {
        let done = self.done?;
        self.suspect.is_none_or(|far| done >= far).then_some(done)
    }
}

fn partition(record: &Record) -> Partition {
    (record.position.topic, record.position.partition)
}

/// How far what begins with this offset is suspect at least, if it is.
async fn begin(
    core: &Core,
    (topic, partition): Partition,
    first: i64,
) -> Result<Option<i64>, Fault> {
    let begun = sqlx::query(
        r#"INSERT INTO millrace.in_hand AS hand (topic, "partition", "offset", begun)
           VALUES ($1, $2, $3, 1)
           ON CONFLICT (topic, "partition", "offset") DO UPDATE SET begun = hand.begun + 1
           RETURNING begun,
               (SELECT max("offset") FROM millrace.in_hand WHERE topic = $1 AND "partition" = $2
                AND "offset" >= $3 AND alone > 0)"#,
    )
    .bind(topic)
    .bind(partition)
    .bind(first)
    .fetch_one(&core.pool)
    .await?;
    let often = (begun.get::<i32, _>(0) >= BEGUN_MAX).then_some(first);
    Ok(begun.get::<Option<i64>, _>(1).or(often))
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
