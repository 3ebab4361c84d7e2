//! The room of keepers: every record of a topic is kept as it was written, also of a type that this
//! build does not know. The inbox comes first and what cannot be kept is parked, as in the room of
//! decisions; nothing is decided, announced or decoded.

use std::marker::PhantomData;

use futures::future::BoxFuture;
use millrace_contract::{Cause, EventId, Headers, Position, Timestamp, Topic, unframe};

use super::Haste;
use super::arrive::{Arrived, Content, Incoming};
use super::assign::Partition;
use super::packed::Packed;
use super::reaction::{Failure, Read, Room, origin_span};
use super::turn::{Condemned, Turn};
use crate::core::Core;
use crate::service::Keep;
use crate::store::{Known, save_last_versions};
use crate::{Fault, FaultPolicy, Poison, Tx};

/// What a fact is called where names are few, when nobody declared it.
pub(super) const UNDECLARED: &str = "undeclared";

/// A fact as it was written, with what its record says of it.
#[derive(Debug, Clone)]
pub struct Kept<'a> {
    /// Identity of the fact.
    pub id: EventId,
    /// Its full name, from the record.
    pub name: &'a str,
    /// Record key.
    pub key: &'a str,
    /// Counter of the facts of this key in this topic, from 1.
    pub version: u64,
    /// The service that published it.
    pub producer: &'a str,
    /// Why it exists.
    pub cause: &'a Cause,
    /// When it happened, by the clock of the producer's database.
    pub occurred_at: Timestamp,
    /// Where it was read.
    pub position: &'a Position,
    /// The registry's id of the schema it was written with.
    pub schema_id: u32,
    /// The value of the record, with its framing.
    pub payload: &'a [u8],
    /// The headers of the record.
    pub headers: Headers,
}

/// Keeps records by `K`.
pub(crate) struct Keeper<K> {
    facts: Vec<Read>,
    keep: PhantomData<fn() -> K>,
}

impl<K: Keep> Keeper<K> {
    pub(crate) fn new(facts: impl IntoIterator<Item = (&'static str, &'static Topic)>) -> Self {
        let policy = FaultPolicy::default();
        let read = |(name, topic)| Read { name, topic, schema: None, policy };
        Self { facts: facts.into_iter().map(read).collect(), keep: PhantomData }
    }

    async fn apply(
        core: &Core,
        tx: &mut Tx,
        turn: &mut Turn<'_>,
        known: &Known,
        condemned: &Condemned,
    ) -> Result<(), Failure> {
        let batch = turn.batch;
        let (mut facts, mut spans) = (vec![], vec![]);
        for index in turn.open() {
            if !turn.admits(index, &known.last, condemned) {
                continue;
            }
            let Content::Fact(arrived) = &batch[index].content else { continue };
            let mut span = origin_span(core, arrived);
            let kept = kept(&batch[index], arrived);
            match kept.and_then(|kept| K::check(&kept).map(|()| kept)) {
                Ok(kept) => {
                    facts.push(kept);
                    turn.done(index);
                }
                Err(poison) => {
                    span.fail(poison.code());
                    turn.fail(index, poison);
                }
            }
            spans.push(span);
        }
        if !facts.is_empty() {
            K::keep(tx, &facts).await?;
        }
        Ok(save_last_versions(tx, &turn.take_remembered()).await?)
    }
}

fn kept<'a>(incoming: &'a Incoming<'_>, arrived: &'a Arrived) -> Result<Kept<'a>, Poison> {
    let (schema_id, _) =
        unframe(&arrived.datum).map_err(|error| Poison::coded("framing", error))?;
    let headers = incoming.record.headers.as_ref().map(Packed::unpacked);
    let headers = headers.ok_or_else(|| Poison::coded("header", "a header's name is not UTF-8"))?;
    Ok(Kept {
        id: incoming.id,
        name: &incoming.name,
        key: &arrived.key,
        version: arrived.version,
        producer: &arrived.producer,
        cause: &arrived.cause,
        occurred_at: arrived.occurred_at,
        position: &arrived.position,
        schema_id,
        payload: &arrived.datum,
        headers,
    })
}

impl<K: Keep> Room for Keeper<K> {
    fn haste(&self) -> Haste {
        Haste::Nobody
    }

    fn facts(&self) -> Vec<Read> {
        self.facts.clone()
    }

    fn apply<'a>(
        &'a self,
        core: &'a Core,
        tx: &'a mut Tx,
        turn: &'a mut Turn<'_>,
        known: &'a Known,
        condemned: &'a Condemned,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(Self::apply(core, tx, turn, known, condemned))
    }

    fn wipe<'a>(
        &'a self,
        _tx: &'a mut Tx,
        _partition: Partition,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn sweep<'a>(&'a self, _core: &'a Core) -> BoxFuture<'a, Result<usize, Fault>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}
