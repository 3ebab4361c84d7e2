//! Reactions with their types erased: a room of one working set and the facts it handles.

use std::collections::{BTreeSet, HashMap};

use futures::FutureExt;
use futures::future::BoxFuture;
use millrace_contract::{DecodeError, Envelope, Event, Topic};

use super::arrive::Arrived;
use super::assign::Partition;
use crate::core::{Core, in_time};
use crate::service::{Decide, Fold, Sweep, WorkingSet};
use crate::{Emit, Fault, Poison};

pub(crate) use super::room::Handler;
pub(crate) use super::view::Folder;

/// A fact a service reads, with the schema it reads it in.
#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub(crate) name: &'static str,
    pub(crate) topic: &'static Topic,
    pub(crate) schema: &'static str,
}

/// Why a batch was rolled back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Infrastructure: the same batch again, later.
    Transient(Fault),
    /// The record at this index cannot be handled.
    Record(usize, Fault),
    /// Some record of the batch cannot be handled, and which one is not known.
    Batch(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transient(_) => Self::Transient(fault),
            Fault::Poison(_) => Self::Batch(fault),
        }
    }
}

/// What a service does with batches, whatever its working set.
pub(crate) trait Room: Send + Sync {
    /// Names and topics of the facts it handles.
    fn reads(&self) -> Vec<(&'static str, &'static Topic)> {
        self.facts().iter().map(|read| (read.name, read.topic)).collect()
    }

    /// The facts it handles.
    fn facts(&self) -> Vec<Read>;

    /// One transaction for the batch.
    fn handle<'a>(
        &'a self,
        core: &'a Core,
        batch: &'a [Arrived],
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// One transaction for what is due; says how many rows there were.
    fn sweep<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>>;

    /// Whether the rows are a view whose positions lie beside them.
    fn is_view(&self) -> bool;

    /// How far a view has folded these partitions.
    fn stored<'a>(
        &'a self,
        core: &'a Core,
        partitions: BTreeSet<Partition>,
    ) -> BoxFuture<'a, Result<HashMap<Partition, i64>, Fault>>;

    /// Called for a view when a newly assigned partition begins before what is stored of it.
    fn begin_partition<'a>(
        &'a self,
        core: &'a Core,
        start: &'a super::view::Begin,
    ) -> BoxFuture<'a, Result<(), Fault>>;
}

/// A fact with its type erased, ready to be applied to the rows of `W`.
pub(crate) trait Fact<W: WorkingSet>: Send + Sync {
    fn keys(&self, keys: &mut W::Keys);
    fn apply(&self, rows: &mut W, emit: &mut Emit) -> Result<(), Poison>;
}

/// How a batch of due rows is decided.
pub(crate) type SweepFn = for<'a> fn(&'a Core) -> BoxFuture<'a, Result<usize, Fault>>;

/// Makes a typed fact out of an arrived record.
pub(crate) type Prepare<W> = fn(&Arrived) -> Result<Box<dyn Fact<W>>, Poison>;

/// One line of a service's declaration.
pub(crate) enum Reaction<W> {
    Fact(Read, Prepare<W>),
    Sweep(SweepFn),
}

impl<W: WorkingSet> Reaction<W> {
    pub(crate) fn decides<E: Event>() -> Self
    where
        W: Decide<E>,
    {
        Self::Fact(read::<E>(), |arrived| Ok(Box::new(Decided(envelope::<E>(arrived)?))))
    }

    pub(crate) fn folds<E: Event>() -> Self
    where
        W: Fold<E>,
    {
        Self::Fact(read::<E>(), |arrived| Ok(Box::new(Folded(envelope::<E>(arrived)?))))
    }

    pub(crate) fn sweeps() -> Self
    where
        W: Sweep,
    {
        Self::Sweep(|core| Box::pin(super::room::sweep::<W>(core)))
    }
}

fn read<E: Event>() -> Read {
    Read { name: E::NAME, topic: E::TOPIC, schema: E::SCHEMA }
}

fn envelope<E: Event>(arrived: &Arrived) -> Result<Envelope<E>, Poison> {
    let event = E::from_datum(&arrived.datum).map_err(|error: DecodeError| Poison::new(error))?;
    let key = arrived.key.parse().map_err(Poison::new)?;
    if event.key() != &key {
        return Err(Poison::new(format!("the record key is not the key of its {}", E::NAME)));
    }
    Ok(Envelope {
        id: arrived.id,
        key,
        version: arrived.version,
        producer: arrived.producer.clone(),
        cause: arrived.cause.clone(),
        occurred_at: arrived.occurred_at,
        position: arrived.position.clone(),
        event,
    })
}

struct Decided<E: Event>(Envelope<E>);
struct Folded<E: Event>(Envelope<E>);

impl<E: Event, W: Decide<E>> Fact<W> for Decided<E> {
    fn keys(&self, keys: &mut W::Keys) {
        W::keys(&self.0, keys);
    }

    fn apply(&self, rows: &mut W, emit: &mut Emit) -> Result<(), Poison> {
        rows.decide(&self.0, emit)
    }
}

impl<E: Event, W: Fold<E>> Fact<W> for Folded<E> {
    fn keys(&self, keys: &mut W::Keys) {
        W::keys(&self.0, keys);
    }

    fn apply(&self, rows: &mut W, _emit: &mut Emit) -> Result<(), Poison> {
        rows.fold(&self.0);
        Ok(())
    }
}

/// The reactions of one working set, found by fact.
pub(crate) struct Table<W> {
    facts: Vec<(Read, Prepare<W>)>,
    sweep: Option<SweepFn>,
}

impl<W: WorkingSet> Table<W> {
    pub(crate) fn new(reactions: Vec<Reaction<W>>) -> Self {
        let mut table = Self { facts: vec![], sweep: None };
        for reaction in reactions {
            match reaction {
                Reaction::Fact(read, prepare) => table.facts.push((read, prepare)),
                Reaction::Sweep(sweep) => table.sweep = Some(sweep),
            }
        }
        table
    }

    pub(crate) fn reads(&self) -> Vec<Read> {
        self.facts.iter().map(|(read, _)| *read).collect()
    }

    pub(crate) fn sweeper(&self) -> Option<SweepFn> {
        self.sweep
    }

    /// Typed facts of a batch; the index of the first that cannot be decoded.
    pub(crate) fn prepare(&self, batch: &[Arrived]) -> Result<Vec<Box<dyn Fact<W>>>, Failure> {
        let prepare = |(index, arrived): (usize, &Arrived)| {
            let found = self.facts.iter().find(|(read, _)| read.name == arrived.name);
            let fact = match found {
                Some((_, prepare)) => prepare(arrived),
                None => Err(Poison::new(format!("{} is not handled here", arrived.name))),
            };
            fact.map_err(|poison| Failure::Record(index, poison.into()))
        };
        batch.iter().enumerate().map(prepare).collect()
    }
}

/// Applies a fact to the rows; a panic of the decision is a fault of the record.
pub(crate) fn apply<W: WorkingSet>(
    fact: &dyn Fact<W>,
    rows: &mut W,
    emit: &mut Emit,
) -> Result<(), Poison> {
    let applied = std::panic::AssertUnwindSafe(|| fact.apply(rows, emit));
    std::panic::catch_unwind(applied).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Poison::new(format!("the decision panicked: {}", text.unwrap_or_default())))
    })
}

/// A batch's work under the deadline of a transaction; a panic in it is a fault of the data.
pub(crate) async fn guarded(
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let work = std::panic::AssertUnwindSafe(work).catch_unwind();
    match in_time(async { Ok(work.await) }).await? {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Batch(Fault::poison("the work on a batch panicked"))),
    }
}
