//! The room of folds: rows that are nothing but folded facts, and beside them how far each
//! partition is folded. A consumer group that is reset to the beginning refolds; one that is reset
//! to the middle skips what is folded already.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::future::BoxFuture;

use super::Haste;
use super::arrive::Incoming;
use super::assign::Partition;
use super::place::Bounds;
use super::reaction::{Failure, Reaction, Read, Retold, Room, Table};
use super::turn::{Condemned, Fate, Turn};
use crate::core::{Core, in_time, within};
use crate::parking;
use crate::plant::{self, Plant};
use crate::projection::{LIVE, ViewCode};
use crate::service::View;
use crate::store::{self, Known};
use crate::{Fault, Tx};

/// Forgetting a partition takes no longer; it is begun again after that.
const WIPE_MAX: Duration = Duration::from_secs(120);

/// Reactions that fold into the rows of `W`.
pub(crate) struct Folder<W> {
    table: Table<W>,
    fold: &'static str,
}

/// Where a newly assigned partition begins.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    /// Offset of the first record that was delivered.
    pub(crate) first: i64,
    /// What the broker knows.
    pub(crate) bounds: Bounds,
}

/// What to do with a newly assigned partition.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// Fold on from the stored position.
    Continue,
    /// The group was reset to the beginning: forget the partition and fold it again.
    Refold,
    /// The stored position is beyond the log: the topic was made anew.
    Recreated,
}

/// Decides by the stored position, the first record delivered and what the broker knows. A
/// partition whose first records are past their retention is forgotten only when a tool asked for
/// it: what it has folded cannot be read again.
fn start(stored: Option<i64>, begin: &Begin) -> Start {
    let Bounds { committed, ours, low, high } = begin.bounds.clone();
    let Some(stored) = stored.filter(|stored| *stored > begin.first) else {
        return Start::Continue;
    };
    match committed {
        _ if high.is_some_and(|high| stored > high) => Start::Recreated,
        Some(committed) if committed >= stored && begin.first <= low => Start::Recreated,
        Some(committed) if ours || committed > low => Start::Continue,
        None if low > 0 => Start::Continue,
        _ => Start::Refold,
    }
}

impl<W: View> Folder<W> {
    pub(crate) fn new(reactions: Vec<Reaction<W>>, fold: &'static str) -> Self {
        Self { table: Table::new(reactions), fold }
    }
}

/// Live records of one batch: what the positions beside the rows say is folded already is passed
/// over, what failed is parked, the rest is folded.
pub(super) async fn handle(
    core: &Core,
    room: &dyn Room,
    batch: &[Incoming<'_>],
    condemned: Condemned,
    live: i32,
) -> Result<(), Failure> {
    let mut tx = core.begin_on(&core.line).await?;
    still_live(&mut tx, live).await?;
    let at = |incoming: &Incoming<'_>| {
        (incoming.record.position.topic, incoming.record.position.partition)
    };
    let folded = store::positions(&mut tx, LIVE, &batch.iter().map(at).collect()).await?;
    let mut next: BTreeMap<Partition, i64> = BTreeMap::new();
    let waiting = parking::waiting(&mut tx, batch).await?;
    let mut turn = Turn::new(batch, waiting);
    turn.gaps_count = false;
    for (index, incoming) in batch.iter().enumerate() {
        let stored = folded.get(&at(incoming)).copied().unwrap_or(0);
        let reached = next.entry(at(incoming)).or_insert(stored);
        let offset = incoming.record.position.offset;
        match offset >= *reached {
            true => *reached = offset + 1,
            false => turn.fates[index] = Some(Fate::Repeat),
        }
    }
    if !plant::is_turn(Plant::ViewSkips, 10) {
        room.apply(core, &mut tx, &mut turn, &Known::default(), &condemned).await?;
    }
    parking::park(core, &mut tx, &room.facts(), &turn).await?;
    store::save_positions(&mut tx, LIVE, &next).await?;
    crate::fail::point("view.before_commit");
    tx.commit().await?;
    crate::fail::point("view.after_commit");
    core.committed();
    core.news.tell(batch.iter().filter_map(|incoming| incoming.key.as_deref()));
    Ok(())
}

/// Another build may have become live: what was read for this one may leave a hole in that.
async fn still_live(tx: &mut Tx, live: i32) -> Result<(), Fault> {
    let find = "SELECT build FROM millrace.projection WHERE state = 'live' FOR SHARE";
    let found: Option<i32> = sqlx::query_scalar(find).fetch_optional(tx.db()).await?;
    match found == Some(live) {
        true => Ok(()),
        false => Err(Fault::transient(format!("build {live} of the view is not live any more"))),
    }
}

/// How far a view has folded these partitions.
pub(super) async fn stored(
    core: &Core,
    partitions: BTreeSet<Partition>,
) -> Result<HashMap<Partition, i64>, Fault> {
    in_time(Box::pin(async move {
        let mut tx = core.begin().await?;
        let stored = store::positions(&mut tx, LIVE, &partitions).await?;
        tx.commit().await.map(|()| stored)
    }))
    .await
}

/// Called when a newly assigned partition begins before what is stored of it. Forgetting a
/// partition may take longer than a transaction usually does.
pub(super) async fn begin(core: &Core, room: &dyn Room, begin: &Begin) -> Result<(), Fault> {
    within(WIPE_MAX, Box::pin(begin_partition(core, room, begin))).await
}

async fn begin_partition(core: &Core, room: &dyn Room, begin: &Begin) -> Result<(), Fault> {
    let mut tx = core.begin().await?;
    let partition = BTreeSet::from([(begin.topic, begin.partition)]);
    let folded = store::positions(&mut tx, LIVE, &partition).await?;
    let stored = folded.get(&(begin.topic, begin.partition)).copied();
    let decided = start(stored, begin);
    if decided == Start::Continue {
        return tx.commit().await;
    }
    let Begin { topic, partition, first, .. } = begin;
    if decided == Start::Recreated {
        tracing::error!(topic, partition, stored, first, "topic was recreated; refolding");
    } else {
        tracing::info!(topic, partition, stored, first, "group was reset; refolding");
    }
    room.wipe(&mut tx, (topic, *partition)).await?;
    parking::store::forget(&mut tx, topic, *partition).await?;
    let next = BTreeMap::from([((begin.topic, begin.partition), begin.first)]);
    store::save_positions(&mut tx, LIVE, &next).await?;
    tx.commit().await
}

impl<W: View> Room for Folder<W> {
    fn haste(&self) -> Haste {
        Haste::Readers
    }

    fn facts(&self) -> Vec<Read> {
        self.table.reads()
    }

    fn apply<'a>(
        &'a self,
        core: &'a Core,
        tx: &'a mut Tx,
        turn: &'a mut Turn<'_>,
        known: &'a Known,
        condemned: &'a Condemned,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.table.apply(core, tx, turn, known, condemned))
    }

    fn wipe<'a>(
        &'a self,
        tx: &'a mut Tx,
        (topic, partition): Partition,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(W::wipe(tx, topic, partition))
    }

    fn sweep<'a>(&'a self, _core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn view(&self) -> Option<ViewCode> {
        Some(ViewCode { tables: W::TABLES, fold: self.fold.to_owned() })
    }

    fn retell<'a>(
        &'a self,
        core: &'a Core,
        tx: &'a mut Tx,
        after: String,
        limit: i64,
    ) -> Retold<'a> {
        match self.table.retell() {
            Some(retell) => retell(core, tx, after, limit),
            None => Box::pin(std::future::ready(Ok(None))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_starts_where_the_positions_say() {
        let (tool, member) = (false, true);
        let cases = [
            // stored, first, committed, ours, low, high -> start
            (None, 0, None, tool, 0, 9, Start::Continue),
            (Some(57), 57, Some(57), member, 0, 60, Start::Continue),
            (Some(57), 60, Some(60), member, 0, 61, Start::Continue),
            // the commit lags behind the rows after a crash: skip what is folded
            (Some(57), 40, Some(40), member, 0, 57, Start::Continue),
            (Some(13), 12, Some(12), member, 12, 13, Start::Continue),
            // reset to the middle, and to the beginning, also of a log that begins later
            (Some(57), 40, Some(40), tool, 0, 57, Start::Continue),
            (Some(57), 0, Some(0), tool, 0, 57, Start::Refold),
            (Some(57), 12, Some(12), tool, 12, 57, Start::Refold),
            // the group has no offsets: what is past its retention is kept
            (Some(57), 0, None, tool, 0, 57, Start::Refold),
            (Some(57), 12, None, tool, 12, 57, Start::Continue),
            // an earlier batch of ours was committed after the partition came back
            (Some(57), 40, Some(57), member, 0, 57, Start::Continue),
            // the committed offset is out of range, so the client began at the beginning
            (Some(57), 0, Some(57), member, 0, 57, Start::Recreated),
            // the log is shorter than what is folded
            (Some(57), 0, None, tool, 0, 3, Start::Recreated),
            (Some(57), 0, Some(0), member, 0, 3, Start::Recreated),
        ];
        for (stored, first, committed, ours, low, high, wanted) in cases {
            let bounds = Bounds { committed, ours, low, high: Some(high) };
            let begin = Begin { topic: "t", partition: 0, first, bounds };
            assert_eq!(start(stored, &begin), wanted, "{stored:?} {begin:?}");
        }
    }
}
