//! Defects of the relay, for the checker to find. Without the feature `plants` each of these passes
//! on what it was given.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::publish::Outgoing;
use super::{Session, in_time};
use crate::Fault;
use crate::plant::{self, Plant};

/// Rows that a relay which passes over locked ones takes at a time.
const FEW: usize = 2;
/// So long a busy relay keeps what it holds.
const BUSY: Duration = Duration::from_millis(100);

impl Session {
    /// What was committed below the highest id that was sent counts as sent.
    pub(super) async fn skip_below_cursor(&mut self) -> Result<(), Fault> {
        if !plant::is(Plant::RelayCursor) {
            return Ok(());
        }
        let skip = sqlx::query(
            "UPDATE millrace.outbox SET sent_at = clock_timestamp()
             WHERE sent_at IS NULL AND id < (SELECT max(id) FROM millrace.outbox
                 WHERE sent_at IS NOT NULL)",
        );
        in_time(skip.execute(&mut self.conn)).await?;
        Ok(())
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
        let all: Vec<usize> = (0..rows.len()).collect();
        self.mark_sent(rows, &all).await?;
        match plant::is_turn(Plant::RelayMarkedFirst, 5) {
            true => Err(Fault::transient("the relay died")),
            false => Ok(()),
        }
    }
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
pub(super) fn key(key: String) -> String {
    if plant::is(Plant::KeyCase) { key.to_uppercase() } else { key }
}

/// The attributes a record is sent with.
pub(super) fn spoil(headers: &mut Vec<(&'static str, String)>) {
    let mut set = |plant, name, value: fn() -> String| {
        if plant::is(plant) {
            let found = headers.iter_mut().filter(|(known, _)| *known == name);
            found.for_each(|(_, header)| *header = value());
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
