//! Defects of consuming, for the checker to find. Without the feature `plants` each of these leaves
//! everything as it is.

use super::arrive::Incoming;
use super::turn::Condemned;
use crate::plant::{self, Plant};
use crate::{Fault, Poison, Tx};

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
