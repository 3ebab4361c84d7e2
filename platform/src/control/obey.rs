//! Obeying: a command acts once for the group, in one transaction with its audit record.

use std::time::Duration;

use serde_json::json;
use sqlx::Row as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::commands::{Build, Command, Do, Kind, Operator, Pause, Place, Selection};
use super::inbox::Order;
use super::{OpsTopics, Pauses, operation};
use crate::core::{Core, within};
use crate::parking::store::settle_keys;
use crate::{Fault, Tx, outbox, projection};

/// A command may change many rows.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a command.
pub(crate) struct Outcome {
    pub(crate) state: &'static str,
    pub(crate) total: i64,
    pub(crate) detail: String,
}

/// Takes one record of an operator; gives it back when the database could not be told.
pub(super) async fn order(core: &Core, order: Order) -> Option<Order> {
    let bytes = match &order {
        Order::Desired(key, state) => {
            desire(core, key, state.as_deref());
            return None;
        }
        Order::Command(bytes) => bytes,
    };
    let command: Command = match serde_json::from_slice(bytes) {
        Ok(command) => command,
        Err(error) => {
            tracing::warn!(service = core.service, %error, "command not understood");
            return None;
        }
    };
    if command.operator.group != core.group {
        return None;
    }
    match within(PATIENCE, Box::pin(obey(core, &command))).await {
        Ok(()) => None,
        Err(Fault::Poison(poison)) => {
            tracing::error!(service = core.service, error = %poison, "command cannot be obeyed");
            None
        }
        Err(fault) => {
            tracing::warn!(service = core.service, error = %fault, "command waits");
            Some(order)
        }
    }
}

async fn obey(core: &Core, command: &Command) -> Result<(), Fault> {
    let Command { operator, kind } = command;
    if let Kind::Skip { topic, partition, offset } = kind {
        core.skips.add(topic, *partition, *offset);
    }
    if let Kind::Projection { action: Build::Rebuild { fold, .. } } = kind
        && core.view.as_ref().is_none_or(|view| view.fold != *fold)
    {
        // Another instance has the code that is meant.
        return Ok(());
    }
    // The registry is asked before the transaction begins.
    let mended = match kind {
        Kind::Redrive { select, repair, .. } => operation::mend(core, select, repair).await?,
        _ => Ok(vec![]),
    };
    let mut tx = core.begin().await?;
    if !accept(&mut tx, command).await? {
        tx.commit().await?;
        look_for_seeks(core, kind);
        return Ok(());
    }
    audit(&mut tx, core, operator, kind.name(), "accepted", "").await?;
    let outcome = match kind {
        Kind::Redrive { select, .. } => operation::begin(&mut tx, select, mended).await?,
        Kind::Discard { select } => discard(&mut tx, select).await?,
        Kind::Restore { select } => restore(&mut tx, select).await?,
        Kind::Skip { topic, partition, offset } => Outcome {
            state: "done",
            total: 1,
            detail: format!("{topic}/{partition} at offset {offset} becomes a dead letter"),
        },
        Kind::Projection { action } => build(&mut tx, core, operator.id, action).await?,
        Kind::Seek { to } => seek(&mut tx, core, operator.id, to).await?,
        Kind::Control { operation, action } => steer(&mut tx, *operation, *action).await?,
    };
    operation::save(&mut tx, operator.id, &outcome).await?;
    if outcome.state != "running" {
        let event = if outcome.state == "refused" { "refused" } else { "finished" };
        audit(&mut tx, core, operator, kind.name(), event, &outcome.detail).await?;
    }
    tx.commit().await?;
    core.committed();
    look_for_seeks(core, kind);
    tracing::info!(
        service = core.service, operation = %operator.id, kind = kind.name(),
        state = outcome.state, total = outcome.total, by = operator.by, "command obeyed"
    );
    Ok(())
}

/// Whether this instance is the one that obeys.
async fn accept(tx: &mut Tx, command: &Command) -> Result<bool, Fault> {
    let Operator { id, reason, by, issued_at, .. } = &command.operator;
    let issued = OffsetDateTime::parse(issued_at, &Rfc3339).unwrap_or_else(|_| tx.now().datetime());
    let inserted = sqlx::query(
        "INSERT INTO millrace.operation (id, kind, command, state, reason, issued_by, issued_at)
         VALUES ($1, $2, $3, 'running', $4, $5, $6) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(command.kind.name())
    .bind(serde_json::to_value(command).unwrap_or_default())
    .bind(reason)
    .bind(by)
    .bind(issued)
    .execute(tx.db())
    .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn build(tx: &mut Tx, core: &Core, id: Uuid, action: &Build) -> Result<Outcome, Fault> {
    match action {
        Build::Rebuild { to, records, .. } => projection::begin(tx, core, id, to, *records).await,
        Build::Swap => projection::swap(tx, core).await,
        Build::Rollback => projection::roll_back(tx, core).await,
        Build::Cancel => projection::cancel(tx).await,
    }
}

/// Every member moves the partitions it has.
fn look_for_seeks(core: &Core, kind: &Kind) {
    if matches!(kind, Kind::Seek { .. }) {
        core.seeks.send_modify(|asked| *asked += 1);
    }
}

/// Notes where the group is to read from. An earlier wish that is not carried out is forgotten.
async fn seek(tx: &mut Tx, core: &Core, id: Uuid, to: &[Place]) -> Result<Outcome, Fault> {
    if let Some(place) = to.iter().find(|place| !core.reads.contains(&place.topic.as_str())) {
        let detail = format!("{} does not read {}", core.group, place.topic);
        return Ok(Outcome { state: "refused", total: 0, detail });
    }
    let earlier = sqlx::query(
        "WITH forgotten AS (DELETE FROM millrace.seek RETURNING operation)
         UPDATE millrace.operation SET state = 'cancelled', updated_at = clock_timestamp(),
             detail = 'another seek came before it was carried out'
         WHERE id IN (SELECT operation FROM forgotten)",
    );
    earlier.execute(tx.db()).await?;
    let note = sqlx::query(
        r#"INSERT INTO millrace.seek (topic, "partition", "offset", operation)
           SELECT *, $4 FROM unnest($1::text[], $2::int[], $3::bigint[])"#,
    );
    note.bind(to.iter().map(|place| place.topic.as_str()).collect::<Vec<_>>())
        .bind(to.iter().map(|place| place.partition).collect::<Vec<_>>())
        .bind(to.iter().map(|place| place.offset).collect::<Vec<_>>())
        .bind(id)
        .execute(tx.db())
        .await?;
    let state = if to.is_empty() { "done" } else { "running" };
    Ok(Outcome { state, total: to.len() as i64, detail: String::new() })
}

/// Puts dead letters out of the way; what waits behind them is drained.
async fn discard(tx: &mut Tx, select: &Selection) -> Result<Outcome, Fault> {
    let rows = sqlx::query(
        "UPDATE millrace.parked SET status = 'discarded'
         WHERE id IN (SELECT parked.id FROM millrace.parked
                      JOIN millrace.parked_key USING (key)
                      WHERE parked.status = 'dead' AND parked_key.state = 'dead'
                        AND ($1::text IS NULL OR parked.fingerprint = $1)
                        AND ($2::text IS NULL OR parked.key = $2)
                        AND ($3::uuid[] IS NULL OR parked.event_id = ANY($3))
                      ORDER BY parked.key FOR UPDATE)
         RETURNING key",
    )
    .bind(&select.cause)
    .bind(&select.key)
    .bind(&select.ids)
    .fetch_all(tx.db())
    .await?;
    let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    settle_keys(tx, &keys).await?;
    let total = keys.len() as i64;
    Ok(Outcome { state: "done", total, detail: format!("{total} dead letters discarded") })
}

/// Discarded records become dead letters again; their keys wait from now on.
async fn restore(tx: &mut Tx, select: &Selection) -> Result<Outcome, Fault> {
    let rows = sqlx::query(
        "WITH restored AS (
             UPDATE millrace.parked SET status = 'dead'
             WHERE status = 'discarded'
               AND ($1::text IS NULL OR fingerprint = $1)
               AND ($2::text IS NULL OR key = $2)
               AND ($3::uuid[] IS NULL OR event_id = ANY($3))
             RETURNING key, fingerprint)
         INSERT INTO millrace.parked_key (key, state, fingerprint)
         SELECT DISTINCT ON (key) key, 'dead', fingerprint FROM restored ORDER BY key
         ON CONFLICT (key) DO UPDATE SET state = 'dead', due_at = NULL,
             fingerprint = EXCLUDED.fingerprint
         RETURNING key",
    )
    .bind(&select.cause)
    .bind(&select.key)
    .bind(&select.ids)
    .fetch_all(tx.db())
    .await?;
    let total = rows.len() as i64;
    Ok(Outcome { state: "done", total, detail: format!("{total} keys are parked again") })
}

async fn steer(tx: &mut Tx, id: Uuid, action: Do) -> Result<Outcome, Fault> {
    let (from, to) = match action {
        Do::Pause => (["running", "running"], "paused"),
        Do::Resume => (["paused", "paused"], "running"),
        Do::Cancel => (["running", "paused"], "cancelled"),
    };
    let changed = sqlx::query(
        "UPDATE millrace.operation SET state = $3, updated_at = clock_timestamp()
         WHERE id = $1 AND state = ANY($2)
           AND (kind = 'redrive' OR (kind = 'seek' AND $3 = 'cancelled'))",
    )
    .bind(id)
    .bind(from.map(str::to_owned).to_vec())
    .bind(to)
    .execute(tx.db())
    .await?;
    if action != Do::Resume {
        operation::take_back(tx, id).await?;
    }
    if action == Do::Cancel {
        let forget = sqlx::query("DELETE FROM millrace.seek WHERE operation = $1");
        forget.bind(id).execute(tx.db()).await?;
    }
    Ok(match changed.rows_affected() {
        0 => Outcome {
            state: "refused",
            total: 0,
            detail: format!("there is no operation {id} that could be {to}"),
        },
        _ => Outcome { state: "done", total: 1, detail: format!("operation {id} is {to}") },
    })
}

/// Leaves with the transaction, through the outbox.
pub(super) async fn audit(
    tx: &mut Tx,
    core: &Core,
    operator: &Operator,
    kind: &str,
    event: &str,
    detail: &str,
) -> Result<(), Fault> {
    let Operator { id, group, by, reason, .. } = operator;
    let at = tx.now().to_string();
    let record = json!({
        "id": id, "group": group, "kind": kind, "event": event, "by": by, "reason": reason,
        "at": at, "detail": detail,
    });
    let topic = OpsTopics::of(core.domain).audit;
    outbox::announce_raw(tx, &topic, "audit", group, record.to_string().into_bytes()).await
}

fn desire(core: &Core, key: &str, state: Option<&[u8]>) {
    let mut parts = key.split('|');
    if parts.next() != Some(core.group.as_str()) {
        return;
    }
    let paused = state.is_some_and(|state| {
        serde_json::from_slice::<Pause>(state).is_ok_and(|pause| pause.paused)
    });
    let (topic, partition) = (parts.next(), parts.next());
    let known = |topic: &str| core.reads.iter().find(|read| **read == topic).copied();
    core.pauses.send_modify(|pauses: &mut Pauses| match topic {
        None => pauses.group = paused,
        Some(topic) => {
            let Some(topic) = known(topic) else { return };
            let part = (topic, partition.and_then(|number| number.parse().ok()));
            pauses.parts.retain(|known| *known != part);
            if paused {
                pauses.parts.push(part);
            }
        }
    });
    tracing::info!(service = core.service, key, paused, "an operator's wish");
}
