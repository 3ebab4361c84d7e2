//! The relay: it publishes the outbox in the order of each key. One owner for each key shard, held
//! by an advisory lock on the relay's own connection: whoever loses the connection loses the
//! shards, and what a zombie still sends is a repetition that every inbox absorbs.
//!
//! Never a cursor over the sequence (it lost 53 % of events under concurrent writers), never SKIP
//! LOCKED between relays (it inverted the order of keys).

mod partitions;
mod planted;
mod publish;
mod watermark;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection, Row};
use tokio_util::sync::CancellationToken;

pub use partitions::Horizon;
pub(crate) use partitions::maintain;
use publish::{Outcome, Outgoing, Publisher};
use watermark::Watermark;

use crate::core::Core;
use crate::kafka::SHARDS;
use crate::plant::{self, Plant};
use crate::rest::Rest;
use crate::{Condition, Fault, fail};

/// Class of the advisory locks on shards; the second number is the shard.
const LOCK_CLASS: i32 = 0x6d69_6c6c;
/// Notifications that tell a relay of another process that there is work.
const CHANNEL: &str = "millrace_outbox";
/// A key whose record the broker refused is tried again after this long.
const BLOCKED_FOR: Duration = Duration::from_secs(60);
/// A key whose partition did not acknowledge while others did is tried again after this long.
const UNLED_FOR: Duration = Duration::from_secs(10);
/// Keys left alone at the same time.
const BLOCKED_MAX: usize = 10_000;
/// A new session waits at most this long after a failed one.
const RESTART_MAX: Duration = Duration::from_secs(5);
/// After a session of this length the pauses between sessions begin small again.
const HEALTHY: Duration = Duration::from_secs(30);
/// A batch that waits longer for its acknowledgements is told of.
const ACK_PATIENCE: Duration = Duration::from_secs(3);
/// How the server treats this connection. What a crashed one forgets of the marks is sent once more, by a
/// new session. The relay says the same few statements all the time, and for each there is one way that
/// stays good however the tables grow, by an index: it is found once.
const SETTINGS: [(&str, &str); 6] = [
    ("synchronous_commit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    // Without choice a plan looks so expensive that it would be compiled.
    ("jit", "off"),
];
/// No statement of the relay takes longer.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// Publishes until `stop`, then what is still unsent, for as long as `drain` allows.
pub(crate) async fn run(core: Arc<Core>, condition: Condition, stop: CancellationToken) {
    let mut attempt = 0;
    let mut blocked = Blocked::default();
    while !stop.is_cancelled() {
        let mut session = match Session::open(core.clone(), condition.clone()).await {
            Ok(session) => session,
            Err(fault) => {
                pause(&core, &condition, &fault, &mut attempt, &stop).await;
                continue;
            }
        };
        let opened = Instant::now();
        let outcome = session.publish_until(&stop, &mut blocked).await;
        if opened.elapsed() > HEALTHY {
            attempt = 0;
        }
        match outcome {
            Ok(()) => session.close(true).await,
            Err(fault) => {
                session.close(false).await;
                pause(&core, &condition, &fault, &mut attempt, &stop).await;
            }
        }
    }
}

async fn pause(
    core: &Core,
    condition: &Condition,
    fault: &Fault,
    attempt: &mut u32,
    stop: &CancellationToken,
) {
    tracing::warn!(service = core.service, error = %fault, "relay starts again");
    condition.not(format!("the relay starts again: {fault}"));
    let cap = Duration::from_millis(100).saturating_mul(1 << (*attempt).min(8)).min(RESTART_MAX);
    *attempt += 1;
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(cap.mul_f64(rand::random_range(0.5..=1.0))) => {}
    }
}

/// One life of a connection, its locks and its producer: they come and go together.
struct Session {
    core: Arc<Core>,
    condition: Condition,
    conn: PgConnection,
    listener: PgListener,
    publisher: Publisher,
    shards: Vec<i16>,
    watermark: Watermark,
}

/// What was sent together.
#[derive(Default)]
struct Batch {
    records: usize,
    /// There may be more already; what is committed from then on wakes the relay anew.
    more: bool,
}

/// Keys that are left alone for a while, so that others flow; they outlive a session.
#[derive(Default)]
struct Blocked(Vec<(String, Instant)>);

impl Blocked {
    fn add(&mut self, key: &str, time: Duration) {
        if self.0.len() < BLOCKED_MAX {
            self.0.push((key.to_owned(), Instant::now() + time));
        }
    }

    fn keys(&mut self) -> Vec<String> {
        self.0.retain(|(_, until)| *until > Instant::now());
        let keys: HashSet<&String> = self.0.iter().map(|(key, _)| key).collect();
        keys.into_iter().cloned().collect()
    }
}

impl Session {
    async fn open(core: Arc<Core>, condition: Condition) -> Result<Self, Fault> {
        let options = core.pool.connect_options().as_ref().clone().options(SETTINGS);
        let conn = in_time(PgConnection::connect_with(&options)).await?;
        let url = core.config.database.url();
        let mut listener = in_time(PgListener::connect(url)).await?;
        in_time(listener.listen(CHANNEL)).await?;
        let publisher = Publisher::connect(&core).await?;
        let (shards, watermark) = (vec![], Watermark::default());
        Ok(Self { core, condition, conn, listener, publisher, shards, watermark })
    }

    async fn publish_until(
        &mut self,
        stop: &CancellationToken,
        blocked: &mut Blocked,
    ) -> Result<(), Fault> {
        let (mut looked, mut rest) = (None::<Instant>, Rest::default());
        loop {
            if looked.is_none_or(|at| at.elapsed() >= self.core.config.outbox.poll) {
                self.take_shards().await?;
                self.look_for_transactions().await?;
                self.measure().await?;
                self.publisher.look_now_and_then().await?;
                looked = Some(Instant::now());
            }
            let (stopping, began) = (stop.is_cancelled(), Instant::now());
            let batch = self.publish_batch(blocked).await?;
            self.condition.ok();
            if !batch.more {
                if stopping {
                    return Ok(());
                }
                rest.after(began, batch.records);
                self.wait_for_work(stop).await?;
                rest.taken().await;
            }
        }
    }

    /// Waits until there may be work: this process committed, another process said so, or the
    /// slow poll is due.
    async fn wait_for_work(&mut self, stop: &CancellationToken) -> Result<(), Fault> {
        let core = self.core.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = core.wake.notified() => self.tell_others().await?,
            heard = self.listener.recv() => drop(heard?),
            () = tokio::time::sleep(core.config.outbox.poll) => {}
        }
        Ok(())
    }

    /// After the commit and on a connection of its own: a NOTIFY inside the business transaction
    /// cut the commit rate to a sixth. One notification stands for any number of commits.
    async fn tell_others(&mut self) -> Result<(), Fault> {
        if self.shards.len() < SHARDS as usize {
            let notify = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL);
            in_time(notify.execute(&mut self.conn)).await?;
        }
        Ok(())
    }

    /// Takes every shard nobody owns.
    async fn take_shards(&mut self) -> Result<(), Fault> {
        if plant::is(Plant::RelaySkipLocked) {
            self.shards = (0..SHARDS).collect();
        }
        if self.shards.len() == SHARDS as usize {
            return Ok(());
        }
        let missing: Vec<i32> =
            (0..SHARDS).filter(|shard| !self.shards.contains(shard)).map(i32::from).collect();
        let lock = sqlx::query_scalar::<_, i32>(
            "SELECT shard FROM unnest($2::int[]) AS shard WHERE pg_try_advisory_lock($1, shard)",
        );
        let taken = in_time(lock.bind(LOCK_CLASS).bind(missing).fetch_all(&mut self.conn)).await?;
        if !taken.is_empty() {
            self.watermark = Watermark::default();
        }
        self.shards.extend(taken.into_iter().map(|shard| shard as i16));
        Ok(())
    }

    /// Which ids no transaction can commit any more.
    async fn look_for_transactions(&mut self) -> Result<(), Fault> {
        // A sequence that was never asked says what it will give first.
        let state = sqlx::query_as(
            "SELECT last_value - (NOT is_called)::int,
                 pg_snapshot_xmin(pg_current_snapshot())::text
             FROM millrace.outbox_id",
        );
        let (drawn, oldest): (i64, String) = in_time(state.fetch_one(&mut self.conn)).await?;
        let number = |text: String| text.parse().map_err(Fault::transient);
        self.watermark.oldest(number(oldest)?);
        if self.watermark.asks(drawn) {
            let begun = sqlx::query_scalar("SELECT pg_current_xact_id()::text");
            let begun = in_time(begun.fetch_one(&mut self.conn)).await?;
            self.watermark.ask(drawn, number(begun)?);
        }
        Ok(())
    }

    /// Publishes the oldest unsent rows and marks what the broker acknowledged.
    async fn publish_batch(&mut self, blocked: &mut Blocked) -> Result<Batch, Fault> {
        if self.shards.is_empty() {
            return Ok(Batch::default());
        }
        self.skip_below_cursor().await?;
        let left_alone = blocked.keys();
        let rows = self.unsent(&left_alone).await?;
        if left_alone.is_empty() {
            self.watermark.found(rows.first().map(|row| row.id));
        }
        let bytes: usize = rows.iter().map(Outgoing::bytes).sum();
        let outbox = &self.core.config.outbox;
        let found = rows.len();
        let rows = planted::taken(rows);
        let more = found >= outbox.batch_records_max
            || bytes >= outbox.batch_bytes_max
            || rows.len() < found;
        if rows.is_empty() {
            return Ok(Batch::default());
        }
        let core = self.core.clone();
        let _busy = core.courtesy.busy();
        self.mark_first(&rows).await?;
        fail::point("relay.before_produce");
        let outcome = self.publish(&rows).await;
        fail::point("relay.after_ack");
        self.mark_sent(&rows, &outcome.acknowledged).await?;
        fail::point("relay.after_mark");
        for (key, reason) in &outcome.refused {
            let service = self.core.service;
            tracing::error!(
                service,
                key,
                reason,
                "the broker refuses a record: its key is blocked"
            );
            self.core.metrics.publish_failed("refused");
            blocked.add(key, BLOCKED_FOR);
        }
        // One partition that nobody leads must not hold up the others.
        if outcome.failed.is_some() && !outcome.acknowledged.is_empty() {
            let acknowledged: HashSet<usize> = outcome.acknowledged.iter().copied().collect();
            let left = rows.iter().enumerate().filter(|(index, _)| !acknowledged.contains(index));
            left.for_each(|(_, row)| blocked.add(&row.key, UNLED_FOR));
        }
        self.core.metrics.blocked_keys(blocked.keys().len());
        match outcome.failed {
            Some(fault) => Err(fault),
            None => {
                let records = outcome.acknowledged.len();
                Ok(Batch { records, more: more && records > 0 })
            }
        }
    }

    /// Says that it is not ready while the broker keeps it waiting.
    async fn publish(&self, rows: &[Outgoing]) -> Outcome {
        let mut published = std::pin::pin!(self.publisher.publish(&self.core, rows));
        match tokio::time::timeout(ACK_PATIENCE, &mut published).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.condition.not("the broker keeps its acknowledgements waiting");
                published.await
            }
        }
    }

    /// The oldest rows, as many as are sent at once; the first of them whatever its size.
    async fn unsent(&mut self, blocked: &[String]) -> Result<Vec<Outgoing>, Fault> {
        let outbox = &self.core.config.outbox;
        let select = sqlx::query(
            "SELECT event_id, topic, name, key, version, payload, correlation_id, causation_id,
                    traceparent, occurred_at, recorded_at, raw_headers, raw_key,
                    raw_timestamp_ms, id
             FROM (SELECT *, sum(octet_length(payload)) OVER (
                       ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                   FROM (SELECT * FROM millrace.outbox
                         WHERE sent_at IS NULL AND id >= $5 AND shard = ANY($1)
                             AND key <> ALL($2)
                         ORDER BY id LIMIT $3) AS oldest) AS batch
             WHERE COALESCE(before, 0) < $4 ORDER BY id",
        )
        .bind(&self.shards)
        .bind(blocked)
        .bind(outbox.batch_records_max as i64)
        .bind(outbox.batch_bytes_max as i64)
        .bind(self.watermark.from());
        let rows = in_time(select.fetch_all(&mut self.conn)).await?;
        Ok(rows.iter().map(Outgoing::from_row).collect())
    }

    async fn mark_sent(&mut self, rows: &[Outgoing], which: &[usize]) -> Result<(), Fault> {
        if which.is_empty() {
            return Ok(());
        }
        let ids: Vec<uuid::Uuid> = which.iter().map(|index| rows[*index].event_id).collect();
        // A list leaves out no day, its bounds do.
        let update = sqlx::query(
            "UPDATE millrace.outbox SET sent_at = clock_timestamp()
             WHERE event_id = ANY($1) AND event_id BETWEEN $2 AND $3",
        );
        let (first, last) = (ids.iter().min().copied(), ids.iter().max().copied());
        in_time(update.bind(&ids).bind(first).bind(last).execute(&mut self.conn)).await?;
        Ok(())
    }

    /// How much waits, and for how long: counted up to a bound, so that counting stays cheap.
    async fn measure(&mut self) -> Result<(), Fault> {
        let count = sqlx::query(
            "SELECT count(*), COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(recorded_at)),
                    0)::float8
             FROM (SELECT recorded_at FROM millrace.outbox WHERE sent_at IS NULL AND id >= $1
                   ORDER BY id LIMIT 10000) AS waiting",
        );
        // Of what others publish nothing is known.
        let all = self.shards.len() == SHARDS as usize;
        let count = count.bind(if all { self.watermark.from() } else { 0 });
        let row = in_time(count.fetch_one(&mut self.conn)).await?;
        self.core.metrics.outbox_pending(row.get::<i64, _>(0), row.get::<f64, _>(1));
        Ok(())
    }

    async fn close(self, orderly: bool) {
        self.publisher.close(orderly).await;
        let closing = async {
            if let Err(error) = self.conn.close().await {
                tracing::debug!(%error, "relay connection");
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), closing).await.is_err() {
            tracing::debug!("relay connection did not close in time");
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(STATEMENT_MAX, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Fault::transient("the database did not answer the relay in time")),
    }
}
