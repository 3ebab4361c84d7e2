//! The drain: parked keys whose time has come are handled, each in the order of its records and
//! in one transaction, until nothing of it waits and the key rejoins the live stream. Any instance
//! may drain any key; the key's row lock says who does.

use std::sync::Arc;
use std::time::Duration;

use millrace_contract::{EventId, Position, headers_from_json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::letter::{Fault as LetterFault, Letter, fingerprint};
use super::rows::{self, Key, Parked};
use super::store::{self, KeyState, Status};
use super::{Sentence, gap, planted, policy, sentence};
use crate::consume::arrive::{Arrivals, Incoming, Record};
use crate::consume::reaction::{Failure, Read, Room, guarded};
use crate::consume::turn::{Condemned, Fate, Turn};
use crate::core::{Core, in_time};
use crate::store::{Known, last_versions};
use crate::{Condition, Fault, Poison, Tx, fail};

/// Looks at what is due this often.
const TICK: Duration = Duration::from_millis(200);
/// Keys drained before the next look.
const KEYS_MAX: i64 = 256;
/// Records of one key handled in one transaction.
const RECORDS_MAX: i64 = 100;

/// Drains what is due, until stopped.
pub(crate) async fn run(
    core: Arc<Core>,
    room: Arc<dyn Room>,
    condition: Condition,
    held: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let ids = core.schema_ids.get().cloned().unwrap_or_default();
    let arrivals = Arrivals::new(core.registry.clone(), room.facts(), ids);
    let drain = Drain { reads: room.facts(), core, room, arrivals };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
        let foreign = drain.room.is_view() && *drain.core.live.borrow() == 0;
        if foreign || *held.borrow() || drain.core.pauses.borrow().group {
            continue;
        }
        match drain.due_keys(&stop).await {
            Ok(()) => condition.ok(),
            Err(fault) => {
                tracing::warn!(service = drain.core.service, error = %fault, "drain waits");
                condition.not(format!("parked records cannot be tried: {fault}"));
            }
        }
    }
}

struct Drain {
    core: Arc<Core>,
    room: Arc<dyn Room>,
    reads: Vec<Read>,
    arrivals: Arrivals,
}

/// How an attempt at a key ended.
enum Drained {
    /// Nothing more to do for now.
    Rests,
    /// More of it waits.
    More,
}

impl Drain {
    async fn due_keys(&self, stop: &CancellationToken) -> Result<(), Fault> {
        let due: Vec<String> = in_time(async {
            let due = sqlx::query_scalar(
                "SELECT key FROM millrace.parked_key
                 WHERE state <> 'dead' AND due_at <= clock_timestamp() ORDER BY due_at LIMIT $1",
            );
            Ok(due.bind(KEYS_MAX).fetch_all(&self.core.pool).await?)
        })
        .await?;
        for key in due {
            if stop.is_cancelled() {
                return Ok(());
            }
            self.key(&key, stop).await?;
        }
        Ok(())
    }

    /// Drains one key as far as it goes.
    async fn key(&self, key: &str, stop: &CancellationToken) -> Result<(), Fault> {
        let mut condemned: Option<(EventId, Poison)> = None;
        let mut records_max = RECORDS_MAX;
        while !stop.is_cancelled() {
            match guarded(Box::pin(self.attempt(key, records_max, condemned.as_ref()))).await {
                Ok(Drained::Rests) => return Ok(()),
                Ok(Drained::More) => (condemned, records_max) = (None, RECORDS_MAX),
                Err(Failure::Transient(fault)) => return Err(fault),
                Err(Failure::Full(_, text)) => return Err(Fault::transient(text)),
                Err(Failure::Record(_, poison) | Failure::Batch(poison)) if records_max == 1 => {
                    condemned = Some((self.head(key).await?, poison));
                }
                // One by one, so that the fault finds its record.
                Err(Failure::Record(..) | Failure::Batch(_) | Failure::Apart) => records_max = 1,
            }
        }
        Ok(())
    }

    async fn head(&self, key: &str) -> Result<EventId, Fault> {
        let head = sqlx::query_scalar::<_, Uuid>(
            "SELECT event_id FROM millrace.parked
             WHERE key = $1 AND status IN ('waiting', 'retrying', 'dead') ORDER BY id LIMIT 1",
        );
        let id = in_time(async { Ok(head.bind(key).fetch_one(&self.core.pool).await?) }).await?;
        EventId::new(id).map_err(Fault::poison)
    }

    async fn attempt(
        &self,
        key: &str,
        records_max: i64,
        condemned: Option<&(EventId, Poison)>,
    ) -> Result<Drained, Failure> {
        let mut tx = self.core.begin().await?;
        let gap_wait = self.core.config.consume.gap_wait;
        let Some(key) = rows::lock(&mut tx, key, gap_wait).await? else {
            tx.commit().await?;
            return Ok(Drained::Rests);
        };
        let mut parked = self.records(&mut tx, &key.key, records_max).await?;
        planted::reorder(&mut parked);
        planted::send_again(&mut tx, &mut parked).await?;
        if planted::lose(&mut tx, &key, &parked).await? {
            tx.commit().await?;
            return Ok(Drained::Rests);
        }
        let mut batch: Vec<Incoming<'_>> = Vec::with_capacity(parked.len());
        let mut faults = Condemned::new();
        for (index, parked) in parked.iter().enumerate() {
            let payload = parked.edited.as_deref().or(parked.record.payload.as_deref());
            let (mut incoming, fault) = self.arrivals.arrive(&parked.record, payload).await?;
            incoming.id = parked.event_id;
            let known = condemned.filter(|(id, _)| *id == parked.event_id);
            faults.extend(known.map(|(_, poison)| (index, poison.clone())));
            faults.extend(fault.map(|fault| (index, fault)));
            batch.push(incoming);
        }
        let mut turn = Turn::new(&batch, [].into());
        turn.gaps_count = key.state == KeyState::Held;
        turn.versioned = !self.room.is_view();
        let last = match turn.gaps_count {
            true => Known::only(last_versions(&mut tx, &batch).await?),
            false => Known::default(),
        };
        self.room.apply(&self.core, &mut tx, &mut turn, &last, &faults).await?;
        self.note(&mut tx, &key, &parked, &turn).await?;
        fail::point("drain.before_commit");
        tx.commit().await?;
        fail::point("drain.after_commit");
        self.core.committed();
        self.core.news.tell(std::iter::once(key.key.as_str()));
        let all = turn.acted().count() == parked.len();
        Ok(if all && parked.len() as i64 == records_max { Drained::More } else { Drained::Rests })
    }

    async fn records(&self, tx: &mut Tx, key: &str, max: i64) -> Result<Vec<Parked>, Fault> {
        let rows = sqlx::query(
            r#"SELECT id, event_id, topic, "partition", "offset", timestamp_ms, record_key, payload,
                   headers, edited, status, attempts, redrives, fingerprint, first_failed_at
               FROM millrace.parked
               WHERE key = $1 AND status IN ('waiting', 'retrying', 'dead') ORDER BY id LIMIT $2"#,
        )
        .bind(key)
        .bind(max)
        .fetch_all(tx.db())
        .await?;
        rows.iter().map(|row| self.parked(row)).collect()
    }

    fn parked(&self, row: &PgRow) -> Result<Parked, Fault> {
        let topic: &str = row.get(2);
        let known = self.reads.iter().find(|read| read.topic.name == topic);
        let known =
            known.ok_or_else(|| Fault::transient(format!("{topic} is not read any more")))?;
        let headers: &[u8] = row.get(8);
        Ok(Parked {
            id: row.get(0),
            event_id: EventId::new(row.get(1)).map_err(Fault::poison)?,
            record: Record {
                position: Position {
                    topic: known.topic.name,
                    partition: row.get(3),
                    offset: row.get(4),
                },
                timestamp_ms: row.get(5),
                key: row.get(6),
                payload: row.get(7),
                headers: Some((&headers_from_json(headers).map_err(Fault::poison)?).into()),
                generation: 0,
            },
            edited: row.get(9),
            dead: row.get::<&str, _>(10) == "dead",
            attempts: row.get(11),
            redrives: row.get(12),
            fingerprint: row.get(13),
            first_failed_at: row.get(14),
        })
    }

    /// Writes down what became of the records and of their key. Says whether a dead letter was
    /// written.
    async fn note(
        &self,
        tx: &mut Tx,
        key: &Key,
        parked: &[Parked],
        turn: &Turn<'_>,
    ) -> Result<(), Fault> {
        let mut outcomes = vec![];
        let (mut handled, mut waited) = (vec![], vec![]);
        for index in turn.acted() {
            outcomes.push((parked[index].event_id, "handled"));
            let list = if parked[index].dead { &mut handled } else { &mut waited };
            list.push(parked[index].id);
        }
        let redriven = "UPDATE millrace.parked SET status = 'redriven' WHERE id = ANY($1)";
        sqlx::query(planted::settled(redriven)).bind(&handled).execute(tx.db()).await?;
        let gone = "DELETE FROM millrace.parked WHERE id = ANY($1)";
        sqlx::query(gone).bind(&waited).execute(tx.db()).await?;
        let fate = turn.fates.iter().enumerate().find_map(|(index, fate)| match fate {
            Some(Fate::Failed(poison)) => Some((index, Some(poison.clone()))),
            Some(Fate::Gap { missing }) if key.waited => Some((index, Some(gap(*missing)))),
            Some(Fate::Gap { .. }) => Some((index, None)),
            _ => None,
        });
        let mut failed = false;
        match fate {
            Some((index, Some(poison))) => {
                let sentence = self.failed(tx, key, &parked[index], turn, index, &poison).await?;
                if sentence.status == Status::Dead {
                    outcomes.push((parked[index].event_id, "dead"));
                }
                failed = true;
            }
            Some((_, None)) => {
                rows::wait_on(tx, key, self.core.config.consume.gap_wait).await?;
                return store::set_outcomes(tx, &outcomes).await;
            }
            None => {}
        }
        store::set_outcomes(tx, &outcomes).await?;
        rows::count(tx, key, !handled.is_empty(), failed).await?;
        if !failed {
            store::settle_keys(tx, std::slice::from_ref(&key.key)).await?;
            planted::rest(tx, key, &handled).await?;
        }
        Ok(())
    }

    /// One more attempt failed.
    async fn failed(
        &self,
        tx: &mut Tx,
        key: &Key,
        parked: &Parked,
        turn: &Turn<'_>,
        index: usize,
        poison: &Poison,
    ) -> Result<Sentence, Fault> {
        let incoming = &turn.batch[index];
        let attempts = parked.attempts + 1;
        let redriven = i32::from(key.state == KeyState::Redriving && parked.dead);
        let sentence =
            sentence(policy(&self.reads, incoming), incoming, poison, attempts.unsigned_abs());
        let print = fingerprint(self.core.service, &incoming.name, poison);
        let same = redriven == 1 && print == parked.fingerprint;
        let mut fault = LetterFault::new(print, poison, sentence.reason);
        fault.attempts = attempts;
        fault.redrives = parked.redrives + redriven;
        fault.first_failed_at = parked.first_failed_at;
        fault.operation = key.operation;
        rows::save_failure(tx, parked.id, &fault, sentence.status).await?;
        rows::move_key(tx, key, &sentence, &fault.fingerprint).await?;
        self.core.metrics.parked(sentence.status == Status::Dead, poison.code(), sentence.reason);
        if let Some(operation) = key.operation.filter(|_| same) {
            let print = &fault.fingerprint;
            rows::stop_operation(tx, operation, &format!("cause {print} came back: {poison}"))
                .await?;
        }
        if sentence.status == Status::Dead {
            let (record, id) = (&parked.record, parked.event_id);
            let letter = Letter { core: &self.core, record, id, key: &key.key, fault: &fault };
            store::announce_letters(tx, &self.core, &[letter]).await?;
        }
        Ok(sentence)
    }
}
