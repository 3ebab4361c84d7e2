//! A build in the making: read from the beginning of the topics under a group of its own, folded
//! into rows beside the live ones, said to nobody. A record that cannot be folded costs its key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Courtesy, schema};
use crate::consume::arrive::{Arrivals, Incoming, Record};
use crate::consume::reaction::{Failure, Room, guarded};
use crate::consume::turn::{Condemned, Fate, Turn, Waits};
use crate::consume::{Link, Partition, link};
use crate::control::operation;
use crate::core::Core;
use crate::parking::key_of;
use crate::store::{self, Known};
use crate::tx::Line;
use crate::{Fault, Health, Poison, Tx};

/// What is folded in one transaction at most.
const BATCH_RECORDS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// And beside live traffic, which waits behind it: so little that it is soon over.
const BESIDE_RECORDS_MAX: usize = 25;
/// Beside live traffic a build rests after each part for this share of the time that it took.
const REST: f64 = 0.5;
/// Live traffic that paused for so long is over.
const BESIDE_FOR: Duration = Duration::from_secs(1);
/// The pause before a batch is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A task that makes a build.
pub(super) struct Making {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

struct Builder {
    core: Arc<Core>,
    room: Arc<dyn Room>,
    number: i32,
    /// Its statements find the tables of the build.
    line: Line,
    arrivals: Arrivals,
    condemned: HashMap<(Partition, i64), Poison>,
    pace: Pace,
}

/// How fast a build may go: as fast as it can, or beside live traffic.
#[derive(Default)]
struct Pace {
    /// The last part.
    took: Duration,
    /// Pieces of live work that had begun by then, and when one of them was seen.
    begun: u64,
    seen: Option<Instant>,
}

impl Making {
    pub(super) fn begin(core: &Arc<Core>, room: &Arc<dyn Room>, number: i32) -> Self {
        let stop = CancellationToken::new();
        let ids = core.schema_ids.get().cloned().unwrap_or_default();
        let arrivals = Arrivals::new(core.registry.clone(), room.facts(), ids);
        let path = format!("{},public", schema(number));
        let options = core.pool.connect_options().as_ref().clone();
        let line = Line::new(&options.options([("search_path", path)]));
        let (core, room, condemned) = (core.clone(), room.clone(), HashMap::new());
        let pace = Pace { begun: core.courtesy.begun(), ..Pace::default() };
        let builder = Builder { core, room, number, line, arrivals, condemned, pace };
        let task = tokio::spawn(builder.run(stop.clone()));
        Self { stop, task }
    }

    /// Stops; what is committed stays.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("a build in the making panicked");
        }
    }
}

impl Pace {
    fn records_max(&self) -> usize {
        if self.beside() { BESIDE_RECORDS_MAX } else { BATCH_RECORDS_MAX }
    }

    fn beside(&self) -> bool {
        self.seen.is_some_and(|seen| seen.elapsed() < BESIDE_FOR)
    }

    /// Waits while there is live traffic, but not for ever: at most one and a half times as long as the
    /// last part took.
    async fn turn(&mut self, courtesy: &Courtesy) {
        let begun = courtesy.begun();
        if begun != self.begun {
            (self.begun, self.seen) = (begun, Some(Instant::now()));
        }
        if self.beside() {
            tokio::time::sleep(self.took.mul_f64(REST)).await;
            courtesy.turn(self.took).await;
        }
    }
}

impl Builder {
    async fn run(mut self, stop: CancellationToken) {
        let (service, build) = (self.core.service, self.number);
        tracing::info!(service, build, "a build is made beside the live one");
        let group = format!("{}.b{build}", self.core.group);
        let condition = Health::new().condition("build");
        let mut link = loop {
            match link(&self.core, &group, &*self.room, condition.clone()) {
                Ok(link) => break link,
                Err(error) => tracing::warn!(service, build, %error, "build waits"),
            }
            if pause(&stop).await {
                return;
            }
        };
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => break,
                first = link.records.recv() => first,
            };
            let Some(first) = first else { break };
            let batch = rest(&mut link, first, self.pace.records_max());
            self.settle(&link, batch, &stop).await;
        }
        link.close().await;
        self.line.close().await;
    }

    /// Folds a batch, in halves when it has to be.
    async fn settle(&mut self, link: &Link, batch: Vec<Record>, stop: &CancellationToken) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            self.pace.turn(&self.core.courtesy).await;
            if stop.is_cancelled() {
                return;
            }
            let began = Instant::now();
            let folded = self.fold(&part).await;
            self.pace.took = began.elapsed();
            match folded {
                Ok(()) => link.store_offsets(next_offsets(&part)),
                Err(Failure::Record(index, poison)) => {
                    self.condemned.insert(place(&part[index]), poison);
                    parts.push(part);
                }
                Err(Failure::Batch(poison)) if part.len() == 1 => {
                    self.condemned.insert(place(&part[0]), poison);
                    parts.push(part);
                }
                Err(Failure::Batch(_) | Failure::Apart) => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Err(error @ (Failure::Transient(_) | Failure::Full(..))) => {
                    tracing::warn!(service = self.core.service, ?error, "build waits");
                    parts.push(part);
                    pause(stop).await;
                }
            }
        }
        self.condemned.clear();
    }

    async fn fold(&mut self, part: &[Record]) -> Result<(), Failure> {
        let mut batch: Vec<Incoming<'_>> = Vec::with_capacity(part.len());
        let mut condemned = Condemned::new();
        for (index, record) in part.iter().enumerate() {
            let (incoming, fault) = self.arrivals.arrive(record, record.payload.as_deref()).await?;
            let known = self.condemned.get(&place(record)).cloned().or(fault);
            condemned.extend(known.map(|poison| (index, poison)));
            batch.push(incoming);
        }
        guarded(Box::pin(self.commit(&batch, condemned))).await
    }

    async fn commit(&self, batch: &[Incoming<'_>], condemned: Condemned) -> Result<(), Failure> {
        let (core, schema) = (&*self.core, schema(self.number));
        let mut tx = core.begin_on(&self.line).await?;
        let partitions = batch.iter().map(|it| partition(it.record)).collect();
        let folded = store::positions(&mut tx, &schema, &partitions).await?;
        let waiting = self.broken(&mut tx, batch).await?;
        let mut turn = Turn::new(batch, waiting);
        (turn.gaps_count, turn.silent) = (false, true);
        let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
        for (index, incoming) in batch.iter().enumerate() {
            let at = partition(incoming.record);
            let reached = next.entry(at).or_insert(folded.get(&at).copied().unwrap_or(0));
            let offset = incoming.record.position.offset;
            match offset >= *reached {
                true => *reached = offset + 1,
                false => turn.fates[index] = Some(Fate::Repeat),
            }
        }
        let new = turn.open().len();
        self.room.apply(core, &mut tx, &mut turn, &Known::default(), &condemned).await?;
        self.note_broken(&mut tx, &turn).await?;
        store::save_positions(&mut tx, &schema, &next).await?;
        self.note_folded(&mut tx, new).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keys of the batch of which nothing more is folded.
    async fn broken(
        &self,
        tx: &mut Tx,
        batch: &[Incoming<'_>],
    ) -> Result<HashMap<String, Waits>, Fault> {
        let keys: Vec<&str> = batch.iter().filter_map(|it| it.key.as_deref()).collect();
        let broken: Vec<String> = sqlx::query_scalar(
            "SELECT key FROM millrace.projection_broken WHERE build = $1 AND key = ANY($2)",
        )
        .bind(self.number)
        .bind(keys)
        .fetch_all(tx.db())
        .await?;
        Ok(broken.into_iter().map(|key| (key, Waits::Failed)).collect())
    }

    async fn note_broken(&self, tx: &mut Tx, turn: &Turn<'_>) -> Result<(), Fault> {
        for (incoming, fate) in turn.batch.iter().zip(&turn.fates) {
            let Some(Fate::Failed(poison)) = fate else { continue };
            let at = &incoming.record.position;
            sqlx::query(
                "INSERT INTO millrace.projection_broken VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT DO NOTHING",
            )
            .bind(self.number)
            .bind(key_of(incoming))
            .bind(incoming.id.uuid())
            .bind(at.topic)
            .bind(at.partition)
            .bind(at.offset)
            .bind(format!("{}: {poison}", poison.code()))
            .execute(tx.db())
            .await?;
        }
        Ok(())
    }

    /// A build that somebody took back meanwhile is not made any further.
    async fn note_folded(&self, tx: &mut Tx, new: usize) -> Result<(), Fault> {
        let operation: Option<Option<uuid::Uuid>> = sqlx::query_scalar(
            "UPDATE millrace.projection SET folded = folded + $2
             WHERE build = $1 AND state = 'building' RETURNING operation",
        )
        .bind(self.number)
        .bind(new as i64)
        .fetch_optional(tx.db())
        .await?;
        match operation {
            Some(Some(id)) => operation::folded(tx, id, new).await,
            Some(None) => Ok(()),
            None => Err(Fault::transient(format!("build {} is not being made", self.number))),
        }
    }
}

/// The operation ends when everything is folded that was there when it was asked for.
pub(super) async fn caught_up(core: &Core, number: i32) -> Result<(), Fault> {
    let mut tx = core.begin().await?;
    let caught_up = format!(
        r#"UPDATE millrace.projection SET caught_up_at = clock_timestamp()
           WHERE build = $1 AND state = 'building' AND caught_up_at IS NULL AND NOT EXISTS (
               SELECT 1 FROM jsonb_to_recordset(target)
                   AS place (topic text, "partition" int, "offset" bigint)
               LEFT JOIN {}.view_position USING (topic, "partition")
               WHERE COALESCE(next_offset, 0) < "offset")
           RETURNING operation, folded"#,
        schema(number)
    );
    let row: Option<(Option<uuid::Uuid>, i64)> =
        sqlx::query_as(sqlx::AssertSqlSafe(caught_up)).bind(number).fetch_optional(tx.db()).await?;
    if let Some((Some(id), folded)) = row {
        let detail = format!(
            "build {number} has folded {folded} records and follows the topics; look at \
             `millrace projection diff {}`, then `swap`",
            core.service
        );
        operation::end(&mut tx, core, id, &detail).await?;
    }
    tx.commit().await?;
    core.committed();
    Ok(())
}

/// One record, and what else is there.
fn rest(link: &mut Link, first: Record, records_max: usize) -> Vec<Record> {
    let mut bytes = first.bytes();
    let mut batch = vec![first];
    while batch.len() < records_max && bytes < BATCH_BYTES_MAX {
        let Some(record) = link.records.try_recv() else { break };
        bytes += record.bytes();
        batch.push(record);
    }
    let ours =
        |record: &Record| link.assignment.generation(partition(record)) == Some(record.generation);
    batch.retain(ours);
    batch
}

/// Whether it is time to end.
async fn pause(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(AGAIN_AFTER) => false,
    }
}

fn partition(record: &Record) -> Partition {
    (record.position.topic, record.position.partition)
}

fn place(record: &Record) -> (Partition, i64) {
    (partition(record), record.position.offset)
}

fn next_offsets(part: &[Record]) -> BTreeMap<Partition, i64> {
    part.iter().map(|record| (partition(record), record.position.offset + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_folds_small_parts_beside_live_traffic_and_large_ones_alone() {
        let (courtesy, mut pace) = (Courtesy::default(), Pace::default());
        pace.turn(&courtesy).await;
        assert_eq!(pace.records_max(), BATCH_RECORDS_MAX);
        drop(courtesy.busy());
        pace.turn(&courtesy).await;
        assert_eq!(pace.records_max(), BESIDE_RECORDS_MAX);
        pace.seen = pace.seen.and_then(|seen| seen.checked_sub(BESIDE_FOR));
        pace.turn(&courtesy).await;
        assert_eq!(pace.records_max(), BATCH_RECORDS_MAX, "that traffic is over");
    }
}
