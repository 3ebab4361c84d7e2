//! The side door: records of Kafka become batches, batches become transactions.
//!
//! A thread polls and only hands over; one task decides batch after batch, in the order of the
//! partitions; an offset is stored after the commit it stands for, as a hint for a restart.
//! Correctness rests on the inbox and on versions, never on offsets.

pub(crate) mod arrive;
mod assign;
mod batch;
mod careful;
pub(crate) mod keep;
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

/// Consumes until `stop`; while `held` is true nothing new is handled.
pub(crate) async fn run(
    core: Arc<Core>,
    room: Arc<dyn Room>,
    conditions: Conditions,
    held: watch::Receiver<bool>,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let reads = room.reads();
    let Some((_, first)) = reads.first() else {
        stop.cancelled().await;
        return Ok(());
    };
    let domain = first.name.split('.').next().unwrap_or_default();
    let link = poll::start(&core, domain, &reads, conditions.consumer.clone())?;
    batch::Loop::new(core, room, link, conditions).run(held, stop).await
}
