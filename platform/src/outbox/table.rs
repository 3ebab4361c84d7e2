//! What the relay says to the database, on a connection of its own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sqlx::Row;

use super::planted;
use super::publish::Outgoing;
use super::watermark::Watermark;
use super::{CHANNEL, LOCK_CLASS, Session};
use crate::Fault;
use crate::kafka::SHARDS;
use crate::plant::{self, Plant};

/// How the server treats this connection. What a crashed one forgets of the marks is sent once more, by a
/// new session. The relay says the same few statements all the time, and for each there is one way that
/// stays good however the tables grow, by an index: it is found once.
pub(super) const SETTINGS: [(&str, &str); 5] = [
    ("synchronous_commit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
];
/// No statement of the relay takes longer.
const STATEMENT_MAX: Duration = Duration::from_secs(10);

/// How much waits, as far as the relay has said, and for how many seconds: counted up to a bound, so that
/// counting stays cheap. Each gap between what is sent is looked into by itself; as a join, a plan may walk
/// through the whole outbox to find who lies in a gap.
pub(crate) const PENDING: &str =
    "SELECT count(*), COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float8
     FROM (SELECT below, sent, array_agg(shard) AS shards FROM millrace.relay
           GROUP BY below, sent) AS said
         CROSS JOIN LATERAL (
             SELECT row.recorded_at
             FROM unnest(int8multirange(int8range(below, NULL)) - sent) AS gap
                 CROSS JOIN LATERAL (
                     SELECT recorded_at FROM millrace.outbox
                     WHERE id >= lower(gap) AND id < COALESCE(upper(gap), 9223372036854775807)
                         AND shard = ANY (said.shards)
                     ORDER BY id LIMIT 10000) AS row
             LIMIT 10000) AS waiting";

/// The oldest rows that are not sent. They lie in gaps between ranges of what is; behind the last gap that
/// is looked into by itself there may be more ranges.
const UNSENT: &str =
    "SELECT event_id, topic, name, key, version, payload, correlation_id, causation_id, traceparent,
         occurred_at, recorded_at, raw_headers, raw_key, raw_timestamp_ms, id, shard
     FROM (SELECT *, sum(octet_length(payload)) OVER (
               ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
           FROM (SELECT row.*
                 FROM unnest($2::bigint[], $3::bigint[]) AS gap (first, behind)
                     CROSS JOIN LATERAL (
                         SELECT * FROM millrace.outbox
                         WHERE id >= gap.first AND id < gap.behind AND shard = ANY($1)
                             AND id >= ($4::bigint[])[shard + 1] AND key <> ALL($7)
                             AND NOT id <@ (SELECT COALESCE(range_agg(int8range(first, behind)), '{}')
                                 FROM unnest($5::bigint[], $6::bigint[]) AS range (first, behind))
                         ORDER BY id LIMIT $8) AS row
                 ORDER BY id LIMIT $8) AS oldest) AS batch
     WHERE COALESCE(before, 0) < $9 ORDER BY id";

impl Session<'_> {
    /// Takes every shard nobody owns, and learns what its last owner has sent.
    pub(super) async fn take_shards(&mut self) -> Result<(), Fault> {
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
        if taken.is_empty() {
            return Ok(());
        }
        self.watermark = Watermark::default();
        let learn = sqlx::query(
            "SELECT shard, below,
                 ARRAY(SELECT lower(range) FROM unnest(sent) AS range ORDER BY range),
                 ARRAY(SELECT upper(range) FROM unnest(sent) AS range ORDER BY range)
             FROM millrace.relay WHERE shard = ANY($1)",
        );
        for row in in_time(learn.bind(&taken).fetch_all(&mut self.conn)).await? {
            let (firsts, behinds): (Vec<i64>, Vec<i64>) = (row.get(2), row.get(3));
            let ranges: Vec<(i64, i64)> = firsts.into_iter().zip(behinds).collect();
            self.memory.sent.learn(row.get(0), row.get(1), &ranges);
        }
        self.shards.extend(taken.into_iter().map(|shard| shard as i16));
        // A session before this one may not have come to say what it sent.
        self.unsaved = Some(Instant::now());
        if !planted::by_table() {
            self.core.fresh.open(&self.shards);
        }
        Ok(())
    }

    /// Which ids no transaction can commit any more.
    pub(super) async fn look_for_transactions(&mut self) -> Result<(), Fault> {
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

    /// The oldest rows, as many as are sent at once; the first of them whatever its size.
    pub(super) async fn unsent(
        &mut self,
        blocked: &HashSet<String>,
    ) -> Result<Vec<Outgoing>, Fault> {
        if self.shards.is_empty() {
            return Ok(vec![]);
        }
        let outbox = &self.core.config.outbox;
        let (sent, shards) = (&self.memory.sent, &self.shards);
        let ((firsts, behinds), ranges) = (sent.gaps(shards), sent.ranges());
        let select = sqlx::query(UNSENT)
            .bind(shards)
            .bind(firsts)
            .bind(behinds)
            .bind(sent.below())
            .bind(ranges.0)
            .bind(ranges.1)
            .bind(blocked.iter().cloned().collect::<Vec<_>>())
            .bind(outbox.batch_records_max as i64)
            .bind(outbox.batch_bytes_max as i64);
        let rows = in_time(select.fetch_all(&mut self.conn)).await?;
        let mut rows: Vec<Outgoing> = rows.iter().map(Outgoing::from_row).collect();
        rows.iter_mut().for_each(planted::key_case);
        Ok(rows)
    }

    /// Writes down what is sent.
    pub(super) async fn save(&mut self) -> Result<(), Fault> {
        if self.unsaved.is_none() {
            return Ok(());
        }
        let sent = &self.memory.sent;
        let ranges = sent.ranges();
        let save = sqlx::query(
            "UPDATE millrace.relay SET below = ($2::bigint[])[shard + 1], sent = (
                 SELECT COALESCE(range_agg(int8range(first, behind)), '{}')
                 FROM unnest($3::bigint[], $4::bigint[]) AS range (first, behind))
             WHERE shard = ANY($1)",
        );
        let save = save.bind(&self.shards).bind(sent.below()).bind(ranges.0).bind(ranges.1);
        in_time(save.execute(&mut self.conn)).await?;
        self.unsaved = None;
        Ok(())
    }

    /// How much waits, and for how long.
    pub(super) async fn measure(&mut self) -> Result<(), Fault> {
        self.save().await?;
        let row = in_time(sqlx::query(PENDING).fetch_one(&mut self.conn)).await?;
        self.core.metrics.outbox_pending(row.get::<i64, _>(0), row.get::<f64, _>(1));
        Ok(())
    }

    /// After the commit and on a connection of its own: a NOTIFY inside the business transaction
    /// cut the commit rate to a sixth. One notification stands for any number of commits.
    pub(super) async fn tell_others(&mut self) -> Result<(), Fault> {
        if self.shards.len() < SHARDS as usize {
            let notify = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL);
            in_time(notify.execute(&mut self.conn)).await?;
        }
        Ok(())
    }
}

pub(super) async fn in_time<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(STATEMENT_MAX, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Fault::transient("the database did not answer the relay in time")),
    }
}
