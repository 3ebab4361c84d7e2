//! The rows of parked keys while they are drained.

use std::time::Duration;

use millrace_contract::EventId;
use sqlx::Row as _;
use uuid::Uuid;

use super::Sentence;
use super::letter::Fault as LetterFault;
use super::store::{KeyState, Status};
use crate::consume::arrive::Record;
use crate::{Fault, Tx};

/// A parked key in the hands of a transaction.
pub(super) struct Key {
    pub(super) key: String,
    pub(super) state: KeyState,
    pub(super) operation: Option<Uuid>,
    /// The wait for a missing version is over.
    pub(super) waited: bool,
}

/// A parked record as it is stored.
pub(super) struct Parked {
    pub(super) id: i64,
    pub(super) event_id: EventId,
    pub(super) record: Record,
    pub(super) edited: Option<Vec<u8>>,
    pub(super) dead: bool,
    pub(super) attempts: i32,
    pub(super) redrives: i32,
    pub(super) fingerprint: String,
    pub(super) first_failed_at: Option<time::OffsetDateTime>,
}

/// The key, when it is due and nobody else has it in hand.
pub(super) async fn lock(tx: &mut Tx, key: &str, gap_wait: Duration) -> Result<Option<Key>, Fault> {
    let row = sqlx::query(
        "SELECT key, state, operation, clock_timestamp() >= since + make_interval(secs => $2)
         FROM millrace.parked_key
         WHERE key = $1 AND state <> 'dead' AND due_at <= clock_timestamp()
         FOR UPDATE SKIP LOCKED",
    )
    .bind(key)
    .bind(gap_wait.as_secs_f64())
    .fetch_optional(tx.db())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let state = KeyState::named(row.get(1)).unwrap_or(KeyState::Dead);
    Ok(Some(Key { key: row.get(0), state, operation: row.get(2), waited: row.get(3) }))
}

pub(super) async fn save_failure(
    tx: &mut Tx,
    id: i64,
    fault: &LetterFault,
    status: Status,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE millrace.parked SET status = $2, reason = $3, error_type = $4, error_message = $5,
             error_chain = $6, fingerprint = $7, attempts = $8, redrives = $9,
             first_failed_at = COALESCE(first_failed_at, transaction_timestamp()),
             last_failed_at = transaction_timestamp()
         WHERE id = $1",
    )
    .bind(id)
    .bind(status.as_str())
    .bind(fault.reason)
    .bind(&fault.error_type)
    .bind(&fault.message)
    .bind(&fault.chain)
    .bind(&fault.fingerprint)
    .bind(fault.attempts)
    .bind(fault.redrives)
    .execute(tx.db())
    .await?;
    Ok(())
}

pub(super) async fn move_key(
    tx: &mut Tx,
    key: &Key,
    sentence: &Sentence,
    fingerprint: &str,
) -> Result<(), Fault> {
    let seconds = sentence.pause.map(|pause| pause.as_secs_f64());
    sqlx::query(
        "UPDATE millrace.parked_key SET state = $2, fingerprint = $3,
             due_at = clock_timestamp() + make_interval(secs => $4),
             operation = CASE WHEN $2 = 'dead' THEN NULL ELSE operation END
         WHERE key = $1",
    )
    .bind(&key.key)
    .bind(sentence.state.as_str())
    .bind(fingerprint)
    .bind(seconds)
    .execute(tx.db())
    .await?;
    Ok(())
}

/// What an operation released and nobody has tried yet waits for an operator again.
pub(super) async fn stop_operation(
    tx: &mut Tx,
    operation: Uuid,
    detail: &str,
) -> Result<(), Fault> {
    let stopped = sqlx::query(
        "UPDATE millrace.operation SET state = 'stopped', detail = $2,
             updated_at = clock_timestamp() WHERE id = $1 AND state IN ('running', 'paused')",
    );
    stopped.bind(operation).bind(detail).execute(tx.db()).await?;
    crate::control::operation::take_back(tx, operation).await
}

/// A key that still misses a version waits until its time is over.
pub(super) async fn wait_on(tx: &mut Tx, key: &Key, gap_wait: Duration) -> Result<(), Fault> {
    let until = sqlx::query(
        "UPDATE millrace.parked_key SET due_at = since + make_interval(secs => $2)
         WHERE key = $1",
    );
    until.bind(&key.key).bind(gap_wait.as_secs_f64()).execute(tx.db()).await?;
    Ok(())
}

/// Counts for the operation that redrives this key.
pub(super) async fn count(tx: &mut Tx, key: &Key, done: bool, failed: bool) -> Result<(), Fault> {
    let Some(operation) = key.operation else { return Ok(()) };
    let count = sqlx::query(
        "UPDATE millrace.operation SET done = done + $2, failed = failed + $3,
             updated_at = clock_timestamp() WHERE id = $1",
    );
    let count = count.bind(operation).bind(i32::from(done && !failed)).bind(i32::from(failed));
    count.execute(tx.db()).await?;
    Ok(())
}
