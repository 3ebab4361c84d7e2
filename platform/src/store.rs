//! The platform's SQL: inbox, versions, positions. Every statement works on a batch and
//! costs the same number of round trips for one record as for five hundred.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use millrace_contract::EventId;
use sqlx::Row;
use uuid::Uuid;

use crate::consume::arrive::Incoming;
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
    // A list leaves out no day, its bounds do.
    let rows = sqlx::query(
        "SELECT event_id, digest FROM millrace.inbox
         WHERE event_id = ANY($1) AND event_id BETWEEN $2 AND $3 AND digest IS NOT NULL",
    )
    .bind(&known)
    .bind(known.iter().min())
    .bind(known.iter().max())
    .fetch_all(tx.db())
    .await?;
    let digest = |row: &sqlx::postgres::PgRow| Some((EventId::new(row.get(0)).ok()?, row.get(1)));
    Ok(rows.iter().filter_map(digest).collect())
}

/// The last version applied for each key of the batch, unless one of the keys waits in parking: its
/// lock has to come first, and what it waited for has to be seen.
pub(crate) async fn last_versions_of_free(
    tx: &mut Tx,
    batch: &[Incoming<'_>],
) -> Result<Option<Versions>, Fault> {
    let sql = "WITH waiting AS MATERIALIZED (
            SELECT FROM millrace.parked_key WHERE key = ANY($2))
        SELECT last.* FROM unnest($1::text[], $2::text[]) AS asked (topic, key)
            CROSS JOIN LATERAL (
                SELECT topic, key, version FROM millrace.last_version
                WHERE topic = asked.topic AND key = asked.key FOR UPDATE) AS last
        WHERE NOT EXISTS (SELECT FROM waiting)
        UNION ALL SELECT NULL, NULL, NULL WHERE EXISTS (SELECT FROM waiting)";
    versions_by(tx, batch, sql).await
}

/// The last version applied for each key of the batch.
pub(crate) async fn last_versions(tx: &mut Tx, batch: &[Incoming<'_>]) -> Result<Versions, Fault> {
    let sql = "SELECT last.* FROM unnest($1::text[], $2::text[]) AS asked (topic, key)
        CROSS JOIN LATERAL (
            SELECT topic, key, version FROM millrace.last_version
            WHERE topic = asked.topic AND key = asked.key FOR UPDATE) AS last";
    Ok(versions_by(tx, batch, sql).await?.unwrap_or_default())
}

/// `None` when a row names no key. Rows are locked in the order of their keys, one after the other: each is
/// looked up by its index, which a join promises only as long as the tables are of the size it was planned for.
async fn versions_by(
    tx: &mut Tx,
    batch: &[Incoming<'_>],
    sql: &'static str,
) -> Result<Option<Versions>, Fault> {
    let keyed =
        batch.iter().filter_map(|row| Some((row.record.position.topic, row.key.as_deref()?)));
    let sorted: BTreeSet<(&'static str, &str)> = keyed.collect();
    let (topics, keys): (Vec<&'static str>, Vec<&str>) = sorted.into_iter().unzip();
    if keys.is_empty() {
        return Ok(Some(Versions::new()));
    }
    let rows = sqlx::query(sql).bind(&topics).bind(&keys).fetch_all(tx.db()).await?;
    let names: HashMap<&str, &'static str> = topics.iter().map(|topic| (*topic, *topic)).collect();
    let version = |row: &sqlx::postgres::PgRow| {
        let topic = names.get(row.get::<Option<&str>, _>(0)?).copied()?;
        Some(((topic, row.get::<String, _>(1)), row.get::<i64, _>(2) as u64))
    };
    Ok(rows.iter().map(version).collect())
}

/// Remembers the versions applied by this transaction.
pub(crate) async fn save_last_versions(tx: &mut Tx, applied: &Versions) -> Result<(), Fault> {
    if applied.is_empty() {
        return Ok(());
    }
    let (topics, keys, versions) = columns(applied);
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

/// Topics, keys and versions, in the order in which their rows are locked.
pub(crate) fn columns(versions: &Versions) -> (Vec<&str>, Vec<&str>, Vec<i64>) {
    let sorted: BTreeMap<_, _> = versions.iter().collect();
    let topics = sorted.keys().map(|(topic, _)| *topic).collect();
    let keys = sorted.keys().map(|(_, key)| key.as_str()).collect();
    (topics, keys, sorted.values().map(|version| **version as i64).collect())
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
