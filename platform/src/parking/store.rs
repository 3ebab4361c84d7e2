//! The SQL of parking. Every statement works on a batch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use millrace_contract::{EventId, headers_to_json};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::letter::{Fault as LetterFault, Letter, fingerprint};
use super::{Sentence, key_of};
use crate::consume::arrive::Incoming;
use crate::consume::turn::Waits;
use crate::core::Core;
use crate::kafka::shard_of;
use crate::plant::{self, Plant};
use crate::{Fault, Poison, Tx};

/// What a parked key waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    /// Its next attempt.
    Retrying,
    /// A fact that is missing.
    Held,
    /// An operator.
    Dead,
    /// Its turn in a redrive.
    Redriving,
}

/// What a parked record waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The record before it.
    Waiting,
    /// Its next attempt.
    Retrying,
    /// An operator.
    Dead,
}

/// A key that begins to wait.
pub(crate) struct NewKey {
    pub(crate) state: KeyState,
    pub(crate) pause: Option<Duration>,
    pub(crate) fingerprint: String,
}

/// A record that begins to wait.
pub(crate) struct Row<'a> {
    pub(crate) incoming: &'a Incoming<'a>,
    pub(crate) key: String,
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
    fault: Option<LetterFault>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) keys: i64,
    pub(crate) records: i64,
    pub(crate) dead: i64,
}

impl KeyState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Dead => "dead",
            Self::Redriving => "redriving",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Retrying, Self::Held, Self::Dead, Self::Redriving]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
        }
    }
}

impl<'a> Row<'a> {
    /// A record that failed.
    pub(crate) fn failed(
        service: &str,
        incoming: &'a Incoming<'a>,
        poison: &Poison,
        sentence: &Sentence,
    ) -> Self {
        let fault =
            LetterFault::new(fingerprint(service, &incoming.name, poison), poison, sentence.reason);
        let Sentence { status, reason, .. } = *sentence;
        Self { incoming, key: key_of(incoming), status, reason, fault: Some(fault) }
    }

    /// A record that waits for what is before it.
    pub(crate) fn behind(incoming: &'a Incoming<'a>, reason: &'static str) -> Self {
        let (key, status) = (key_of(incoming), Status::Waiting);
        Self { incoming, key, status, reason, fault: None }
    }

    pub(crate) fn error_type(&self) -> &str {
        self.fault.as_ref().map_or("", |fault| &fault.error_type)
    }

    pub(crate) fn message(&self) -> &str {
        self.fault.as_ref().map_or("", |fault| &fault.message)
    }

    /// The dead letter, when it is one.
    pub(crate) fn letter(&'a self, core: &'a Core) -> Option<Letter<'a>> {
        let fault = self.fault.as_ref().filter(|_| self.status == Status::Dead)?;
        let (record, id) = (self.incoming.record, self.incoming.id);
        Some(Letter { core, record, id, key: &self.key, fault })
    }
}

/// Parked keys among these, locked in their order. A record that comes while its key is drained
/// waits here for the drain's end, and sees what it left.
pub(crate) async fn waiting(tx: &mut Tx, keys: &[&str]) -> Result<HashMap<String, Waits>, Fault> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT key, state FROM millrace.parked_key WHERE key = ANY($1) ORDER BY key FOR UPDATE",
    )
    .bind(keys)
    .fetch_all(tx.db())
    .await?;
    let waits = |row: &sqlx::postgres::PgRow| {
        let waits = if row.get::<&str, _>(1) == "held" { Waits::Gap } else { Waits::Failed };
        (row.get(0), waits)
    };
    Ok(rows.iter().map(waits).collect())
}

/// Parks records, and says which were never parked before. One that was parked before and handled
/// since, and is read again from the beginning, takes its old place.
pub(super) async fn insert(tx: &mut Tx, rows: &[Row<'_>]) -> Result<HashSet<EventId>, Fault> {
    let record = |row: &Row<'_>| row.incoming.record.clone();
    let records: Vec<_> = rows.iter().map(record).collect();
    let fault = |pick: fn(&LetterFault) -> &str| -> Vec<String> {
        let text = |row: &Row<'_>| row.fault.as_ref().map_or("", pick).to_owned();
        rows.iter().map(text).collect()
    };
    let parked = sqlx::query(
        r#"INSERT INTO millrace.parked (key, event_id, topic, "partition", "offset", timestamp_ms,
               record_key, payload, headers, name, status, reason, error_type, error_message,
               error_chain, fingerprint, attempts, first_failed_at, last_failed_at)
           SELECT key, event_id, topic, "partition", "offset", timestamp_ms, record_key, payload,
               headers, name, status, reason, error_type, error_message, error_chain, fingerprint,
               (status <> 'waiting')::int,
               CASE WHEN status <> 'waiting' THEN transaction_timestamp() END,
               CASE WHEN status <> 'waiting' THEN transaction_timestamp() END
           FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::bigint[], $6::bigint[],
               $7::bytea[], $8::bytea[], $9::bytea[], $10::text[], $11::text[], $12::text[],
               $13::text[], $14::text[], $15::text[], $16::text[]) WITH ORDINALITY
               AS new (key, event_id, topic, "partition", "offset", timestamp_ms, record_key,
               payload, headers, name, status, reason, error_type, error_message, error_chain,
               fingerprint, n)
           ORDER BY n
           ON CONFLICT (event_id) DO UPDATE SET status = EXCLUDED.status
               WHERE parked.status = 'redriven'
           RETURNING event_id, xmax = 0"#,
    )
    .bind(rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.incoming.id.uuid()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.position.topic).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.position.partition).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.position.offset).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.timestamp_ms).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.key.clone()).collect::<Vec<_>>())
    .bind(records.iter().map(|record| record.payload.clone()).collect::<Vec<_>>())
    .bind(
        records
            .iter()
            .map(|record| headers_to_json(&record.unpacked_headers()))
            .collect::<Vec<_>>(),
    )
    .bind(rows.iter().map(|row| row.incoming.name.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.reason).collect::<Vec<_>>())
    .bind(fault(|fault| &fault.error_type))
    .bind(fault(|fault| &fault.message))
    .bind(fault(|fault| &fault.chain))
    .bind(fault(|fault| &fault.fingerprint))
    .fetch_all(tx.db())
    .await?;
    let new = parked.iter().filter(|row| row.get(1));
    Ok(new.filter_map(|row| EventId::new(row.get(0)).ok()).collect())
}

/// The fault of the first record that waits, for each of these keys of which one does.
pub(crate) async fn reasons(
    db: &mut PgConnection,
    keys: &[String],
) -> Result<HashMap<String, String>, Fault> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT ON (key) key,
             CASE WHEN error_type = '' THEN reason ELSE error_type || ': ' || error_message END
         FROM millrace.parked
         WHERE key = ANY($1) AND status IN ('waiting', 'retrying', 'dead') ORDER BY key, id",
    )
    .bind(keys)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Parks keys that are not parked yet.
pub(super) async fn insert_keys(tx: &mut Tx, keys: &BTreeMap<String, NewKey>) -> Result<(), Fault> {
    let seconds = |key: &NewKey| key.pause.map(|pause| pause.as_secs_f64());
    sqlx::query(
        "INSERT INTO millrace.parked_key (key, state, due_at, fingerprint)
         SELECT key, state, clock_timestamp() + make_interval(secs => seconds), fingerprint
         FROM unnest($1::text[], $2::text[], $3::float8[], $4::text[])
             AS new (key, state, seconds, fingerprint)
         ON CONFLICT (key) DO NOTHING",
    )
    .bind(keys.keys().map(String::as_str).collect::<Vec<_>>())
    .bind(keys.values().map(|key| key.state.as_str()).collect::<Vec<_>>())
    .bind(keys.values().map(seconds).collect::<Vec<_>>())
    .bind(keys.values().map(|key| key.fingerprint.as_str()).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// The inbox says that these did not act.
pub(super) async fn save_outcomes(tx: &mut Tx, rows: &[Row<'_>]) -> Result<(), Fault> {
    let outcome = |row: &Row<'_>| match row.status {
        Status::Dead => "dead",
        Status::Waiting | Status::Retrying => "parked",
    };
    let outcomes: Vec<(EventId, &str)> =
        rows.iter().map(|row| (row.incoming.id, outcome(row))).collect();
    set_outcomes(tx, &outcomes).await
}

pub(super) async fn set_outcomes(
    tx: &mut Tx,
    outcomes: &[(EventId, &'static str)],
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE millrace.inbox SET outcome = new.outcome
         FROM unnest($1::uuid[], $2::text[]) AS new (event_id, outcome)
         WHERE inbox.event_id = new.event_id",
    )
    .bind(outcomes.iter().map(|(id, _)| id.uuid()).collect::<Vec<Uuid>>())
    .bind(outcomes.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// Held keys whose missing version came are looked at now.
pub(super) async fn due_now(tx: &mut Tx, keys: &[String]) -> Result<(), Fault> {
    let held = sqlx::query(
        "UPDATE millrace.parked_key SET due_at = clock_timestamp()
         WHERE key = ANY($1) AND state = 'held'",
    );
    held.bind(keys).execute(tx.db()).await?;
    Ok(())
}

/// Writes dead letters to the outbox, behind everything else of the transaction.
pub(crate) async fn announce_letters(
    tx: &mut Tx,
    core: &Core,
    letters: &[Letter<'_>],
) -> Result<(), Fault> {
    if letters.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, occurred_at, raw_key, raw_headers, raw_timestamp_ms)
         SELECT event_id, shard, $1, name, key, 0, payload, '', transaction_timestamp(), raw_key,
             raw_headers, raw_timestamp_ms
         FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::bytea[], $7::bytea[],
             $8::bytea[], $9::bigint[]) WITH ORDINALITY AS letter (event_id, shard, name, key,
             payload, raw_key, raw_headers, raw_timestamp_ms, n)
         ORDER BY n",
    )
    .bind(&core.dead_letters)
    .bind(letters.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| shard_of(letter.key)).collect::<Vec<_>>())
    .bind(letters.iter().map(|_| "dead_letter").collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.key).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| planted_payload(letter)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| planted_key(letter)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| headers_to_json(&letter.headers())).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.record.timestamp_ms).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    tx.leave_to_the_table();
    Ok(())
}

/// The key of a dead letter, unless a defect is planted.
fn planted_key(letter: &Letter<'_>) -> Option<Vec<u8>> {
    letter.record.key.clone().filter(|_| !plant::is(Plant::LetterWithoutKey))
}

/// The payload of a dead letter, unless a defect is planted.
fn planted_payload(letter: &Letter<'_>) -> Option<Vec<u8>> {
    let mut payload = letter.record.payload.clone();
    if plant::is(Plant::LetterEncodedAgain) {
        payload.get_or_insert_default().push(0);
    }
    payload
}

/// How much waits now.
pub(crate) async fn counts(conn: &mut PgConnection) -> Result<Counts, Fault> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM millrace.parked_key),
                count(*), count(*) FILTER (WHERE status = 'dead')
         FROM millrace.parked WHERE status IN ('waiting', 'retrying', 'dead')",
    )
    .fetch_one(conn)
    .await?;
    Ok(Counts { keys: row.get(0), records: row.get(1), dead: row.get(2) })
}

/// A view begins a partition anew: what is parked of it will come again. What waited behind it
/// from elsewhere goes on. Of a record that died something is left: should it die again, its dead
/// letter is in its topic already.
pub(crate) async fn forget(tx: &mut Tx, topic: &str, partition: i32) -> Result<(), Fault> {
    let keys: Vec<String> = sqlx::query_scalar(
        r#"WITH waiting AS (
               DELETE FROM millrace.parked
               WHERE topic = $1 AND "partition" = $2 AND edited IS NULL
                 AND status IN ('waiting', 'retrying') RETURNING key),
           dead AS (
               UPDATE millrace.parked SET status = 'redriven'
               WHERE topic = $1 AND "partition" = $2 AND edited IS NULL
                 AND status IN ('dead', 'discarded') RETURNING key)
           SELECT key FROM waiting UNION SELECT key FROM dead"#,
    )
    .bind(topic)
    .bind(partition)
    .fetch_all(tx.db())
    .await?;
    settle_keys(tx, &keys).await
}

/// Keys without a record that holds them up: gone when nothing waits, drained when something does.
pub(crate) async fn settle_keys(tx: &mut Tx, keys: &[String]) -> Result<(), Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH head AS (
             SELECT DISTINCT ON (key) key, status FROM millrace.parked
             WHERE key = ANY($1) AND status IN ('waiting', 'retrying', 'dead') ORDER BY key, id),
         gone AS (
             DELETE FROM millrace.parked_key
             WHERE key = ANY($1) AND key NOT IN (SELECT key FROM head))
         UPDATE millrace.parked_key SET state = 'redriving', due_at = clock_timestamp()
         FROM head WHERE head.key = parked_key.key AND head.status = 'waiting'",
    )
    .bind(keys)
    .execute(tx.db())
    .await?;
    Ok(())
}
