//! Reactions with their types erased: a room of one working set and the facts it handles.

use futures::FutureExt;
use futures::future::BoxFuture;
use millrace_contract::{DecodeError, Envelope, Event, Topic};

use super::Haste;
use super::arrive::{Arrived, Content};
use super::assign::Partition;
use super::planted;
use super::turn::{Condemned, Turn};
use crate::core::{Core, in_time};
use crate::emit::Origin;
use crate::projection::{ViewCode, retell};
use crate::service::{Announce, Decide, Fold, Sweep, WorkingSet};
use crate::store::{Known, save_last_versions};
use crate::telemetry::ProcessSpan;
use crate::{Emit, Fault, FaultPolicy, Poison, Tx};

pub(crate) use super::room::Handler;
pub(crate) use super::view::Folder;

/// A fact a service reads, with the schema it reads it in.
#[derive(Clone, Copy)]
pub(crate) struct Read {
    pub(crate) name: &'static str,
    pub(crate) topic: &'static Topic,
    /// `None`: it is kept as it was written, whatever it says.
    pub(crate) schema: Option<&'static str>,
    pub(crate) policy: FaultPolicy,
}

/// Why a batch was rolled back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Infrastructure: the same batch again, later.
    Transient(Fault),
    /// The record at this index cannot be handled, and left the rows in disorder.
    Record(usize, Poison),
    /// Some record of the batch cannot be handled, and which one is not known.
    Batch(Poison),
    /// The records of the batch have to be handled one by one.
    Apart,
    /// No more can be parked: the partition of the record at this index stops.
    Full(usize, String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transient(_) => Self::Transient(fault),
            Fault::Poison(poison) => Self::Batch(poison),
        }
    }
}

/// What a service does with batches, whatever its working set.
pub(crate) trait Room: Send + Sync {
    /// Who waits for what it does.
    fn haste(&self) -> Haste {
        Haste::Step
    }

    /// Names and topics of the facts it handles.
    fn reads(&self) -> Vec<(&'static str, &'static Topic)> {
        self.facts().iter().map(|read| (read.name, read.topic)).collect()
    }

    /// The facts it handles.
    fn facts(&self) -> Vec<Read>;

    /// Lets the open records of a turn act over the rows, in their order. Versions that are to be remembered are written with it; neither inbox nor
    /// positions are its affair.
    fn apply<'a>(
        &'a self,
        core: &'a Core,
        tx: &'a mut Tx,
        turn: &'a mut Turn<'_>,
        known: &'a Known,
        condemned: &'a Condemned,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// Forgets what a partition has contributed to a view.
    fn wipe<'a>(&'a self, tx: &'a mut Tx, partition: Partition)
    -> BoxFuture<'a, Result<(), Fault>>;

    /// One transaction for what is due; says how many rows there were.
    fn sweep<'a>(&'a self, core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>>;

    /// How the rows come about, when they are a view whose positions lie beside them.
    fn view(&self) -> Option<ViewCode> {
        None
    }

    /// Whether the rows are a view.
    fn is_view(&self) -> bool {
        self.view().is_some()
    }

    /// Says again what rows behind a key amount to, as far as it is new: the key it came to.
    fn retell<'a>(
        &'a self,
        _core: &'a Core,
        _tx: &'a mut Tx,
        _after: String,
        _limit: i64,
    ) -> Retold<'a> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// A fact with its type erased, ready to be applied to the rows of `W`.
pub(crate) trait Fact<W: WorkingSet>: Send + Sync {
    fn keys(&self, keys: &mut W::Keys);
    fn apply(&self, rows: &mut W, emit: &mut Emit) -> Result<(), Poison>;
}

/// How a batch of due rows is decided.
pub(crate) type SweepFn = for<'a> fn(&'a Core) -> BoxFuture<'a, Result<usize, Fault>>;

/// How a view says what its facts amount to.
pub(crate) type AnnounceFn<W> = fn(&mut W, &mut Emit);

/// Says again what rows behind a key amount to, as far as it is new.
pub(crate) type RetellFn = for<'a> fn(&'a Core, &'a mut Tx, String, i64) -> Retold<'a>;

/// The key it came to.
pub(crate) type Retold<'a> = BoxFuture<'a, Result<Option<String>, Fault>>;

/// A typed fact, or why there is none.
type Prepared<W> = Result<Box<dyn Fact<W>>, Poison>;

/// Makes a typed fact out of an arrived record.
pub(crate) type Prepare<W> = fn(&Arrived) -> Prepared<W>;

/// One line of a service's declaration.
pub(crate) enum Reaction<W> {
    Fact(Read, Prepare<W>),
    Sweep(SweepFn),
    Announce(AnnounceFn<W>, RetellFn),
}

impl<W: WorkingSet> Reaction<W> {
    pub(crate) fn decides<E: Event>(policy: FaultPolicy) -> Self
    where
        W: Decide<E>,
    {
        Self::Fact(read::<E>(policy), |arrived| Ok(Box::new(Decided(envelope::<E>(arrived)?))))
    }

    pub(crate) fn folds<E: Event>() -> Self
    where
        W: Fold<E>,
    {
        Self::Fact(read::<E>(FaultPolicy::default()), |arrived| {
            Ok(Box::new(Folded(envelope::<E>(arrived)?)))
        })
    }

    pub(crate) fn announces() -> Self
    where
        W: Announce,
    {
        Self::Announce(W::announce, |core, tx, after, limit| {
            Box::pin(async move { retell::rows::<W>(core, tx, &after, limit).await })
        })
    }

    pub(crate) fn sweeps() -> Self
    where
        W: Sweep,
    {
        Self::Sweep(|core| Box::pin(super::room::sweep::<W>(core)))
    }
}

fn read<E: Event>(policy: FaultPolicy) -> Read {
    Read { name: E::NAME, topic: E::TOPIC, schema: Some(E::SCHEMA), policy }
}

fn envelope<E: Event>(arrived: &Arrived) -> Result<Envelope<E>, Poison> {
    let datum = |error: DecodeError| Poison::coded("datum", error);
    let event = planted::decode::<E>(&arrived.datum).map_err(datum)?;
    let key = arrived.key.parse().map_err(|error| Poison::coded("wrong_key", error))?;
    if event.key() != &key {
        let text = format!("the record key is not the key of its {}", E::NAME);
        return Err(Poison::coded("wrong_key", text));
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
    announce: Option<(AnnounceFn<W>, RetellFn)>,
}

impl<W: WorkingSet> Table<W> {
    pub(crate) fn new(reactions: Vec<Reaction<W>>) -> Self {
        let mut table = Self { facts: vec![], sweep: None, announce: None };
        for reaction in reactions {
            match reaction {
                Reaction::Fact(read, prepare) => table.facts.push((read, prepare)),
                Reaction::Sweep(sweep) => table.sweep = Some(sweep),
                Reaction::Announce(announce, retell) => table.announce = Some((announce, retell)),
            }
        }
        table
    }

    pub(crate) fn reads(&self) -> Vec<Read> {
        self.facts.iter().map(|(read, _)| *read).collect()
    }

    pub(crate) fn retell(&self) -> Option<RetellFn> {
        self.announce.map(|(_, retell)| retell)
    }

    pub(crate) fn sweeper(&self) -> Option<SweepFn> {
        self.sweep
    }

    fn prepare(&self, arrived: &Arrived) -> Prepared<W> {
        let found = self.facts.iter().find(|(read, _)| read.name == arrived.name);
        match found {
            Some((_, prepare)) => prepare(arrived),
            None => Err(Poison::new(format!("{} is not handled here", arrived.name))),
        }
    }

    /// Load, decide one after the other, save, announce, remember the versions.
    pub(crate) async fn apply(
        &self,
        core: &Core,
        tx: &mut Tx,
        turn: &mut Turn<'_>,
        known: &Known,
        condemned: &Condemned,
    ) -> Result<(), Failure> {
        let mut facts: Vec<Option<Prepared<W>>> = vec![];
        facts.resize_with(turn.batch.len(), || None);
        let mut keys = W::Keys::default();
        for index in turn.open() {
            if let Content::Fact(arrived) = &turn.batch[index].content {
                let fact = self.prepare(arrived);
                fact.iter().for_each(|fact| fact.keys(&mut keys));
                facts[index] = Some(fact);
            }
        }
        if facts.iter().all(Option::is_none) {
            for index in turn.open() {
                turn.admits(index, &known.last, condemned);
            }
            save_last_versions(tx, &turn.take_remembered()).await?;
            return Ok(());
        }
        let mut rows = W::load(tx, &keys).await?;
        let mut emit = core.pen(tx);
        let mut spans = Vec::with_capacity(facts.len());
        for index in turn.open() {
            if !turn.admits(index, &known.last, condemned) {
                continue;
            }
            let (Some(fact), Content::Fact(arrived)) =
                (facts[index].take(), &turn.batch[index].content)
            else {
                continue;
            };
            let mut span = origin_span(core, arrived);
            let origin = origin(arrived, &span);
            if self.announce.is_some() {
                emit.learned(arrived.key.clone(), origin.clone());
            }
            emit.caused_by(origin);
            match fact
                .map_err(Stumble::Refused)
                .and_then(|fact| apply(&*fact, &mut rows, &mut emit))
            {
                Ok(()) => turn.done(index),
                Err(Stumble::Refused(poison)) => {
                    span.fail(poison.code());
                    turn.fail(index, poison);
                }
                Err(Stumble::Disordered(poison)) => return Err(Failure::Record(index, poison)),
            }
            spans.push(span);
        }
        if let Some((announce, _)) = self.announce.filter(|_| !turn.silent) {
            announce(&mut rows, &mut emit);
        }
        rows.save(tx).await?;
        Ok(core.announce_after(tx, emit, &turn.take_remembered(), known).await?)
    }
}

/// Why a decision did not come about.
enum Stumble {
    /// The rows are as they were.
    Refused(Poison),
    /// Rows and pen may be half changed.
    Disordered(Poison),
}

/// Applies a fact to the rows; what a refused decision announced is taken back.
fn apply<W: WorkingSet>(fact: &dyn Fact<W>, rows: &mut W, emit: &mut Emit) -> Result<(), Stumble> {
    let mark = emit.mark();
    let applied = std::panic::AssertUnwindSafe(|| fact.apply(rows, emit));
    match std::panic::catch_unwind(applied) {
        Ok(Ok(())) => match emit.undeclared() {
            None => Ok(()),
            Some(name) => {
                let text = format!("the decision emits {name} without declaring it");
                Err(Stumble::Disordered(Poison::coded("undeclared", text)))
            }
        },
        Ok(Err(poison)) => {
            emit.rewind(mark);
            Err(Stumble::Refused(poison))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = format!("the decision panicked: {}", text.unwrap_or_default());
            Err(Stumble::Disordered(Poison::coded("panic", text).again()))
        }
    }
}

/// The span of one record, a child of the span that created the fact.
pub(super) fn origin_span(core: &Core, arrived: &Arrived) -> ProcessSpan {
    core.tracing.process(
        arrived.position.topic,
        arrived.position.partition,
        arrived.position.offset,
        &core.group,
        arrived.name,
        arrived.id,
        &arrived.key,
        &arrived.cause.correlation,
        arrived.cause.trace.as_ref(),
    )
}

fn origin(arrived: &Arrived, span: &ProcessSpan) -> Origin {
    Origin {
        correlation: Some(arrived.cause.correlation.clone()),
        causation: Some(arrived.id),
        span: Some(span.context()),
    }
}

/// A batch's work under the deadline of a transaction; a panic in it is a fault of the data.
pub(crate) async fn guarded<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let work = std::panic::AssertUnwindSafe(work).catch_unwind();
    match in_time(async { Ok(work.await) }).await? {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(Failure::Batch(Poison::coded("panic", "the work on a batch panicked").again()))
        }
    }
}
