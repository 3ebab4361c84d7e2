//! Defects of parking, for the checker to find. Without the feature `plants` each of these leaves
//! everything as it is.

use millrace_contract::{Headers, headers_to_json};
use uuid::Uuid;

use super::rows::{Key, Parked};
use super::store;
use crate::consume::arrive::{Incoming, Record};
use crate::kafka::shard_of;
use crate::plant::{self, Plant};
use crate::{Fault, Tx};

/// Whether a record that failed goes to the end of its topic. One that cannot be read would come
/// back for ever.
pub(super) fn goes_back(incoming: &Incoming<'_>) -> bool {
    plant::is(Plant::RetryTopic) && !incoming.is_broken()
}

/// Sends a record to the end of its topic, where it counts as new.
pub(super) async fn send_back(tx: &mut Tx, incoming: &Incoming<'_>) -> Result<(), Fault> {
    let forget = sqlx::query("DELETE FROM millrace.inbox WHERE event_id = $1");
    forget.bind(incoming.id.uuid()).execute(tx.db()).await?;
    let headers = incoming.record.unpacked_headers();
    send(tx, incoming.record, headers).await
}

/// The last of a key's records becomes the first.
pub(super) fn reorder(parked: &mut [Parked]) {
    if plant::is(Plant::FollowersReversed) {
        parked.reverse();
    }
}

/// Sends dead letters to their topic under a new identity, instead of handling them.
pub(super) async fn send_again(tx: &mut Tx, parked: &mut Vec<Parked>) -> Result<(), Fault> {
    if !plant::is(Plant::RedriveToTopic) {
        return Ok(());
    }
    for parked in parked.extract_if(.., |parked| parked.dead) {
        let mut headers = parked.record.unpacked_headers();
        let id = headers.iter_mut().find(|(name, _)| name == "ce_id");
        if let Some((_, id)) = id {
            *id = Some(Uuid::now_v7().to_string().into_bytes());
        }
        send(tx, &parked.record, headers).await?;
        let redriven = sqlx::query("UPDATE millrace.parked SET status = 'redriven' WHERE id = $1");
        redriven.bind(parked.id).execute(tx.db()).await?;
        store::set_outcomes(tx, &[(parked.event_id, "handled")]).await?;
    }
    Ok(())
}

/// Forgets that records are parked; says whether the process dies before it handles them.
pub(super) async fn lose(tx: &mut Tx, key: &Key, parked: &[Parked]) -> Result<bool, Fault> {
    if parked.is_empty() || !plant::is_turn(Plant::ParkedLost, 2) {
        return Ok(false);
    }
    let ids: Vec<i64> = parked.iter().map(|parked| parked.id).collect();
    let delete = sqlx::query("DELETE FROM millrace.parked WHERE id = ANY($1)").bind(ids);
    delete.execute(tx.db()).await?;
    store::settle_keys(tx, std::slice::from_ref(&key.key)).await?;
    Ok(true)
}

/// How redriven records are noted.
pub(super) fn settled(statement: &'static str) -> &'static str {
    match plant::is(Plant::RedriveTwice) {
        true => "UPDATE millrace.parked SET last_failed_at = clock_timestamp() WHERE id = ANY($1)",
        false => statement,
    }
}

/// A key whose dead letter was handled and stays waits for an operator again.
pub(super) async fn rest(tx: &mut Tx, key: &Key, handled: &[i64]) -> Result<(), Fault> {
    if plant::is(Plant::RedriveTwice) && !handled.is_empty() {
        let dead = sqlx::query(
            "UPDATE millrace.parked_key SET state = 'dead', due_at = NULL, operation = NULL
             WHERE key = $1",
        );
        dead.bind(&key.key).execute(tx.db()).await?;
    }
    Ok(())
}

async fn send(tx: &mut Tx, record: &Record, headers: Headers) -> Result<(), Fault> {
    let key = record.key.clone().unwrap_or_default();
    let text = String::from_utf8_lossy(&key).into_owned();
    let name = headers.iter().find(|(name, _)| name == "ce_type");
    let name = name.and_then(|(_, name)| name.as_deref()).unwrap_or_default();
    sqlx::query(
        "INSERT INTO millrace.outbox (event_id, shard, topic, name, key, version, payload,
             correlation_id, occurred_at, raw_key, raw_headers, raw_timestamp_ms)
         VALUES ($1, $2, $3, $4, $5, 0, $6, '', transaction_timestamp(), $7, $8, $9)",
    )
    .bind(Uuid::now_v7())
    .bind(shard_of(&text))
    .bind(record.position.topic)
    .bind(String::from_utf8_lossy(name))
    .bind(&text)
    .bind(&record.payload)
    .bind(&key)
    .bind(headers_to_json(&headers))
    .bind(record.timestamp_ms)
    .execute(tx.db())
    .await?;
    tx.leave_to_the_table();
    Ok(())
}
