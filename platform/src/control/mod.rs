//! What operators ask a service to do, and what it tells them: over topics, so that no service has
//! a port for it and nobody needs to know where its instances are.
//!
//! Commands are read from their beginning by every instance, and obeyed once for the group: its
//! database remembers them. Pauses are states, not commands; a new instance finds them too.

mod commands;
mod inbox;
mod obey;
pub(crate) mod operation;
mod progress;
mod status;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use commands::{Build, Command, Do, Kind, Operator, Pause, Place, Selection};
pub(crate) use obey::Outcome;
pub(crate) use progress::{Pauses, Progress, Skips, free};
pub use status::{OperationStatus, PartitionStatus, Status};
pub use topics::{OpsTopics, dead_letters, own_topics};

use crate::core::{Core, within};
use crate::{Fault, Health};

/// Operations are looked after this often.
const TICK: Duration = Duration::from_millis(100);
/// The database may keep operators waiting for so long at a time.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a service tells how it is.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// Obeys and tells, until stopped. Nothing of a service's work depends on it.
pub(crate) async fn run(
    core: Arc<Core>,
    health: Health,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let mut orders = inbox::open(&core, stop.clone())?;
    let mut teller = status::Teller::new(&core, health)?;
    let mut tick = tokio::time::interval(TICK);
    let mut told = tokio::time::Instant::now();
    // A command that the database could not be told waits here, those behind it in the topic.
    let mut waits: Option<inbox::Order> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {}
            Some(order) = orders.recv(), if waits.is_none() => waits = Some(order),
        }
        if let Some(order) = waits.take() {
            waits = obey::order(&core, order).await;
        }
        if let Err(fault) = within(PATIENCE, Box::pin(operation::advance(&core))).await {
            tracing::debug!(service = core.service, error = %fault, "operations wait");
        }
        if told.elapsed() >= STATUS_EVERY {
            told = tokio::time::Instant::now();
            teller.tell(&core).await;
        }
    }
}
