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

/// What is known of the keys of a batch before anything is decided.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The last version applied of each.
    pub(crate) last: Versions,
    /// Keys of which it was asked what was applied and what was announced.
    asked: HashSet<String>,
    /// On which topics something was announced of them, and on which it could have been.
    announced: HashSet<(&'static str, String)>,
    topics: Vec<&'static str>,
}

impl Known {
    /// What the last versions are, and nothing of announcements.
    pub(crate) fn only(last: Versions) -> Self {
        Self { last, ..Self::default() }
    }

    /// Whether no version was applied of a key: its row is new, as far as anybody could see.
    pub(crate) fn begins(&self, topic: &'static str, key: &str) -> bool {
        self.asked.contains(key) && !self.last.contains_key(&(topic, key.to_owned()))
    }

    /// Whether nothing was announced of a key.
    pub(crate) fn opens(&self, topic: &str, key: &str) -> bool {
        let Some(topic) = self.topics.iter().find(|known| **known == topic) else { return false };
        self.asked.contains(key) && !self.announced.contains(&(*topic, key.to_owned()))
    }
}

/// Records the facts as arrived and says which of them had not arrived before. Comes first in the
/// transaction: whoever inserts the row owns the effect. Ids are sorted, so that a zombie and its
/// successor wait for each other instead of deadlocking. They come back in one row, which costs less than a row
/// for each.
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
    let inserted: Vec<Uuid> = sqlx::query_scalar(
        r#"WITH new AS (
               INSERT INTO millrace.inbox (event_id, topic, "partition", "offset", digest)
               SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
               ON CONFLICT (event_id) DO NOTHING
               RETURNING event_id)
           SELECT COALESCE(array_agg(event_id), '{}') FROM new"#,
    )
    .bind(ids)
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .bind(digests)
    .fetch_one(tx.db())
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

/// What is known of the keys of the batch, unless one of them waits in parking: its lock has to come first, and
/// what it waited for has to be seen. Most keys are new to a service; rows that are known to be new are inserted
/// without asking for each whether it is there, which would cost twice as much.
pub(crate) async fn known_of_free(
    tx: &mut Tx,
    batch: &[Incoming<'_>],
    emits: &[&'static str],
) -> Result<Option<Known>, Fault> {
    let (topics, keys) = asked(batch);
    if keys.is_empty() {
        return Ok(Some(Known::default()));
    }
    // Without its limit the last look would be a join, and might walk through all that was ever announced.
    let rows = sqlx::query(
        "WITH waiting AS MATERIALIZED (
            SELECT FROM millrace.parked_key WHERE key = ANY($2))
        SELECT last.* FROM unnest($1::text[], $2::text[]) AS asked (topic, key)
            CROSS JOIN LATERAL (
                SELECT topic, key, version FROM millrace.last_version
                WHERE topic = asked.topic AND key = asked.key FOR UPDATE) AS last
        WHERE NOT EXISTS (SELECT FROM waiting)
        UNION ALL SELECT NULL, NULL, NULL WHERE EXISTS (SELECT FROM waiting)
        UNION ALL SELECT announced.*, NULL
        FROM unnest($3::text[]) AS emitted (topic) CROSS JOIN unnest($2::text[]) AS asked (key)
            CROSS JOIN LATERAL (
                SELECT topic, key FROM millrace.stream_version
                WHERE topic = emitted.topic AND key = asked.key LIMIT 1) AS announced",
    );
    let rows = rows.bind(&topics).bind(&keys).bind(emits).fetch_all(tx.db()).await?;
    let mut known = Known { topics: emits.to_vec(), ..Known::default() };
    known.asked = keys.iter().map(|key| (*key).to_owned()).collect();
    for row in &rows {
        let (Some(topic), key) = (row.get::<Option<&str>, _>(0), row.get::<Option<&str>, _>(1))
        else {
            return Ok(None);
        };
        let key = key.unwrap_or_default().to_owned();
        match row.get::<Option<i64>, _>(2) {
            Some(version) => {
                if let Some(topic) = topics.iter().find(|asked| **asked == topic) {
                    known.last.insert((*topic, key), version as u64);
                }
            }
            None => {
                if let Some(topic) = emits.iter().find(|emitted| **emitted == topic) {
                    known.announced.insert((*topic, key));
                }
            }
        }
    }
    Ok(Some(known))
}

/// The last version applied for each key of the batch.
pub(crate) async fn last_versions(tx: &mut Tx, batch: &[Incoming<'_>]) -> Result<Versions, Fault> {
    let (topics, keys) = asked(batch);
    if keys.is_empty() {
        return Ok(Versions::new());
    }
    let rows = sqlx::query(
        "SELECT last.* FROM unnest($1::text[], $2::text[]) AS asked (topic, key)
        CROSS JOIN LATERAL (
            SELECT topic, key, version FROM millrace.last_version
            WHERE topic = asked.topic AND key = asked.key FOR UPDATE) AS last",
    );
    let rows = rows.bind(&topics).bind(&keys).fetch_all(tx.db()).await?;
    let version = |row: &sqlx::postgres::PgRow| {
        let topic = topics.iter().find(|topic| **topic == row.get::<&str, _>(0))?;
        Some(((*topic, row.get::<String, _>(1)), row.get::<i64, _>(2) as u64))
    };
    Ok(rows.iter().filter_map(version).collect())
}

/// Topics and keys of a batch. Rows are locked in this order, one after the other: each is looked up by its
/// index, which a join promises only as long as the tables are of the size it was planned for.
fn asked<'a>(batch: &'a [Incoming<'_>]) -> (Vec<&'static str>, Vec<&'a str>) {
    let keyed =
        batch.iter().filter_map(|row| Some((row.record.position.topic, row.key.as_deref()?)));
    keyed.collect::<BTreeSet<(&'static str, &str)>>().into_iter().unzip()
}

/// Remembers the versions applied by this transaction.
pub(crate) async fn save_last_versions(tx: &mut Tx, applied: &Versions) -> Result<(), Fault> {
    if applied.is_empty() {
        return Ok(());
    }
    let versions = columns(applied, &Known::default());
    sqlx::query(
        "INSERT INTO millrace.last_version AS last (topic, key, version)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
         ON CONFLICT (topic, key) DO UPDATE SET version = EXCLUDED.version
         WHERE last.version < EXCLUDED.version",
    )
    .bind(versions.topics)
    .bind(versions.keys)
    .bind(versions.numbers)
    .execute(tx.db())
    .await?;
    Ok(())
}

/// Versions as a statement takes them.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    pub(crate) topics: Vec<&'a str>,
    pub(crate) keys: Vec<&'a str>,
    pub(crate) numbers: Vec<i64>,
    /// Of keys that begin.
    pub(crate) new: Vec<bool>,
}

/// In the order in which their rows are locked.
pub(crate) fn columns<'a>(versions: &'a Versions, known: &Known) -> Columns<'a> {
    let sorted: BTreeMap<_, _> = versions.iter().collect();
    let mut columns = Columns::default();
    for ((topic, key), version) in sorted {
        columns.topics.push(topic);
        columns.keys.push(key);
        columns.numbers.push(*version as i64);
        columns.new.push(known.begins(topic, key));
    }
    columns
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
