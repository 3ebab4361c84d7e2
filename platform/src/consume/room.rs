//! The room of decisions: one transaction for a batch, the inbox first.

use std::collections::{HashMap, HashSet};

use futures::future::BoxFuture;
use millrace_contract::EventId;

use super::arrive::{Content, Incoming};
use super::assign::Partition;
use super::planted;
use super::reaction::{Failure, Reaction, Read, Room, Table};
use super::turn::{Condemned, Fate, Turn};
use crate::core::{Core, in_time};
use crate::parking;
use crate::plant::{self, Plant};
use crate::service::{Sweep, WorkingSet};
use crate::store::{self, Known};
use crate::{Fault, Poison, Tx, fail};

/// At most this many due rows are decided in one transaction.
const SWEEP_ROWS_MAX: i64 = 500;

/// Reactions that decide over the rows of `W`.
pub(crate) struct Handler<W> {
    table: Table<W>,
}

impl<W: WorkingSet> Handler<W> {
    pub(crate) fn new(reactions: Vec<Reaction<W>>) -> Self {
        Self { table: Table::new(reactions) }
    }
}

/// Live records of one batch: the inbox says which are new, what failed is parked, the rest acts.
pub(super) async fn handle(
    core: &Core,
    room: &dyn Room,
    batch: &mut [Incoming<'_>],
    mut condemned: Condemned,
) -> Result<(), Failure> {
    // The offsets are stored all the same.
    if plant::is_turn(Plant::OffsetBeforeCommit, 10) {
        return Ok(());
    }
    let mut tx = core.begin_on(&core.line).await?;
    let repeated = match planted::unasked() {
        Some(none) => none,
        None => admit(core, &mut tx, batch, &mut condemned).await?,
    };
    if plant::is(Plant::InboxBefore) {
        tx.commit().await?;
        if plant::is_turn(Plant::InboxBefore, 10) {
            return Ok(());
        }
        tx = core.begin_on(&core.line).await?;
    }
    planted::condemn(batch.len(), &mut condemned);
    fail::point("consume.after_inbox");
    let fresh = || batch.iter().enumerate().filter(|(index, _)| !repeated.contains(index));
    if fresh().next().is_none() {
        tx.commit().await?;
        return Ok(());
    }
    let (waiting, known) = match store::known_of_free(&mut tx, batch, &core.emits).await? {
        Some(known) => (HashMap::new(), known),
        None => {
            let waiting = parking::waiting(&mut tx, batch).await?;
            (waiting, Known::only(store::last_versions(&mut tx, batch).await?))
        }
    };
    let known = planted::guard(known);
    let mut turn = Turn::new(batch, waiting);
    turn.versioned = true;
    repeated.iter().for_each(|index| turn.fates[*index] = Some(Fate::Repeat));
    room.apply(core, &mut tx, &mut turn, &known, &condemned).await?;
    debug_assert!(turn.applied.is_empty(), "versions were not remembered");
    count_repeats(core, &turn);
    planted::admit_late(&mut tx, batch).await?;
    parking::park(core, &mut tx, &room.facts(), &turn).await?;
    planted::forget(&mut tx, batch).await?;
    fail::point("consume.before_commit");
    tx.commit().await?;
    fail::point("consume.after_commit");
    core.committed();
    Ok(())
}

/// Which records have arrived before. Another body under a known id is no repetition: it is given
/// an identity of its own and has its fault.
async fn admit(
    core: &Core,
    tx: &mut Tx,
    batch: &mut [Incoming<'_>],
    condemned: &mut Condemned,
) -> Result<HashSet<usize>, Fault> {
    let mut repeated = HashSet::new();
    let mut seen: HashMap<EventId, i64> = HashMap::with_capacity(batch.len());
    let mut collided = vec![];
    let counts = |incoming: &Incoming<'_>| !matches!(incoming.content, Content::Passed(_));
    let new = store::inbox_insert(tx, batch.iter().filter(|incoming| counts(incoming))).await?;
    let known = match new.len() == batch.iter().filter(|incoming| counts(incoming)).count() {
        true => HashMap::new(),
        false => store::inbox_digests(tx, batch, &new).await?,
    };
    for (index, incoming) in batch.iter_mut().enumerate() {
        if !counts(incoming) {
            continue;
        }
        // Rows of before digests were kept say nothing of their bodies.
        let stored = || known.get(&incoming.id).copied().or(Some(incoming.digest));
        let first = new.contains(&incoming.id) && !seen.contains_key(&incoming.id);
        let before = match first {
            true => None,
            false => seen.get(&incoming.id).copied().or_else(stored),
        };
        match before {
            Some(digest) if digest != incoming.digest && !plant::is(Plant::InboxWithoutDigest) => {
                let text = format!("event {} was there before with another body", incoming.id);
                condemned.insert(index, Poison::coded("id_collision", text));
                incoming.id = incoming.record.derived_id();
                incoming.content = Content::Broken;
                collided.push(index);
            }
            Some(_) => drop(repeated.insert(index)),
            None => drop(seen.insert(incoming.id, incoming.digest)),
        }
    }
    if !collided.is_empty() {
        let derived = collided.iter().map(|index| &batch[*index]);
        let new = store::inbox_insert(tx, derived).await?;
        repeated.extend(collided.into_iter().filter(|index| !new.contains(&batch[*index].id)));
    }
    for index in &repeated {
        core.metrics.duplicates(fact_name(&batch[*index]), 1);
    }
    Ok(repeated)
}

fn count_repeats(core: &Core, turn: &Turn<'_>) {
    for (index, fate) in turn.fates.iter().enumerate() {
        if matches!(fate, Some(Fate::Repeat)) {
            core.metrics.duplicates(fact_name(&turn.batch[index]), 1);
        }
    }
}

/// A name of few values, as labels need it.
fn fact_name(incoming: &Incoming<'_>) -> &'static str {
    match &incoming.content {
        Content::Fact(arrived) => arrived.name,
        Content::Passed(_) | Content::Broken => "unreadable",
    }
}

impl<W: WorkingSet> Room for Handler<W> {
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
        _tx: &'a mut Tx,
        _partition: Partition,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn sweep<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>> {
        match self.table.sweeper() {
            Some(sweep) => Box::pin(in_time(sweep(core))),
            None => Box::pin(std::future::ready(Ok(0))),
        }
    }
}

/// One transaction for the rows that are due.
pub(super) async fn sweep<W: Sweep>(core: &Core) -> Result<usize, Fault> {
    let mut tx = core.begin().await?;
    let (keys, due) = W::due(&mut tx, SWEEP_ROWS_MAX).await?;
    if due == 0 {
        tx.commit().await?;
        return Ok(0);
    }
    let mut rows = W::load(&mut tx, &keys).await?;
    let mut emit = core.pen(&tx);
    rows.sweep(&mut emit)?;
    rows.save(&mut tx).await?;
    core.announce(&mut tx, emit).await?;
    tx.commit().await?;
    core.committed();
    Ok(due)
}
