//! The relay: it publishes the outbox in the order of each key, from memory as soon as a transaction of this
//! process is committed, and from the table what is not there: at its start, of other processes, after a
//! failure. One owner for each key shard, held by an advisory lock on the relay's own connection: whoever
//! loses the connection loses the shards, and what a zombie still sends is a repetition that every inbox
//! absorbs.
//!
//! Never a cursor over the sequence (it lost 53 % of events under concurrent writers), never SKIP
//! LOCKED between relays (it inverted the order of keys).

mod announce;
mod fresh;
mod heads;
mod partitions;
mod planted;
mod publish;
mod sent;
mod table;
mod watermark;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

pub(crate) use announce::{announce, announce_raw};
pub(crate) use fresh::{Fresh, Place};
use heads::Heads;
pub use partitions::Horizon;
pub(crate) use partitions::maintain;
pub(crate) use publish::Outgoing;
use publish::{Outcome, Publisher};
use sent::Sent;
pub(crate) use table::PENDING;
use table::in_time;
use watermark::Watermark;

use crate::core::Core;
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
/// What is sent is written down this often while something is: what a crash forgets is sent again.
const SAVED_EVERY: Duration = Duration::from_millis(100);

/// Publishes until `stop`, then what is still unsent, for as long as `drain` allows.
pub(crate) async fn run(core: Arc<Core>, condition: Condition, stop: CancellationToken) {
    let mut attempt = 0;
    let mut memory = Memory::default();
    while !stop.is_cancelled() {
        let opened = Session::open(core.clone(), condition.clone(), &mut memory).await;
        let mut session = match opened {
            Ok(session) => session,
            Err(fault) => {
                pause(&core, &condition, &fault, &mut attempt, &stop).await;
                continue;
            }
        };
        let opened = Instant::now();
        let outcome = session.publish_until(&stop).await;
        core.fresh.close();
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
struct Session<'a> {
    core: Arc<Core>,
    condition: Condition,
    conn: PgConnection,
    listener: PgListener,
    publisher: Publisher,
    shards: Vec<i16>,
    watermark: Watermark,
    heads: Heads,
    /// Something may be in the table that is not in memory.
    sweep: bool,
    /// Since when something is sent that is not written down as sent.
    unsaved: Option<Instant>,
    memory: &'a mut Memory,
}

/// What outlives a session: of a fact that was sent it stays true.
#[derive(Default)]
struct Memory {
    sent: Sent,
    blocked: Blocked,
}

/// Keys that are left alone for a while, so that others flow.
#[derive(Default)]
struct Blocked(Vec<(String, Instant)>);

impl Blocked {
    fn add(&mut self, key: &str, time: Duration) {
        if self.0.len() < BLOCKED_MAX {
            self.0.push((key.to_owned(), Instant::now() + time));
        }
    }

    fn keys(&mut self) -> HashSet<String> {
        self.0.retain(|(_, until)| *until > Instant::now());
        self.0.iter().map(|(key, _)| key.clone()).collect()
    }
}

impl<'a> Session<'a> {
    async fn open(
        core: Arc<Core>,
        condition: Condition,
        memory: &'a mut Memory,
    ) -> Result<Self, Fault> {
        let options = core.pool.connect_options().as_ref().clone().options(table::SETTINGS);
        let conn = in_time(PgConnection::connect_with(&options)).await?;
        let url = core.config.database.url();
        let mut listener = in_time(PgListener::connect(url)).await?;
        in_time(listener.listen(CHANNEL)).await?;
        let publisher = Publisher::connect(&core).await?;
        Ok(Self {
            core,
            condition,
            conn,
            listener,
            publisher,
            shards: vec![],
            watermark: Watermark::default(),
            heads: Heads::default(),
            sweep: true,
            unsaved: None,
            memory,
        })
    }

    async fn publish_until(&mut self, stop: &CancellationToken) -> Result<(), Fault> {
        let mut looked = None::<Instant>;
        let mut ending = false;
        loop {
            if looked.is_none_or(|at| at.elapsed() >= self.core.config.outbox.poll) {
                self.take_shards().await?;
                self.look_for_transactions().await?;
                self.measure().await?;
                self.publisher.look_now_and_then().await?;
                (looked, self.sweep) = (Some(Instant::now()), true);
            }
            if stop.is_cancelled() && !ending {
                (ending, self.sweep) = (true, true);
            }
            let rows = self.next().await?;
            let idle = rows.is_empty() && !self.sweep;
            if !rows.is_empty() {
                self.send(rows).await?;
            }
            self.condition.ok();
            if self.unsaved.is_some_and(|since| since.elapsed() >= SAVED_EVERY) {
                self.save().await?;
                fail::point("relay.after_mark");
            }
            if idle && ending {
                return Ok(());
            }
            if idle {
                self.wait_for_work(stop).await?;
            }
        }
    }

    /// Waits until there may be work: this process committed, another process said so, what is sent has
    /// to be written down, or the slow poll is due.
    async fn wait_for_work(&mut self, stop: &CancellationToken) -> Result<(), Fault> {
        let core = self.core.clone();
        let unsaved = self.unsaved.map(|since| SAVED_EVERY.saturating_sub(since.elapsed()));
        tokio::select! {
            () = stop.cancelled() => {}
            () = core.fresh.news() => {}
            heard = self.listener.recv() => {
                heard?;
                self.sweep = true;
            }
            () = tokio::time::sleep(unsaved.unwrap_or(core.config.outbox.poll)) => {}
        }
        Ok(())
    }

    /// What is sent next: what was just committed here or, while there may be more in the table, the oldest
    /// of it.
    async fn next(&mut self) -> Result<Vec<Outgoing>, Fault> {
        let (core, blocked) = (self.core.clone(), self.memory.blocked.keys());
        let limits = &core.config.outbox;
        if !self.sweep {
            let taken = core.fresh.take(limits.batch_records_max, limits.batch_bytes_max);
            if taken.missed {
                self.tell_others().await?;
            }
            let mut rows = taken.rows;
            rows.retain(|row| {
                !self.memory.sent.contains(row.shard, row.id) && !blocked.contains(&row.key)
            });
            self.sweep = taken.missed;
            if self.heads.lead_to(&rows) {
                return Ok(planted::taken(rows));
            }
        }
        let rows = self.unsent(&blocked).await?;
        if blocked.is_empty() {
            self.watermark.found(rows.first().map(|row| row.id));
            self.memory.sent.settle(&self.shards, self.watermark.from());
        }
        let (found, bytes) = (rows.len(), rows.iter().map(Outgoing::bytes).sum::<usize>());
        let rows = planted::taken(rows);
        self.sweep = found >= limits.batch_records_max
            || bytes >= limits.batch_bytes_max
            || rows.len() < found;
        Ok(rows)
    }

    /// Publishes rows and remembers what the broker acknowledged.
    async fn send(&mut self, rows: Vec<Outgoing>) -> Result<(), Fault> {
        let core = self.core.clone();
        let _busy = core.courtesy.busy();
        self.mark_first(&rows).await?;
        fail::point("relay.before_produce");
        let outcome = self.publish(&rows).await;
        fail::point("relay.after_ack");
        for index in &outcome.acknowledged {
            let row = &rows[*index];
            self.memory.sent.add(row.id, row.id + 1);
            self.heads.sent(row);
            self.unsaved.get_or_insert_with(Instant::now);
        }
        self.skip_below_cursor();
        let blocked = &mut self.memory.blocked;
        for (key, reason) in &outcome.refused {
            let service = core.service;
            tracing::error!(
                service,
                key,
                reason,
                "the broker refuses a record: its key is blocked"
            );
            core.metrics.publish_failed("refused");
            blocked.add(key, BLOCKED_FOR);
        }
        // One partition that nobody leads must not hold up the others.
        if outcome.failed.is_some() && !outcome.acknowledged.is_empty() {
            let acknowledged: HashSet<usize> = outcome.acknowledged.iter().copied().collect();
            let left = rows.iter().enumerate().filter(|(index, _)| !acknowledged.contains(index));
            left.for_each(|(_, row)| blocked.add(&row.key, UNLED_FOR));
        }
        core.metrics.blocked_keys(blocked.keys().len());
        self.sweep &= !outcome.acknowledged.is_empty();
        outcome.failed.map_or(Ok(()), Err)
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

    /// In order: what is sent is written down, and the shards are free when the connection ends.
    async fn close(mut self, orderly: bool) {
        self.publisher.close(orderly).await;
        let closing = async {
            if let Err(fault) = self.save().await {
                tracing::debug!(%fault, "what was sent since is sent again");
            }
            if let Err(error) = self.conn.close().await {
                tracing::debug!(%error, "relay connection");
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), closing).await.is_err() {
            tracing::debug!("relay connection did not close in time");
        }
    }
}
