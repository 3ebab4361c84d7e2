//! What every part of a mounted service shares: its database, its pen and its signals.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;

use crate::ask::{self, Breakers};
use crate::control::{Pauses, Progress, Skips};
use crate::news::AllNews;
use crate::outbox::{self, Fresh, Horizon};
use crate::projection::{Courtesy, ViewCode};
use crate::store::{Known, Versions};
use crate::telemetry::{Metrics, Tracing};
use crate::tx::Line;
use crate::{Config, Emit, Fault, Registry, Tx, store};

/// No transaction may take longer; past it the connection is closed and the server rolls back.
const TX_TIME_MAX: Duration = Duration::from_secs(15);

/// A mounted service's shared parts.
pub(crate) struct Core {
    pub(crate) service: &'static str,
    /// The first word of its topics.
    pub(crate) domain: &'static str,
    /// This instance among those of its group.
    pub(crate) instance: String,
    /// The contract's name of the topic of its dead letters.
    pub(crate) dead_letters: String,
    /// Topics it reads, by the contract's names.
    pub(crate) reads: Vec<&'static str>,
    /// Topics of what it emits.
    pub(crate) emits: Vec<&'static str>,
    /// The consumer group as the broker knows it.
    pub(crate) group: String,
    pub(crate) config: Config,
    pub(crate) pool: PgPool,
    /// What batches of live records are written on.
    pub(crate) line: Line,
    pub(crate) registry: Registry,
    pub(crate) metrics: Metrics,
    pub(crate) tracing: Tracing,
    pub(crate) settings: Arc<dyn Any + Send + Sync>,
    pub(crate) declared: Arc<[&'static str]>,
    /// Registry ids of the schemas the service emits and reads, by fact; empty until the registry
    /// answered.
    pub(crate) schema_ids: OnceLock<HashMap<&'static str, u32>>,
    /// What was announced, on its way to the relay of this process.
    pub(crate) fresh: Arc<Fresh>,
    /// Records an operator wants out of the way.
    pub(crate) skips: Skips,
    /// What operators hold.
    pub(crate) pauses: watch::Sender<Pauses>,
    /// How long rows of inbox and outbox are kept.
    pub(crate) horizon: Horizon,
    /// How the rows come about, when they are a view.
    pub(crate) view: Option<ViewCode>,
    /// The live build of the view, when it is folded by this code; else 0.
    pub(crate) live: watch::Sender<i32>,
    /// Counts how often operators asked for the group to be put elsewhere.
    pub(crate) seeks: watch::Sender<u64>,
    /// How far each partition is handled.
    pub(crate) progress: Progress,
    /// When partners outside are left alone.
    pub(crate) breakers: Breakers,
    /// Who has live traffic in hand.
    pub(crate) courtesy: Courtesy,
    /// Who waits for which key.
    pub(crate) news: AllNews,
    /// Counts the commits of this service's batches.
    pub(crate) changes: watch::Sender<u64>,
}

impl Core {
    /// Opens a transaction.
    pub(crate) async fn begin(&self) -> Result<Tx, Fault> {
        let begin = Tx::begin(&self.pool, self.settings.clone(), self.fresh.clone());
        within(Duration::from_secs(5), begin).await
    }

    /// Opens a transaction on a line.
    pub(crate) async fn begin_on(&self, line: &Line) -> Result<Tx, Fault> {
        let begin = Tx::begin_on(line, self.settings.clone(), self.fresh.clone());
        within(Duration::from_secs(5), begin).await
    }

    /// A pen for this transaction.
    pub(crate) fn pen(&self, tx: &Tx) -> Emit {
        Emit::new(tx.now(), self.declared.clone(), self.tracing.clone())
    }

    /// Writes what was announced to the outbox; what is asked of partners is written with it.
    pub(crate) async fn announce(&self, tx: &mut Tx, emit: Emit) -> Result<(), Fault> {
        self.announce_after(tx, emit, &Versions::new(), &Known::default()).await
    }

    /// The same of a batch, whose versions are remembered with it.
    pub(crate) async fn announce_after(
        &self,
        tx: &mut Tx,
        emit: Emit,
        applied: &Versions,
        known: &Known,
    ) -> Result<(), Fault> {
        let (facts, outside) = emit.finish().map_err(|name| {
            Fault::poison(format!("{} emits {name} without declaring it", self.service))
        })?;
        ask::store::write(tx, outside).await?;
        if facts.is_empty() {
            return store::save_last_versions(tx, applied).await;
        }
        let ids = self.schema_ids.get();
        let ids = ids.ok_or_else(|| Fault::transient("the registry has not answered yet"))?;
        outbox::announce(tx, facts, ids, applied, known).await
    }

    /// Tells whoever waits that a transaction was committed.
    pub(crate) fn committed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Work on the database under the deadline of a transaction.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    within(TX_TIME_MAX, work).await
}

/// Work on the database under a deadline of its own.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::transient(format!("the database did not answer within {limit:?}"))),
    }
}
