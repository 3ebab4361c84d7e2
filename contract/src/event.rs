//! The fact and the envelope that carries it.

use std::fmt::{self, Display};
use std::hash::Hash;
use std::str::FromStr;

use uuid::Uuid;

use crate::avro::{DecodeError, Reader, Writer};
use crate::{IdError, Timestamp, Topic};

/// A fact of the business: immutable, named in the past tense, with one emitter and one topic.
///
/// Implementations are generated from `.avsc` files, never written by hand.
pub trait Event: Sized + Clone + Send + Sync + fmt::Debug + 'static {
    /// Avro full name, which is also the CloudEvents type: `retail.order.OrderPlaced`.
    const NAME: &'static str;
    /// The topic this fact is published to.
    const TOPIC: &'static Topic;
    /// The Avro schema as JSON text, with every referenced type written out once.
    const SCHEMA: &'static str;
    /// What the record key is: `OrderId` for everything of an order.
    type Key: Clone + Eq + Ord + Hash + Display + FromStr<Err = IdError> + Send + Sync + 'static;

    /// The key of this fact; facts of one key keep their order.
    fn key(&self) -> &Self::Key;
    /// Appends the bare Avro datum, without framing.
    fn encode(&self, out: &mut Writer<'_>);
    /// Reads the bare Avro datum written with exactly [`Event::SCHEMA`].
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Registry subject by the TopicRecordName strategy: `<topic>-<record name>`.
    fn subject() -> String {
        format!("{}-{}", Self::TOPIC.name, Self::NAME)
    }

    /// The datum as bytes, without framing.
    fn to_datum(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        self.encode(&mut Writer::new(&mut bytes));
        bytes
    }

    /// Appends what a record's payload holds: the frame with the registry's schema id, and the datum.
    fn write_framed(&self, schema_id: u32, out: &mut Vec<u8>) {
        crate::frame::begin(schema_id, out);
        self.encode(&mut Writer::new(out));
    }

    /// Reads a whole datum strictly: nothing may be missing, nothing may be left over.
    fn from_datum(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes)?;
        let event = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(event)
    }
}

/// Identity of one published fact: a UUIDv7, so that identities sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// Takes a UUID that must be of version 7: day partitions of inbox and outbox rest on its time.
    pub fn new(id: Uuid) -> Result<Self, IdError> {
        match id.get_version_num() {
            7 => Ok(Self(id)),
            _ => Err(IdError::new("event id", "is not a UUID of version 7")),
        }
    }

    /// The plain UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for EventId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(crate::parse_uuid("event id", text)?)
    }
}

impl Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// W3C `traceparent` value of the span in which a fact was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext(pub String);

/// Why a fact exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cause {
    /// The flow this fact belongs to: for an order, its `orderId`.
    pub correlation: String,
    /// The fact that led to this one; `None` for the first of a flow.
    pub causation: Option<EventId>,
    /// The span in which the fact was created.
    pub trace: Option<TraceContext>,
}

/// Where a record stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Name of the topic as the contract gives it.
    pub topic: &'static str,
    /// Partition number.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

/// A fact with everything that is known about its publication.
#[derive(Debug, Clone)]
pub struct Envelope<E: Event> {
    /// Identity; the inbox deduplicates by it.
    pub id: EventId,
    /// Record key.
    pub key: E::Key,
    /// Gapless counter of the facts of this key in this topic, from 1.
    pub version: u64,
    /// The service that published it.
    pub producer: String,
    /// Why it exists.
    pub cause: Cause,
    /// When it happened, by the clock of the producer's database.
    pub occurred_at: Timestamp,
    /// Where it was read.
    pub position: Position,
    /// The fact itself.
    pub event: E,
}
