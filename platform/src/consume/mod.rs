//! The side door: records of Kafka become batches, batches become transactions.
//!
//! A thread polls and only hands over; one task decides batch after batch, in the order of the
//! partitions; an offset is stored after the commit it stands for, as a hint for a restart.
//! Correctness rests on the inbox and on versions, never on offsets.

pub(crate) mod arrive;
mod assign;
mod batch;
mod careful;
mod handover;
pub(crate) mod keep;
pub(crate) mod packed;
mod place;
mod planted;
mod poll;
pub(crate) mod reaction;
mod room;
mod seek;
mod stopped;
mod tell;
pub(crate) mod turn;
mod view;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::{Condition, Fault};
pub(crate) use assign::Partition;
pub(crate) use poll::Link;
use reaction::Room;

/// What the consumer tells the outside about its state.
#[derive(Clone)]
pub(crate) struct Conditions {
    /// A member of its group, with a broker in reach.
    pub(crate) consumer: Condition,
    /// Every partition is handled.
    pub(crate) partitions: Condition,
    /// The last batch met no fault of the infrastructure.
    pub(crate) handling: Condition,
}

/// Who waits for what comes of a record. Many small transactions cost many times what few large ones
/// do: where less depends on a record, it waits longer for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// The next step: nothing waits for others, but for a rest of the one who handles it.
    Step,
    /// Readers of a view.
    Readers,
    /// Nobody does.
    Nobody,
}

/// Consumes until `stop`; while `held` is true nothing new is handled.
pub(crate) async fn run(
    core: Arc<Core>,
    room: Arc<dyn Room>,
    conditions: Conditions,
    held: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), Fault> {
    if room.reads().is_empty() {
        stop.cancelled().await;
        return Ok(());
    }
    if room.is_view() {
        return follow(core, room, conditions, held, stop).await;
    }
    let link = link(&core, &core.group, &*room, conditions.consumer.clone())?;
    batch::Loop::new(core, room, link, conditions, 0).run(held, stop).await
}

/// A member for a view reads as long as the live build is one that this code may fold, and joins
/// anew when another one is live.
async fn follow(
    core: Arc<Core>,
    room: Arc<dyn Room>,
    conditions: Conditions,
    held: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let mut live = core.live.subscribe();
    loop {
        let build = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            build = live.wait_for(|build| *build > 0) => *build.map_err(Fault::transient)?,
        };
        let link = link(&core, &core.group, &*room, conditions.consumer.clone())?;
        let ends = stop.child_token();
        let member = batch::Loop::new(core.clone(), room.clone(), link, conditions.clone(), build);
        let mut member = std::pin::pin!(member.run(held.clone(), ends.clone()));
        tokio::select! {
            ended = &mut member => return ended,
            _ = live.wait_for(|live| *live != build) => ends.cancel(),
        }
        member.await?;
    }
}

/// Joins a group.
pub(crate) fn link(
    core: &Core,
    group: &str,
    room: &dyn Room,
    condition: Condition,
) -> Result<Link, Fault> {
    poll::start(core, group, room, condition)
}
