//! What a transaction announces is written to the outbox, under the next versions of its keys, and handed
//! to the relay of this process, which may send it when the transaction is committed.

use std::collections::{BTreeMap, HashMap};

use millrace_contract::{EventId, RECORD_BYTES_MAX};
use uuid::Uuid;

use super::planted;
use super::publish::Outgoing;
use crate::emit::Announced;
use crate::kafka::shard_of;
use crate::store::{Known, Versions, columns};
use crate::{Fault, Tx};

/// Writes the facts to the outbox under the next versions of their keys, and remembers the versions
/// applied by this transaction.
pub(crate) async fn announce(
    tx: &mut Tx,
    facts: Vec<Announced>,
    schema_ids: &HashMap<&'static str, u32>,
    applied: &Versions,
    known: &Known,
) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(facts.len());
    for fact in facts {
        let schema_id = schema_ids.get(fact.name);
        let schema_id =
            schema_id.ok_or_else(|| Fault::transient("schema ids are not known yet"))?;
        rows.push(outgoing(fact, *schema_id)?);
    }
    let as_written = insert(tx, &mut rows, applied, known).await?;
    planted::version_by_clock(tx, &rows).await?;
    rows.iter_mut().for_each(planted::key_case);
    match as_written {
        true => tx.hand_over(rows),
        false => tx.leave_to_the_table(),
    }
    Ok(())
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
    tx.leave_to_the_table();
    Ok(())
}

/// A fact that no broker would take is refused here, where it costs one command, and not at
/// the relay, where it would hold up its key.
fn outgoing(fact: Announced, schema_id: u32) -> Result<Outgoing, Fault> {
    let size = fact.datum.as_ref().map_or(0, Vec::len);
    if size > RECORD_BYTES_MAX {
        return Err(Fault::poison(format!("{} has {size} bytes, too large to send", fact.name)));
    }
    Ok(Outgoing {
        event_id: fact.id.uuid(),
        shard: shard_of(&fact.key),
        topic: fact.topic.name.into(),
        name: fact.name.into(),
        payload: fact.datum.map(|datum| millrace_contract::frame(schema_id, &datum)),
        key: fact.key,
        correlation_id: fact.cause.correlation,
        causation_id: fact.cause.causation.map(EventId::uuid),
        traceparent: fact.cause.trace.map(|trace| trace.0),
        occurred_at: fact.occurred_at,
        ..Outgoing::default()
    })
}

/// The versions that the facts of a key need.
#[derive(Default)]
struct Drawn {
    count: i64,
    /// Of how many facts it is known so far.
    said: i64,
    /// Among the keys that somebody may have begun before, from 1. Of a key that begins here, `None`: its first
    /// version is 1.
    place: Option<i32>,
}

/// The row of a key is locked before its facts draw their ids from the outbox, so that ids of one key are in
/// commit order; whoever begins with a key that somebody else has begun with meanwhile is refused, whatever he
/// drew. Keys that were begun before come back with their versions, sorted as they are here: by bytes.
///
/// Says whether they stand there as they were given: a trigger of somebody else may have changed them.
async fn insert(
    tx: &mut Tx,
    rows: &mut [Outgoing],
    applied: &Versions,
    known: &Known,
) -> Result<bool, Fault> {
    let mut keys: BTreeMap<(&str, &str), Drawn> = BTreeMap::new();
    for row in rows.iter() {
        keys.entry((&row.topic, &row.key)).or_default().count += 1;
    }
    let begun = keys.iter_mut().filter(|((topic, key), _)| !known.opens(topic, key));
    begun.zip(1..).for_each(|((_, drawn), place)| drawn.place = Some(place));
    // Where the last new version of its key stands, and how far from it, or from none, the fact's is.
    let (mut places, mut steps) = (vec![], vec![]);
    for row in rows.iter() {
        let drawn = keys.entry((&row.topic, &row.key)).or_default();
        drawn.said += 1;
        places.push(drawn.place);
        steps.push(drawn.said - drawn.place.map_or(0, |_| drawn.count));
    }
    let versions = columns(applied, known);
    let written: Option<Written> = sqlx::query_as(INSERT)
        .bind(column(rows, |row| row.event_id))
        .bind(column(rows, |row| row.shard))
        .bind(column(rows, |row| &*row.topic))
        .bind(column(rows, |row| &*row.name))
        .bind(column(rows, |row| row.key.as_str()))
        .bind(places)
        .bind(steps)
        .bind(column(rows, |row| row.payload.as_deref()))
        .bind(column(rows, |row| row.correlation_id.as_str()))
        .bind(column(rows, |row| row.causation_id))
        .bind(column(rows, |row| row.traceparent.as_deref()))
        .bind(column(rows, |row| row.occurred_at.datetime()))
        .bind(keys.keys().map(|(topic, _)| *topic).collect::<Vec<_>>())
        .bind(keys.keys().map(|(_, key)| *key).collect::<Vec<_>>())
        .bind(keys.values().map(|drawn| drawn.count).collect::<Vec<_>>())
        .bind(keys.values().map(|drawn| drawn.place.is_none()).collect::<Vec<_>>())
        .bind(versions.topics)
        .bind(versions.keys)
        .bind(versions.numbers)
        .bind(versions.new)
        .fetch_optional(tx.db())
        .await
        .map_err(met)?;
    let written = written.ok_or_else(|| Fault::transient("a fact was not written"))?;
    let mut as_written = true;
    for (at, row) in rows.iter_mut().enumerate() {
        row.id = written.ids[at];
        row.version = written.versions[at];
        row.recorded_at = written.times[at].into();
        let size = written.sizes[at].map(i32::unsigned_abs);
        as_written &= written.events[at] == row.event_id
            && size == row.payload.as_ref().map(|payload| payload.len() as u32);
    }
    Ok(as_written)
}

/// What the server has added to facts, in their order: one row with all of it costs less than a row for each.
#[derive(sqlx::FromRow)]
struct Written {
    events: Vec<Uuid>,
    ids: Vec<i64>,
    versions: Vec<i64>,
    times: Vec<time::OffsetDateTime>,
    sizes: Vec<Option<i32>>,
}

/// Somebody else has begun with a key meanwhile that nobody had begun with: done again, one sees what he did.
fn met(error: sqlx::Error) -> Fault {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    match constraint {
        Some("stream_version_pkey" | "last_version_pkey") => Fault::transient(error),
        _ => error.into(),
    }
}

const INSERT: &str = r#"WITH begun AS (
         INSERT INTO millrace.stream_version (topic, key, version)
         SELECT topic, key, count
         FROM unnest($13::text[], $14::text[], $15::bigint[], $16::bool[])
             AS said (topic, key, count, new)
         WHERE new),
     risen AS (
         INSERT INTO millrace.stream_version AS stream (topic, key, version)
         SELECT topic, key, count
         FROM unnest($13::text[], $14::text[], $15::bigint[], $16::bool[])
             AS said (topic, key, count, new)
         WHERE NOT new
         ON CONFLICT (topic, key) DO UPDATE SET version = stream.version + EXCLUDED.version
         RETURNING topic, key, version),
     saved AS (
         INSERT INTO millrace.last_version (topic, key, version)
         SELECT topic, key, version
         FROM unnest($17::text[], $18::text[], $19::bigint[], $20::bool[])
             AS applied (topic, key, version, new)
         WHERE new),
     raised AS (
         INSERT INTO millrace.last_version AS last (topic, key, version)
         SELECT topic, key, version
         FROM unnest($17::text[], $18::text[], $19::bigint[], $20::bool[])
             AS applied (topic, key, version, new)
         WHERE NOT new
         ON CONFLICT (topic, key) DO UPDATE SET version = EXCLUDED.version
         WHERE last.version < EXCLUDED.version),
     written AS (
         INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, causation_id, traceparent, occurred_at)
         SELECT event_id, shard, topic, name, key, COALESCE(versions[place], 0) + step, payload,
             correlation_id, causation_id, traceparent, occurred_at
         FROM (SELECT array_agg(version ORDER BY topic COLLATE "C", key COLLATE "C") AS versions
               FROM risen) AS risen,
             unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::int[],
                 $7::bigint[], $8::bytea[], $9::text[], $10::uuid[], $11::text[],
                 $12::timestamptz[]) WITH ORDINALITY AS fact (event_id, shard, topic, name, key,
                 place, step, payload, correlation_id, causation_id, traceparent, occurred_at, n)
         ORDER BY n
         RETURNING event_id, id, version, recorded_at, octet_length(payload) AS size)
     SELECT array_agg(event_id) AS events, array_agg(id) AS ids, array_agg(version) AS versions,
         array_agg(recorded_at) AS times, array_agg(size) AS sizes
     FROM written HAVING count(*) = cardinality($1)"#;

fn column<'a, T>(rows: &'a [Outgoing], of: impl Fn(&'a Outgoing) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
