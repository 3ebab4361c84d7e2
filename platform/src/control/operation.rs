//! Long operations: a redrive releases parked keys at its rate, the first few as a canary, and
//! stops when what it was to heal comes back. Its state is in the database, so that any instance
//! goes on with it.

use millrace_contract::unframe;
use sqlx::Row as _;
use uuid::Uuid;

use super::commands::{Command, Kind, Selection};
use super::obey::{Outcome, audit};
use crate::consume::Partition;
use crate::core::{Core, in_time};
use crate::repair::Repair;
use crate::{Fault, RegistryError, Tx};

/// Operations looked after at once.
const OPERATIONS_MAX: i64 = 8;
/// Keys released at once when no rate is given.
const KEYS_MAX: i64 = 200;

/// Which keys a selection means: the dead letter stands at the head of its key.
const SELECTED: &str = "parked.status = 'dead' AND parked_key.state = 'dead'
    AND ($1::text IS NULL OR parked.fingerprint = $1)
    AND ($2::text IS NULL OR parked.key = $2)
    AND ($3::uuid[] IS NULL OR parked.event_id = ANY($3))";

/// Repaired payloads by the row they belong to, or why one cannot be repaired.
pub(super) type Mended = Result<Vec<(i64, Vec<u8>)>, String>;

/// A redrive begins: it is counted, and what is to be repaired is written beside the originals, all
/// of it or nothing.
pub(super) async fn begin(
    tx: &mut Tx,
    select: &Selection,
    mended: Mended,
) -> Result<Outcome, Fault> {
    let count = format!(
        "SELECT count(*) FROM millrace.parked JOIN millrace.parked_key USING (key) WHERE {SELECTED}"
    );
    let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
        .bind(&select.cause)
        .bind(&select.key)
        .bind(&select.ids)
        .fetch_one(tx.db())
        .await?;
    if total == 0 {
        let detail = "there is no such dead letter".to_owned();
        return Ok(Outcome { state: "done", total, detail });
    }
    let mended = match mended {
        Ok(mended) => mended,
        Err(refused) => return Ok(Outcome { state: "refused", total, detail: refused }),
    };
    let (ids, payloads): (Vec<i64>, Vec<Vec<u8>>) = mended.into_iter().unzip();
    let write = sqlx::query(
        "UPDATE millrace.parked SET edited = new.payload
         FROM unnest($1::bigint[], $2::bytea[]) AS new (id, payload)
         WHERE parked.id = new.id AND parked.status = 'dead'",
    );
    write.bind(ids).bind(payloads).execute(tx.db()).await?;
    Ok(Outcome { state: "running", total, detail: String::new() })
}

/// The repaired payloads of a selection. The first that does not fit refuses all.
pub(super) async fn mend(
    core: &Core,
    select: &Selection,
    repair: &Repair,
) -> Result<Mended, Fault> {
    if repair.is_empty() {
        return Ok(Ok(vec![]));
    }
    let find = format!(
        "SELECT parked.id, parked.event_id, COALESCE(parked.edited, parked.payload)
         FROM millrace.parked JOIN millrace.parked_key USING (key)
         WHERE {SELECTED} AND parked.payload IS NOT NULL ORDER BY parked.id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(find))
        .bind(&select.cause)
        .bind(&select.key)
        .bind(&select.ids)
        .fetch_all(&core.pool)
        .await?;
    let mut all = vec![];
    for row in &rows {
        let (id, event_id, payload): (i64, Uuid, &[u8]) = (row.get(0), row.get(1), row.get(2));
        match mended(core, repair, payload).await? {
            Ok(payload) => all.extend(payload.map(|payload| (id, payload))),
            Err(reason) => return Ok(Err(format!("dead letter {event_id}: {reason}"))),
        }
    }
    Ok(Ok(all))
}

async fn mended(
    core: &Core,
    repair: &Repair,
    payload: &[u8],
) -> Result<Result<Option<Vec<u8>>, String>, Fault> {
    let schema_id = match unframe(payload) {
        Ok((schema_id, _)) => schema_id,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let schema = match core.registry.schema(schema_id).await {
        Ok(schema) => schema,
        Err(error @ (RegistryError::Missing { .. } | RegistryError::Unusable { .. })) => {
            return Ok(Err(error.to_string()));
        }
        Err(error) => return Err(Fault::transient(error)),
    };
    Ok(repair.payload(&schema, payload).map_err(|error| error.to_string()))
}

pub(super) async fn save(tx: &mut Tx, id: Uuid, outcome: &Outcome) -> Result<(), Fault> {
    let save = sqlx::query(
        "UPDATE millrace.operation SET state = $2, total = $3, detail = $4,
             updated_at = clock_timestamp() WHERE id = $1",
    );
    save.bind(id)
        .bind(outcome.state)
        .bind(i32::try_from(outcome.total).unwrap_or(i32::MAX))
        .bind(&outcome.detail)
        .execute(tx.db())
        .await?;
    Ok(())
}

/// Moves every running redrive on.
pub(super) async fn advance(core: &Core) -> Result<(), Fault> {
    let running: Vec<Uuid> = in_time(async {
        let running = sqlx::query_scalar(
            "SELECT id FROM millrace.operation WHERE state = 'running' AND kind = 'redrive'
             ORDER BY issued_at LIMIT $1",
        );
        Ok(running.bind(OPERATIONS_MAX).fetch_all(&core.pool).await?)
    })
    .await?;
    for id in running {
        in_time(Box::pin(step(core, id))).await?;
    }
    Ok(())
}

/// A running redrive as it is stored.
struct Running {
    id: Uuid,
    command: Command,
    released: i32,
    failed: i32,
    seconds: f64,
    in_flight: i64,
}

async fn step(core: &Core, id: Uuid) -> Result<(), Fault> {
    let mut tx = core.begin().await?;
    let Some(running) = lock(&mut tx, id).await? else { return tx.commit().await };
    let Kind::Redrive { select, rate, canary, .. } = &running.command.kind else {
        return tx.commit().await;
    };
    let canary_is_out = canary.is_some_and(|canary| running.released < canary.cast_signed());
    let waits = running.in_flight > 0
        && canary.is_some_and(|canary| running.released == canary.cast_signed());
    if canary.is_some()
        && running.failed > 0
        && running.released <= canary.unwrap_or(0).cast_signed()
    {
        let detail = format!("{} of the canary failed", running.failed);
        finish(&mut tx, core, &running, "stopped", &detail).await?;
        return tx.commit().await;
    }
    let mut allowed = rate.map_or(KEYS_MAX, |rate| (rate * running.seconds).floor() as i64);
    if canary_is_out {
        allowed = allowed.min(i64::from(canary.unwrap_or(0)) - i64::from(running.released));
    }
    if waits || allowed <= 0 {
        return tx.commit().await;
    }
    let released = release(&mut tx, &running, select, allowed.min(KEYS_MAX)).await?;
    if released == 0 && running.in_flight == 0 {
        let detail = format!("{} of {} keys failed again", running.failed, running.released);
        finish(&mut tx, core, &running, "done", &detail).await?;
    }
    tx.commit().await?;
    core.committed();
    Ok(())
}

async fn lock(tx: &mut Tx, id: Uuid) -> Result<Option<Running>, Fault> {
    let row = sqlx::query(
        "SELECT command, released, failed,
             EXTRACT(epoch FROM clock_timestamp() - released_at)::float8,
             (SELECT count(*) FROM millrace.parked_key WHERE operation = $1)
         FROM millrace.operation WHERE id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED",
    );
    let Some(row) = row.bind(id).fetch_optional(tx.db()).await? else { return Ok(None) };
    let command = serde_json::from_value(row.get(0)).map_err(Fault::poison)?;
    Ok(Some(Running {
        id,
        command,
        released: row.get(1),
        failed: row.get(2),
        seconds: row.get(3),
        in_flight: row.get(4),
    }))
}

/// The oldest keys first; one that failed in this operation is not released by it again.
async fn release(
    tx: &mut Tx,
    running: &Running,
    select: &Selection,
    count: i64,
) -> Result<u64, Fault> {
    let release = format!(
        "UPDATE millrace.parked_key SET state = 'redriving', due_at = clock_timestamp(),
             operation = $4
         WHERE key IN (SELECT parked_key.key FROM millrace.parked_key
             JOIN millrace.parked USING (key)
             WHERE {SELECTED} AND parked.last_failed_at <=
                 (SELECT accepted_at FROM millrace.operation WHERE id = $4)
             ORDER BY parked_key.since, parked_key.key LIMIT $5
             FOR UPDATE OF parked_key SKIP LOCKED)"
    );
    let released = sqlx::query(sqlx::AssertSqlSafe(release))
        .bind(&select.cause)
        .bind(&select.key)
        .bind(&select.ids)
        .bind(running.id)
        .bind(count)
        .execute(tx.db())
        .await?
        .rows_affected();
    let count = sqlx::query(
        "UPDATE millrace.operation SET released = released + $2, released_at = clock_timestamp(),
             updated_at = clock_timestamp() WHERE id = $1",
    );
    let released_now = i32::try_from(released).unwrap_or(i32::MAX);
    count.bind(running.id).bind(released_now).execute(tx.db()).await?;
    Ok(released)
}

async fn finish(
    tx: &mut Tx,
    core: &Core,
    running: &Running,
    state: &str,
    detail: &str,
) -> Result<(), Fault> {
    let finish = sqlx::query(
        "UPDATE millrace.operation SET state = $2, detail = $3, updated_at = clock_timestamp()
         WHERE id = $1",
    );
    finish.bind(running.id).bind(state).bind(detail).execute(tx.db()).await?;
    take_back(tx, running.id).await?;
    audit(tx, core, &running.command.operator, "redrive", "finished", detail).await
}

/// A partition was put where an operator wanted it.
pub(crate) async fn moved(
    core: &Core,
    id: Uuid,
    (topic, partition): Partition,
    offset: i64,
) -> Result<(), Fault> {
    let mut tx = core.begin().await?;
    let done = sqlx::query(
        r#"WITH gone AS (
               DELETE FROM millrace.seek
               WHERE operation = $1 AND topic = $2 AND "partition" = $3 AND "offset" = $4
               RETURNING 1)
           UPDATE millrace.operation SET done = done + 1, updated_at = clock_timestamp(),
               state = CASE WHEN done + 1 >= total THEN 'done' ELSE state END,
               detail = (done + 1) || ' of ' || total || ' partitions put elsewhere'
           WHERE id = $1 AND state = 'running' AND EXISTS (SELECT 1 FROM gone)
           RETURNING command, state, detail"#,
    )
    .bind(id)
    .bind(topic)
    .bind(partition)
    .bind(offset)
    .fetch_optional(tx.db())
    .await?;
    if let Some(row) = done
        && row.get::<&str, _>(1) == "done"
    {
        let command: Command = serde_json::from_value(row.get(0)).map_err(Fault::poison)?;
        audit(&mut tx, core, &command.operator, "seek", "finished", row.get(2)).await?;
    }
    tx.commit().await?;
    core.committed();
    Ok(())
}

/// A rebuild has folded so many records more.
pub(crate) async fn folded(tx: &mut Tx, id: Uuid, count: usize) -> Result<(), Fault> {
    let folded = sqlx::query(
        "UPDATE millrace.operation SET done = LEAST(done + $2, total),
             updated_at = clock_timestamp() WHERE id = $1 AND state = 'running'",
    );
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    folded.bind(id).bind(count).execute(tx.db()).await?;
    Ok(())
}

/// An operation has done what was asked.
pub(crate) async fn end(tx: &mut Tx, core: &Core, id: Uuid, detail: &str) -> Result<(), Fault> {
    let ended = sqlx::query_scalar(
        "UPDATE millrace.operation SET state = 'done', done = total, detail = $2,
             updated_at = clock_timestamp() WHERE id = $1 AND state = 'running' RETURNING command",
    );
    let command: Option<serde_json::Value> =
        ended.bind(id).bind(detail).fetch_optional(tx.db()).await?;
    let Some(command) = command else { return Ok(()) };
    let command: Command = serde_json::from_value(command).map_err(Fault::poison)?;
    audit(tx, core, &command.operator, command.kind.name(), "finished", detail).await
}

/// Keys that an operation released and that still stand before their dead letter wait for an
/// operator again. A key that is in hand at this moment is left to whoever has it.
pub(crate) async fn take_back(tx: &mut Tx, operation: Uuid) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE millrace.parked_key SET state = 'dead', due_at = NULL, operation = NULL
         WHERE key IN (SELECT key FROM millrace.parked_key
                       WHERE operation = $1 AND state = 'redriving' FOR UPDATE SKIP LOCKED)
           AND EXISTS (SELECT 1 FROM millrace.parked
                       WHERE parked.key = parked_key.key AND parked.status = 'dead')",
    )
    .bind(operation)
    .execute(tx.db())
    .await?;
    Ok(())
}
