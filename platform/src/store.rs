//! The platform's SQL: inbox, versions, outbox, positions. Every statement works on a batch and
//! costs the same number of round trips for one record as for five hundred.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use millrace_contract::{EventId, RECORD_BYTES_MAX};
use sqlx::Row;
use uuid::Uuid;

use crate::consume::arrive::Incoming;
use crate::emit::Announced;
use crate::kafka::shard_of;
use crate::plant::{self, Plant};
use crate::{Fault, Tx};

/// Versions by topic and key.
pub(crate) type Versions = HashMap<(&'static str, String), u64>;

/// Records the facts as arrived and says which of them had not arrived before. Comes first in the
/// transaction: whoever inserts the row owns the effect. Ids are sorted, so that a zombie and its
/// successor wait for each other instead of deadlocking.
pub(crate) async fn inbox_insert<'a>(
    tx: &mut Tx,
    batch: impl Iterator<Item = &'a Incoming<'a>>,
) -> Result<HashSet<EventId>, Fault> {
    let mut rows: Vec<&Incoming<'_>> = batch.collect();
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    rows.sort_by_key(|row| row.id);
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.uuid()).collect();
    let topics: Vec<&str> = rows.iter().map(|row| row.record.position.topic).collect();
    let partitions: Vec<i32> = rows.iter().map(|row| row.record.position.partition).collect();
    let offsets: Vec<i64> = rows.iter().map(|row| row.record.position.offset).collect();
    let digests: Vec<i64> = rows.iter().map(|row| row.digest).collect();
    let inserted = sqlx::query_scalar::<_, Uuid>(
        r#"INSERT INTO millrace.inbox (event_id, topic, "partition", "offset", digest)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
           ON CONFLICT (event_id) DO NOTHING
           RETURNING event_id"#,
    )
    .bind(ids)
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .bind(digests)
    .fetch_all(tx.db())
    .await?;
    let ids = inserted.into_iter().filter_map(|id| EventId::new(id).ok());
    Ok(ids.collect())
}

/// What the facts of a batch looked like that had arrived before.
pub(crate) async fn inbox_digests(
    tx: &mut Tx,
    batch: &[Incoming<'_>],
    new: &HashSet<EventId>,
) -> Result<HashMap<EventId, i64>, Fault> {
    let known = batch.iter().map(|row| row.id).filter(|id| !new.contains(id));
    let known: Vec<Uuid> = known.map(EventId::uuid).collect();
    let rows = sqlx::query(
        "SELECT event_id, digest FROM millrace.inbox
         WHERE event_id = ANY($1) AND digest IS NOT NULL",
    )
    .bind(known)
    .fetch_all(tx.db())
    .await?;
    let digest = |row: &sqlx::postgres::PgRow| Some((EventId::new(row.get(0)).ok()?, row.get(1)));
    Ok(rows.iter().filter_map(digest).collect())
}

/// The last version applied for each key of the batch. Rows are locked in key order.
pub(crate) async fn last_versions(tx: &mut Tx, batch: &[Incoming<'_>]) -> Result<Versions, Fault> {
    let keyed =
        batch.iter().filter_map(|row| Some((row.record.position.topic, row.key.as_deref()?)));
    let (topics, keys): (Vec<&'static str>, Vec<&str>) = keyed.unzip();
    if keys.is_empty() {
        return Ok(Versions::new());
    }
    let rows = sqlx::query(
        "SELECT topic, key, version FROM millrace.last_version
         WHERE (topic, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
         ORDER BY topic, key FOR UPDATE",
    )
    .bind(&topics)
    .bind(&keys)
    .fetch_all(tx.db())
    .await?;
    let names: HashMap<&str, &'static str> = topics.iter().map(|topic| (*topic, *topic)).collect();
    let version = |row: &sqlx::postgres::PgRow| {
        let topic = names.get(row.get::<&str, _>(0)).copied()?;
        Some(((topic, row.get::<String, _>(1)), row.get::<i64, _>(2) as u64))
    };
    Ok(rows.iter().filter_map(version).collect())
}

/// Remembers the versions applied by this transaction.
pub(crate) async fn save_last_versions(tx: &mut Tx, applied: &Versions) -> Result<(), Fault> {
    if applied.is_empty() {
        return Ok(());
    }
    let sorted: BTreeMap<_, _> = applied.iter().collect();
    let topics: Vec<&str> = sorted.keys().map(|(topic, _)| *topic).collect();
    let keys: Vec<&str> = sorted.keys().map(|(_, key)| key.as_str()).collect();
    let versions: Vec<i64> = sorted.values().map(|version| **version as i64).collect();
    sqlx::query(
        "INSERT INTO millrace.last_version AS last (topic, key, version)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
         ON CONFLICT (topic, key) DO UPDATE SET version = EXCLUDED.version
         WHERE last.version < EXCLUDED.version",
    )
    .bind(topics)
    .bind(keys)
    .bind(versions)
    .execute(tx.db())
    .await?;
    Ok(())
}

/// Draws the next versions of every key under the key's row lock, then writes the facts to the
/// outbox: the lock comes before the outbox id, so that ids of one key are in commit order.
pub(crate) async fn announce(
    tx: &mut Tx,
    facts: &[Announced],
    schema_ids: &HashMap<&'static str, u32>,
) -> Result<(), Fault> {
    if facts.is_empty() {
        return Ok(());
    }
    let mut counts: BTreeMap<(&'static str, &str), i64> = BTreeMap::new();
    for fact in facts {
        *counts.entry((fact.topic.name, fact.key.as_str())).or_default() += 1;
    }
    let mut next = draw_versions(tx, &counts).await?;
    let mut rows = Rows::default();
    for fact in facts {
        let version = next
            .get_mut(&(fact.topic.name.to_owned(), fact.key.clone()))
            .ok_or_else(|| Fault::transient("the database did not give every version"))?;
        let schema_id = schema_ids
            .get(fact.name)
            .ok_or_else(|| Fault::transient("schema ids are not known yet"))?;
        rows.push(fact, *version, *schema_id)?;
        *version += 1;
    }
    rows.insert(tx).await
}

/// The first new version of each key.
async fn draw_versions(
    tx: &mut Tx,
    counts: &BTreeMap<(&'static str, &str), i64>,
) -> Result<HashMap<(String, String), i64>, Fault> {
    let topics: Vec<&str> = counts.keys().map(|(topic, _)| *topic).collect();
    let keys: Vec<&str> = counts.keys().map(|(_, key)| *key).collect();
    let counted: Vec<i64> = counts.values().copied().collect();
    let rows = sqlx::query(
        "INSERT INTO millrace.stream_version AS stream (topic, key, version)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
         ON CONFLICT (topic, key) DO UPDATE SET version = stream.version + EXCLUDED.version
         RETURNING topic, key, version",
    )
    .bind(topics)
    .bind(keys)
    .bind(counted)
    .fetch_all(tx.db())
    .await?;
    let first = |row: &sqlx::postgres::PgRow| {
        let (topic, key, last): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let count = counts.get(&(topic.as_str(), key.as_str())).copied().unwrap_or(1);
        ((topic, key), last - count + 1)
    };
    Ok(rows.iter().map(first).collect())
}

/// Columns of outbox rows.
#[derive(Default)]
struct Rows {
    event_id: Vec<Uuid>,
    shard: Vec<i16>,
    topic: Vec<&'static str>,
    name: Vec<&'static str>,
    key: Vec<String>,
    version: Vec<i64>,
    payload: Vec<Option<Vec<u8>>>,
    correlation: Vec<String>,
    causation: Vec<Option<Uuid>>,
    traceparent: Vec<Option<String>>,
    occurred_at: Vec<time::OffsetDateTime>,
}

impl Rows {
    /// A fact that no broker would take is refused here, where it costs one command, and not at
    /// the relay, where it would hold up its key.
    fn push(&mut self, fact: &Announced, version: i64, schema_id: u32) -> Result<(), Fault> {
        let size = fact.datum.as_ref().map_or(0, Vec::len);
        if size > RECORD_BYTES_MAX {
            return Err(Fault::poison(format!(
                "{} has {size} bytes, too large to send",
                fact.name
            )));
        }
        self.event_id.push(fact.id.uuid());
        self.shard.push(shard_of(&fact.key));
        self.topic.push(fact.topic.name);
        self.name.push(fact.name);
        self.key.push(fact.key.clone());
        self.version.push(if plant::is(Plant::VersionByClock) {
            // Milliseconds of now are far below 2^63.
            (fact.occurred_at.datetime().unix_timestamp_nanos() / 1_000_000) as i64
        } else {
            version
        });
        let framed = |datum: &Vec<u8>| millrace_contract::frame(schema_id, datum);
        self.payload.push(fact.datum.as_ref().map(framed));
        self.correlation.push(fact.cause.correlation.clone());
        self.causation.push(fact.cause.causation.map(EventId::uuid));
        self.traceparent.push(fact.cause.trace.as_ref().map(|trace| trace.0.clone()));
        self.occurred_at.push(fact.occurred_at.datetime());
        Ok(())
    }

    async fn insert(self, tx: &mut Tx) -> Result<(), Fault> {
        sqlx::query(
            "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
                 correlation_id, causation_id, traceparent, occurred_at)
             SELECT event_id, shard, topic, name, key, version, payload, correlation_id,
                 causation_id, traceparent, occurred_at
             FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[],
                 $6::bigint[], $7::bytea[], $8::text[], $9::uuid[], $10::text[],
                 $11::timestamptz[]) WITH ORDINALITY AS fact (event_id, shard, topic, name, key,
                 version, payload, correlation_id, causation_id, traceparent, occurred_at, n)
             ORDER BY n",
        )
        .bind(self.event_id)
        .bind(self.shard)
        .bind(self.topic)
        .bind(self.name)
        .bind(self.key)
        .bind(self.version)
        .bind(self.payload)
        .bind(self.correlation)
        .bind(self.causation)
        .bind(self.traceparent)
        .bind(self.occurred_at)
        .execute(tx.db())
        .await?;
        Ok(())
    }
}

/// Writes a record of the platform's own to the outbox: sent as it is, without attributes.
pub(crate) async fn announce_raw(
    tx: &mut Tx,
    topic: &str,
    name: &str,
    key: &str,
    payload: Vec<u8>,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, occurred_at, raw_key, raw_headers)
         VALUES ($1, $2, $3, $4, $5, 0, $6, '', transaction_timestamp(), $7, $8)",
    )
    .bind(Uuid::now_v7())
    .bind(shard_of(key))
    .bind(topic)
    .bind(name)
    .bind(key)
    .bind(payload)
    .bind(key.as_bytes())
    .bind(b"[]".as_slice())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// How far the view has folded these partitions, locked against a second folder of the same ones.
pub(crate) async fn positions(
    tx: &mut Tx,
    schema: &str,
    partitions: &BTreeSet<(&'static str, i32)>,
) -> Result<HashMap<(&'static str, i32), i64>, Fault> {
    let (topics, numbers): (Vec<&str>, Vec<i32>) = partitions.iter().copied().unzip();
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        r#"SELECT topic, "partition", next_offset FROM {schema}.view_position
           WHERE (topic, "partition") IN (SELECT * FROM unnest($1::text[], $2::int[]))
           ORDER BY topic, "partition" FOR UPDATE"#
    )))
    .bind(topics)
    .bind(numbers)
    .fetch_all(tx.db())
    .await?;
    let stored: HashMap<(&str, i32), i64> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    let known = |partition: &(&'static str, i32)| Some((*partition, *stored.get(partition)?));
    Ok(partitions.iter().filter_map(known).collect())
}

/// Moves the positions of a view, in the transaction of its rows.
pub(crate) async fn save_positions(
    tx: &mut Tx,
    schema: &str,
    next: &BTreeMap<(&'static str, i32), i64>,
) -> Result<(), Fault> {
    let topics: Vec<&str> = next.keys().map(|(topic, _)| *topic).collect();
    let partitions: Vec<i32> = next.keys().map(|(_, partition)| *partition).collect();
    let offsets: Vec<i64> = next.values().copied().collect();
    sqlx::query(sqlx::AssertSqlSafe(format!(
        r#"INSERT INTO {schema}.view_position (topic, "partition", next_offset)
           SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
           ON CONFLICT (topic, "partition") DO UPDATE SET next_offset = EXCLUDED.next_offset"#
    )))
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .execute(tx.db())
    .await?;
    Ok(())
}
