//! The SQL of asks. What is leased is leased by the time it falls due next: a call that dies with
//! its process is made again by anybody once that time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::emit::{Asked, Outside};
use crate::{Fault, Tx};

/// Answered asks are kept for this many days, so that a late repetition is known.
const ANSWERED_DAYS: i32 = 30;

/// An ask that this process calls now.
pub(crate) struct Leased {
    pub(crate) key: String,
    pub(crate) body: serde_json::Value,
    /// How often it was called, this time included.
    pub(crate) attempts: i32,
    pub(crate) traceparent: Option<String>,
}

/// An unanswered ask, locked by this transaction.
pub(crate) struct Locked {
    pub(crate) key: String,
    pub(crate) body: serde_json::Value,
    pub(crate) correlation: String,
    pub(crate) causation: Option<Uuid>,
    pub(crate) traceparent: Option<String>,
}

/// Why and when an ask is called again.
pub(crate) struct Again {
    pub(crate) key: String,
    pub(crate) after: Duration,
    pub(crate) error: Option<String>,
}

/// Writes what decisions ask and ask no more.
pub(crate) async fn write(tx: &mut Tx, outside: Outside) -> Result<(), Fault> {
    if !outside.asks.is_empty() {
        insert(tx, outside.asks).await?;
    }
    match outside.withdrawn.is_empty() {
        true => Ok(()),
        false => withdraw(tx, &outside.withdrawn).await,
    }
}

/// What was asked under the same key before stays as it is.
async fn insert(tx: &mut Tx, mut asks: Vec<Asked>) -> Result<(), Fault> {
    asks.sort_by(|a, b| (a.name, &a.key).cmp(&(b.name, &b.key)));
    sqlx::query(
        "INSERT INTO millrace.ask (name, key, stream, body, correlation_id, causation_id,
             traceparent)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::text[],
             $6::uuid[], $7::text[])
         ON CONFLICT (name, key) DO NOTHING",
    )
    .bind(asks.iter().map(|ask| ask.name).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.key.as_str()).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.stream.as_str()).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.body.clone()).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.correlation.as_str()).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.causation).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.traceparent.as_deref()).collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// An ask counts its attempts before it is called: one without attempts is known nowhere else.
async fn withdraw(tx: &mut Tx, asks: &[(&'static str, String)]) -> Result<(), Fault> {
    let (names, keys): (Vec<&str>, Vec<&str>) =
        asks.iter().map(|(name, key)| (*name, key.as_str())).unzip();
    sqlx::query(
        "UPDATE millrace.ask SET answered_at = clock_timestamp(), error = 'withdrawn'
         WHERE (name, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
             AND attempts = 0 AND answered_at IS NULL",
    )
    .bind(names)
    .bind(keys)
    .execute(tx.db())
    .await?;
    Ok(())
}

/// Takes at most so many asks that are due, for so long.
pub(crate) async fn lease(
    pool: &PgPool,
    name: &str,
    limit: usize,
    lease: Duration,
) -> Result<Vec<Leased>, Fault> {
    let rows = sqlx::query(
        "WITH due AS MATERIALIZED (
             SELECT key FROM millrace.ask
             WHERE name = $1 AND answered_at IS NULL AND due_at <= clock_timestamp()
             ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         UPDATE millrace.ask SET attempts = attempts + 1,
             due_at = clock_timestamp() + make_interval(secs => $3)
         FROM due WHERE ask.name = $1 AND ask.key = due.key
         RETURNING ask.key, body, attempts, traceparent",
    )
    .bind(name)
    .bind(limit as i64)
    .bind(lease.as_secs_f64())
    .fetch_all(pool)
    .await?;
    let leased = |row: &sqlx::postgres::PgRow| Leased {
        key: row.get(0),
        body: row.get(1),
        attempts: row.get(2),
        traceparent: row.get(3),
    };
    Ok(rows.iter().map(leased).collect())
}

/// Ends leases early: the asks fall due again after their pause.
pub(crate) async fn again(pool: &PgPool, name: &str, again: &[Again]) -> Result<(), Fault> {
    if again.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE millrace.ask SET error = new.error,
             due_at = clock_timestamp() + make_interval(secs => new.after)
         FROM unnest($2::text[], $3::float8[], $4::text[]) AS new (key, after, error)
         WHERE ask.name = $1 AND ask.key = new.key AND answered_at IS NULL",
    )
    .bind(name)
    .bind(again.iter().map(|again| again.key.as_str()).collect::<Vec<_>>())
    .bind(again.iter().map(|again| again.after.as_secs_f64()).collect::<Vec<_>>())
    .bind(again.iter().map(|again| again.error.as_deref()).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(())
}

/// Locks those of these asks that have no answer yet, in the order of their keys.
pub(crate) async fn lock(tx: &mut Tx, name: &str, keys: &[&str]) -> Result<Vec<Locked>, Fault> {
    let rows = sqlx::query(
        "SELECT key, body, correlation_id, causation_id, traceparent FROM millrace.ask
         WHERE name = $1 AND key = ANY($2) AND answered_at IS NULL ORDER BY key FOR UPDATE",
    )
    .bind(name)
    .bind(keys)
    .fetch_all(tx.db())
    .await?;
    let locked = |row: &sqlx::postgres::PgRow| Locked {
        key: row.get(0),
        body: row.get(1),
        correlation: row.get(2),
        causation: row.get(3),
        traceparent: row.get(4),
    };
    Ok(rows.iter().map(locked).collect())
}

/// Whether any of these was ever asked.
pub(crate) async fn is_known(
    tx: &mut Tx,
    name: &str,
    keys: impl Iterator<Item = &String>,
) -> Result<bool, Fault> {
    let known = "SELECT EXISTS (SELECT FROM millrace.ask WHERE name = $1 AND key = ANY($2))";
    let known = sqlx::query_scalar(known).bind(name).bind(keys.cloned().collect::<Vec<_>>());
    Ok(known.fetch_one(tx.db()).await?)
}

/// Stores the answers of locked asks.
pub(crate) async fn answered(
    tx: &mut Tx,
    name: &str,
    answers: &BTreeMap<&str, serde_json::Value>,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE millrace.ask SET answer = new.answer, error = NULL,
             answered_at = clock_timestamp()
         FROM unnest($2::text[], $3::jsonb[]) AS new (key, answer)
         WHERE ask.name = $1 AND ask.key = new.key",
    )
    .bind(name)
    .bind(answers.keys().copied().collect::<Vec<_>>())
    .bind(answers.values().cloned().collect::<Vec<_>>())
    .execute(tx.db())
    .await?;
    Ok(())
}

/// Asks of a name without an answer, and the age of the oldest in seconds.
pub(crate) async fn pending(pool: &PgPool, name: &str) -> Result<(i64, f64), Fault> {
    let row = sqlx::query(
        "SELECT count(*),
             COALESCE(extract(epoch FROM clock_timestamp() - min(asked_at)), 0)::float8
         FROM millrace.ask WHERE name = $1 AND answered_at IS NULL",
    )
    .bind(name)
    .fetch_one(pool)
    .await?;
    Ok((row.get(0), row.get(1)))
}

/// Forgets what was answered long ago.
pub(crate) async fn forget(pool: &PgPool) -> Result<(), Fault> {
    let old = "DELETE FROM millrace.ask WHERE answered_at < now() - make_interval(days => $1)";
    sqlx::query(old).bind(ANSWERED_DAYS).execute(pool).await?;
    Ok(())
}
