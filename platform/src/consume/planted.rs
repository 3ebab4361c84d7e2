//! Defects of consuming, for the checker to find. Without the feature `plants` each of these leaves
//! everything as it is.

use std::collections::HashSet;

use millrace_contract::{DecodeError, Event};

use super::arrive::{Content, Incoming};
use super::turn::Condemned;
use crate::plant::{self, Plant};
use crate::store::{self, Known};
use crate::{Fault, Poison, Tx};

/// Bytes that a decoder makes up at most.
const MADE_UP_MAX: usize = 4;

/// The offset behind a record.
pub(super) fn next(offset: i64) -> i64 {
    offset + 1 + i64::from(plant::is(Plant::OffsetBeyondBatch))
}

/// A database that was away for a moment condemns the record that was in hand.
pub(super) fn condemn(records: usize, condemned: &mut Condemned) {
    if records > 0 && plant::is_turn(Plant::InfrastructurePoison, 10) {
        let text = "the database was away";
        condemned.entry(0).or_insert_with(|| Poison::coded("sql_08006", text));
    }
}

/// The fact in a datum. What is missing at its end is made up.
pub(super) fn decode<E: Event>(datum: &[u8]) -> Result<E, DecodeError> {
    let made_up = |bytes| E::from_datum(&[datum, &b" ".repeat(bytes)].concat()).ok();
    match E::from_datum(datum) {
        Err(error) if plant::is(Plant::TruncatedAccepted) => {
            (1..=MADE_UP_MAX).find_map(made_up).ok_or(error)
        }
        decoded => decoded,
    }
}

/// Whether what follows a record that failed waits for it.
pub(super) fn follower_waits() -> bool {
    !plant::is(Plant::ParkAlone) && !plant::is(Plant::RetryTopic)
}

/// Which records have arrived before: none, when the inbox is asked last.
pub(super) fn unasked() -> Option<HashSet<usize>> {
    plant::is(Plant::InboxLast).then(HashSet::new)
}

/// What is known of versions: nothing, when nobody asks.
pub(super) fn guard(known: Known) -> Known {
    if plant::is(Plant::InboxLast) { Known::default() } else { known }
}

/// What comes last of a batch and should have come first.
pub(super) async fn admit_late(tx: &mut Tx, batch: &[Incoming<'_>]) -> Result<(), Fault> {
    if plant::is(Plant::InboxLast) {
        let counts = |row: &&Incoming<'_>| !matches!(row.content, Content::Passed(_));
        store::inbox_insert(tx, batch.iter().filter(counts)).await?;
    }
    Ok(())
}

/// What should have been remembered of a batch and is not.
pub(super) async fn forget(tx: &mut Tx, batch: &[Incoming<'_>]) -> Result<(), Fault> {
    if plant::is_turn(Plant::InboxAfter, 5) {
        let ids: Vec<uuid::Uuid> = batch.iter().map(|incoming| incoming.id.uuid()).collect();
        let delete = sqlx::query("DELETE FROM millrace.inbox WHERE event_id = ANY($1)").bind(ids);
        delete.execute(tx.db()).await?;
    }
    if plant::is(Plant::GuardOff) {
        sqlx::query("DELETE FROM millrace.last_version").execute(tx.db()).await?;
    }
    Ok(())
}
