//! Defects of the relay, for the checker to find. Without the feature `plants` each of these passes
//! on what it was given.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Session;
use super::publish::Outgoing;
use crate::plant::{self, Plant};
use crate::{Fault, Tx};

/// Rows that a relay which passes over locked ones takes at a time.
const FEW: usize = 2;
/// So long a busy relay keeps what it holds.
const BUSY: Duration = Duration::from_millis(100);

impl Session<'_> {
    /// What was committed below the highest id that was sent counts as sent.
    pub(super) fn skip_below_cursor(&mut self) {
        if plant::is(Plant::RelayCursor)
            && let Some(highest) = self.memory.sent.ranges().1.last()
        {
            self.memory.sent.settle(&self.shards, *highest);
        }
    }

    /// Rows are marked, and now and then the relay dies before it sends them. One that shares rows
    /// with another has a busy moment now and then.
    pub(super) async fn mark_first(&mut self, rows: &[Outgoing]) -> Result<(), Fault> {
        if plant::is_turn(Plant::RelaySkipLocked, 2) {
            tokio::time::sleep(BUSY).await;
        }
        if !plant::is(Plant::RelayMarkedFirst) {
            return Ok(());
        }
        rows.iter().for_each(|row| self.memory.sent.add(row.id, row.id + 1));
        self.unsaved = Some(Instant::now());
        self.save().await?;
        match plant::is_turn(Plant::RelayMarkedFirst, 5) {
            true => Err(Fault::transient("the relay died")),
            false => Ok(()),
        }
    }
}

/// Whether a defect shows only on rows that are read from the table.
pub(super) fn by_table() -> bool {
    let plants = [
        Plant::RelayCursor,
        Plant::RelaySkipLocked,
        Plant::RelayMarkedFirst,
        Plant::VersionByClock,
    ];
    plants.into_iter().any(plant::is)
}

/// The versions of what was written are times.
pub(super) async fn version_by_clock(tx: &mut Tx, rows: &[Outgoing]) -> Result<(), Fault> {
    if !plant::is(Plant::VersionByClock) {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.event_id).collect();
    let clock = "UPDATE millrace.outbox SET version = extract(epoch FROM occurred_at) * 1000
                 WHERE event_id = ANY($1)";
    sqlx::query(clock).bind(ids).execute(tx.db()).await?;
    Ok(())
}

/// The rows this relay goes on with.
pub(super) fn taken(mut rows: Vec<Outgoing>) -> Vec<Outgoing> {
    static HELD: Mutex<Option<HashSet<Uuid>>> = Mutex::new(None);
    if plant::is(Plant::RelayReversed) {
        rows.reverse();
    }
    if plant::is(Plant::RelaySkipLocked) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held.get_or_insert_default();
        rows.retain(|row| !held.contains(&row.event_id));
        rows.truncate(FEW);
        held.extend(rows.iter().map(|row| row.event_id));
    }
    rows
}

/// The key a record is sent under.
pub(super) fn key_case(row: &mut Outgoing) {
    if plant::is(Plant::KeyCase) {
        row.key = row.key.to_uppercase();
    }
}

/// The attributes a record is sent with.
pub(super) fn spoil(headers: &mut Vec<(&str, Cow<'_, str>)>) {
    let mut set = |plant, name, value: fn() -> String| {
        if plant::is(plant) {
            let found = headers.iter_mut().filter(|(known, _)| *known == name);
            found.for_each(|(_, header)| *header = value().into());
        }
    };
    set(Plant::RelayVersionLost, "ce_sequence", || format!("{:020}", 1));
    set(Plant::RelayNewIdentity, "ce_id", || Uuid::now_v7().to_string());
    set(Plant::CorrelationLost, "ce_correlationid", || Uuid::now_v7().to_string());
    set(Plant::TraceBroken, "traceparent", || {
        let other = Uuid::now_v7().simple().to_string();
        format!("00-{other}-{}-01", &other[16..])
    });
    for (plant, name) in
        [(Plant::CausationLost, "ce_causationid"), (Plant::TraceLost, "traceparent")]
    {
        if plant::is(plant) {
            headers.retain(|(known, _)| *known != name);
        }
    }
}
