//! The thread that keeps a store like its topic: reads, writes, and says how far it is. It is the
//! only one that writes, and it never answers anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Replica;
use super::decode::{Decoder, Record};
use super::lookup::Shared;
use super::source::{Look, Source};
use super::store::Batch;
use crate::core::Core;
use crate::{Condition, Fault};

/// What was written reaches the disk this often; until then it survives the process at best, and is
/// read again.
const DURABLE_EVERY: Duration = Duration::from_secs(1);
/// A whole copy is served after this time also when no broker says whether it is the latest.
const BROKER_WAIT: Duration = Duration::from_secs(5);
/// Between two attempts at what is away.
const PAUSE: Duration = Duration::from_millis(500);
const CLUSTER: &str = "cluster";

/// Keeps the store like the topic until `stop`.
pub(super) async fn run<R: Replica>(
    core: Arc<Core>,
    shared: Arc<Shared>,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Fault> {
    let runtime = Handle::current();
    let work = move || Follower::<R>::open(core, shared, condition, stop, runtime)?.run();
    let (done, ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("replica".to_owned()).spawn(move || {
        if done.send(work()).is_err() {
            tracing::debug!("nobody waits for the end of a replica");
        }
    });
    thread.map_err(Fault::transient)?;
    ended.await.map_err(|_| Fault::transient("the thread of the replica panicked"))?
}

struct Follower<R> {
    core: Arc<Core>,
    shared: Arc<Shared>,
    source: Source,
    decoder: Decoder<R>,
    condition: Condition,
    stop: CancellationToken,
    runtime: Handle,
    next: BTreeMap<u32, u64>,
    begun: Instant,
    /// Since when there is something that is not on the disk.
    unsafe_since: Option<Instant>,
    cluster_known: bool,
}

impl<R: Replica> Follower<R> {
    fn open(
        core: Arc<Core>,
        shared: Arc<Shared>,
        condition: Condition,
        stop: CancellationToken,
        runtime: Handle,
    ) -> Result<Self, Fault> {
        let source = Source::open(&core, shared.topic.name)?;
        let decoder = Decoder::new(core.registry.clone());
        let next = shared.store.read().and_then(|view| view.next()).map_err(Fault::transient)?;
        let (begun, unsafe_since, cluster_known) = (Instant::now(), None, false);
        Ok(Self {
            core,
            shared,
            source,
            decoder,
            condition,
            stop,
            runtime,
            next,
            begun,
            unsafe_since,
            cluster_known,
        })
    }

    fn run(mut self) -> Result<(), Fault> {
        while !self.stop.is_cancelled() {
            match self.source.look(&self.next) {
                Look::Same => {}
                Look::Other(reason) => self.rebuild(&reason)?,
                Look::Nothing(reason) => self.wait_for(&reason),
            }
            self.compare_cluster()?;
            let records = self.source.batch();
            if !records.is_empty() {
                self.write(&records)?;
            }
            self.settle()?;
        }
        if self.unsafe_since.is_some() {
            self.commit(Batch { durable: true, ..Batch::default() })?;
        }
        Ok(())
    }

    /// A topic of the same name on another cluster is another topic.
    fn compare_cluster(&mut self) -> Result<(), Fault> {
        if self.cluster_known {
            return Ok(());
        }
        let Some(cluster) = self.source.cluster() else { return Ok(()) };
        self.cluster_known = true;
        let before = self.shared.store.label(CLUSTER, &cluster).map_err(Fault::transient)?;
        match before.filter(|before| *before != cluster) {
            None => Ok(()),
            Some(before) => {
                self.cluster_known = false;
                self.rebuild(&format!("the store is of the cluster {before}, this is {cluster}"))
            }
        }
    }

    /// Nothing of what is stored can be trusted: it is read again, and nobody is answered until
    /// then.
    fn rebuild(&mut self, reason: &str) -> Result<(), Fault> {
        tracing::error!(service = self.core.service, reason, "the copy is made anew");
        self.shared.close();
        self.condition.not(format!("the copy is made anew: {reason}"));
        self.source.forget()?;
        self.shared.store.wipe().map_err(Fault::transient)?;
        self.core.metrics.replica().rebuilt();
        self.next.clear();
        Ok(())
    }

    /// A whole copy is served without a broker too, and says how old it is.
    fn wait_for(&self, reason: &str) {
        if self.shared.is_open() && self.begun.elapsed() >= BROKER_WAIT {
            self.condition.ok();
        } else if !self.shared.is_open() || !self.source.has_arrived() {
            self.condition.not(format!("waiting for the topic: {reason}"));
        }
    }

    /// Writes records; waits for a registry that is away and is needed for them.
    fn write(&mut self, records: &[Record]) -> Result<(), Fault> {
        let (batch, tally) = loop {
            let decoded = self.decoder.batch(&self.shared.store, records);
            match self.runtime.block_on(decoded) {
                Ok(decoded) => break decoded,
                Err(fault) => {
                    tracing::warn!(service = self.core.service, error = %fault, "a schema is needed");
                    if self.stop.is_cancelled() {
                        return Ok(());
                    }
                    self.tell()?;
                    std::thread::sleep(PAUSE);
                }
            }
        };
        self.next.extend(&batch.next);
        self.core.metrics.replica().read(&tally);
        self.commit(batch)
    }

    fn commit(&mut self, mut batch: Batch) -> Result<(), Fault> {
        let due = self.unsafe_since.is_some_and(|since| since.elapsed() >= DURABLE_EVERY);
        batch.durable |= due;
        self.shared.store.apply(&batch).map_err(Fault::transient)?;
        self.unsafe_since = match batch.durable {
            true => None,
            false => self.unsafe_since.or(Some(Instant::now())),
        };
        self.shared.changed();
        Ok(())
    }

    /// Says how far it is, and brings what was written to the disk when it is time.
    fn settle(&mut self) -> Result<(), Fault> {
        if self.source.has_arrived() {
            if !self.shared.is_open() {
                self.condition.not("everything is read; its index is made");
                let stop = self.stop.clone();
                let complete = self.shared.store.complete(|| stop.is_cancelled());
                if !complete.map_err(Fault::transient)? {
                    return Ok(());
                }
                self.shared.open();
            }
            self.condition.ok();
        } else if self.source.left() > 0 {
            let left = self.source.left();
            self.condition.not(format!("{left} records are still to be read"));
        }
        if self.source.is_current() {
            self.shared.is_current();
        }
        if self.unsafe_since.is_some_and(|since| since.elapsed() >= DURABLE_EVERY) {
            self.commit(Batch { durable: true, ..Batch::default() })?;
        }
        self.tell()
    }

    fn tell(&self) -> Result<(), Fault> {
        let stale = self.shared.stale_keys().map_err(Fault::transient)?;
        self.core.metrics.replica().behind(self.shared.behind().as_secs_f64(), stale);
        Ok(())
    }
}
