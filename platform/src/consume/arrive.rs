//! From a raw record to a fact that can be decoded: CloudEvents headers, framing, writer schema.
//! What cannot be read is no error here but a record with a fault, which is parked like any other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use millrace_contract::{
    Cause, Cleanup, EventId, Headers, Position, RECORD_BYTES_MAX, Resolution, Timestamp,
    TraceContext, record_name, unframe,
};
use sha2::{Digest, Sha256};

use super::keep::UNDECLARED;
use super::packed::Packed;
use super::reaction::Read;
use crate::{Fault, Poison, Registry, RegistryError};

/// Longest key in bytes: with its topic it has to fit into a row of an index.
const KEY_BYTES_MAX: usize = 1024;

/// A record as the broker delivered it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    /// `None`: a name among them is not UTF-8, and the client cannot show them.
    pub(crate) headers: Option<Packed>,
    /// The assignment of its partition under which it was fetched.
    pub(crate) generation: u64,
}

/// A record and what it says.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) record: &'a Record,
    /// The fact's identity; for a record that cannot be read one made of its place and bytes.
    pub(crate) id: EventId,
    /// Of key and payload.
    pub(crate) digest: i64,
    /// The key as text, when it is one.
    pub(crate) key: Option<String>,
    /// Its CloudEvents type, when it says one.
    pub(crate) name: String,
    /// Versions of its topic are without a hole: nothing is compacted away.
    pub(crate) gapless: bool,
    pub(crate) content: Content,
}

/// What a record is to this service.
#[derive(Debug)]
pub(crate) enum Content {
    /// A fact it handles.
    Fact(Box<Arrived>),
    /// A fact of a type it does not handle; only its version counts.
    Passed(Option<u64>),
    /// Nothing that can be read.
    Broken,
}

/// A record of a type this service handles, its datum in our own schema; for a keeper a record of
/// any type, its datum the payload as it was written.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) id: EventId,
    pub(crate) name: &'static str,
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) producer: String,
    pub(crate) cause: Cause,
    pub(crate) occurred_at: Timestamp,
    pub(crate) position: Position,
    pub(crate) datum: Vec<u8>,
}

impl Record {
    /// What it counts for in the size of a batch.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Vec::len)
    }

    /// The bytes that it holds, headers and all.
    pub(crate) fn memory(&self) -> usize {
        let value = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let headers = self.headers.as_ref().map_or(0, Packed::bytes);
        self.bytes() + value(&self.key) + headers
    }

    pub(crate) fn unpacked_headers(&self) -> Headers {
        self.headers.as_ref().map(Packed::unpacked).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Poison> {
        let headers = self.headers.as_ref();
        let headers = headers.ok_or_else(|| header("a header's name is not UTF-8".to_owned()))?;
        let mut found = headers.iter().filter(|(known, _)| *known == name);
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(header(format!("header {name} is there twice")));
        }
        let value = value.unwrap_or_default();
        let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
        text.map(Some).ok_or_else(|| header(format!("header {name} is no text")))
    }

    fn said(&self, name: &str) -> Result<&str, Poison> {
        self.header(name)?.ok_or_else(|| header(format!("header {name} is missing")))
    }

    fn demand<T: std::str::FromStr>(&self, name: &str) -> Result<T, Poison> {
        self.said(name)?.parse().map_err(|_| header(format!("header {name} cannot be read")))
    }

    /// Versions begin with 1, and Postgres counts them in 63 bits.
    fn version(&self) -> Result<u64, Poison> {
        let version: u64 = self.demand("ce_sequence")?;
        let fits = (1..=i64::MAX as u64).contains(&version);
        fits.then_some(version).ok_or_else(|| header("header ce_sequence is no version".to_owned()))
    }

    /// The key as text. A key that Postgres cannot hold, or has no room for in an index, is none.
    fn text_key(&self) -> Result<String, Poison> {
        let key = self.key.as_deref().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Poison::coded("no_key", "the record has no key"))?;
        let text = std::str::from_utf8(key).ok().filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| Poison::coded("key_not_utf8", "the record key is no text"));
        match text {
            Ok(text) if text.len() > KEY_BYTES_MAX => {
                let text = format!("the record key has {} bytes", text.len());
                Err(Poison::coded("key_too_long", text))
            }
            text => text.map(str::to_owned),
        }
    }

    fn digest(&self) -> i64 {
        let mut hash = Sha256::new();
        hash.update(self.key.as_deref().unwrap_or_default());
        hash.update(self.payload.as_deref().unwrap_or_default());
        let digest = hash.finalize();
        i64::from_be_bytes(std::array::from_fn(|at| digest[at]))
    }

    /// An identity for what has none: the same record at the same place has the same again, so
    /// that a second delivery is a repetition. Its time is the record's, as in every UUIDv7.
    pub(crate) fn derived_id(&self) -> EventId {
        let mut hash = Sha256::new();
        let at = &self.position;
        hash.update(at.topic);
        hash.update(at.partition.to_be_bytes());
        hash.update(at.offset.to_be_bytes());
        hash.update(self.digest().to_be_bytes());
        let digest = hash.finalize();
        let millis = self.timestamp_ms.unwrap_or_default().clamp(0, (1 << 48) - 1).unsigned_abs();
        let random: [u8; 10] = std::array::from_fn(|at| digest[at]);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        EventId::new(id).expect("the builder makes a UUID of version 7")
    }
}

fn header(text: String) -> Poison {
    Poison::coded("header", text)
}

/// Recognises records and brings their data into our schemas.
pub(crate) struct Arrivals {
    registry: Registry,
    /// Our reader schema of each fact we handle.
    reads: Vec<Read>,
    own_ids: HashMap<&'static str, u32>,
    foreign: Mutex<HashMap<(u32, &'static str), Arc<Resolution>>>,
}

impl Arrivals {
    pub(crate) fn new(
        registry: Registry,
        reads: Vec<Read>,
        own_ids: HashMap<&'static str, u32>,
    ) -> Self {
        Self { registry, reads, own_ids, foreign: Mutex::default() }
    }

    /// What the record is, and its fault when it cannot be read. A fault of the registry is
    /// transient: one hiccup must not condemn a record.
    pub(crate) async fn arrive<'a>(
        &self,
        record: &'a Record,
        payload: Option<&[u8]>,
    ) -> Result<(Incoming<'a>, Option<Poison>), Fault> {
        let mut fault = None;
        let (id, content) = match self.content(record, payload).await {
            Ok(Content::Fact(arrived)) => (arrived.id, Content::Fact(arrived)),
            Ok(content) => {
                let id = record.demand("ce_id").unwrap_or_else(|_| record.derived_id());
                (id, content)
            }
            Err(Fault::Poison(poison)) => {
                fault = Some(poison);
                (record.derived_id(), Content::Broken)
            }
            Err(transient) => return Err(transient),
        };
        let name = record.header("ce_type").ok().flatten().unwrap_or_default();
        let name = name.chars().filter(|letter| !letter.is_control()).take(200).collect();
        let (digest, key) = (record.digest(), record.text_key().ok());
        let read = self.reads.iter().find(|read| read.topic.name == record.position.topic);
        let gapless = read.is_some_and(|read| matches!(read.topic.cleanup, Cleanup::Delete { .. }));
        Ok((Incoming { record, id, digest, key, name, gapless, content }, fault))
    }

    async fn content(&self, record: &Record, payload: Option<&[u8]>) -> Result<Content, Fault> {
        let name = record.said("ce_type")?;
        let topic = record.position.topic;
        let mut of_topic = self.reads.iter().filter(|read| read.topic.name == topic);
        let known = of_topic.clone().find(|read| read.name == name);
        let kept = known.or_else(|| of_topic.find(|read| read.schema.is_none()));
        let Some(read) = kept else {
            return Ok(Content::Passed(record.version().ok()));
        };
        let key = record.text_key()?;
        check_attributes(record, &key)?;
        let payload =
            payload.ok_or_else(|| Poison::coded("framing", "the record has no payload"))?;
        if payload.len() > RECORD_BYTES_MAX {
            let text = format!("the payload has {} bytes", payload.len());
            return Err(Poison::coded("too_large", text).into());
        }
        let (schema_id, datum) =
            unframe(payload).map_err(|error| Poison::coded("framing", error))?;
        let datum = match read.schema {
            Some(schema) => self.in_our_schema(read, schema, schema_id, datum).await?,
            None => payload.to_vec(),
        };
        Ok(Content::Fact(Box::new(Arrived {
            id: record.demand("ce_id")?,
            name: known.map_or(UNDECLARED, |read| read.name),
            key,
            version: record.version()?,
            producer: producer(record)?,
            cause: cause(record)?,
            occurred_at: record.demand("ce_time")?,
            position: record.position.clone(),
            datum,
        })))
    }

    async fn in_our_schema(
        &self,
        read: &Read,
        schema: &str,
        id: u32,
        datum: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        if self.own_ids.get(read.name) == Some(&id) {
            return Ok(datum.to_vec());
        }
        let cached = {
            let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            foreign.get(&(id, read.name)).cloned()
        };
        let resolution = match cached {
            Some(resolution) => resolution,
            None => self.resolution(read, schema, id).await?,
        };
        Ok(resolution.translate(datum).map_err(|error| Poison::coded("datum", error))?)
    }

    async fn resolution(
        &self,
        read: &Read,
        schema: &str,
        id: u32,
    ) -> Result<Arc<Resolution>, Fault> {
        let writer = self.registry.schema(id).await.map_err(|error| match error {
            RegistryError::Missing { .. } => {
                Poison::coded("unknown_schema", format!("no schema has the id {id}")).into()
            }
            unusable @ RegistryError::Unusable { .. } => {
                Poison::coded("unusable_schema", unusable).into()
            }
            other => Fault::transient(other),
        })?;
        let unusable = |error| Poison::coded("unusable_schema", error);
        let written = record_name(&writer).map_err(unusable)?;
        if written != read.name {
            let text = format!("schema {id} is of {written}, the header says {}", read.name);
            return Err(Poison::coded("wrong_schema", text).into());
        }
        let resolution = Resolution::new(&writer, schema).map_err(unusable)?;
        let resolution = Arc::new(resolution);
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.insert((id, read.name), resolution.clone());
        Ok(resolution)
    }
}

fn check_attributes(record: &Record, key: &str) -> Result<(), Poison> {
    let wanted =
        [("ce_specversion", "1.0"), ("content-type", "application/avro"), ("ce_subject", key)];
    for (name, value) in wanted {
        if record.said(name)? != value {
            return Err(header(format!("header {name} is not {value:?}")));
        }
    }
    Ok(())
}

fn producer(record: &Record) -> Result<String, Poison> {
    let source = record.said("ce_source")?;
    Ok(source.rsplit('/').next().unwrap_or_default().to_owned())
}

/// A trace context that cannot be read is no reason to refuse a fact.
fn cause(record: &Record) -> Result<Cause, Poison> {
    let causation = match record.header("ce_causationid")? {
        Some(_) => Some(record.demand("ce_causationid")?),
        None => None,
    };
    let trace = record.header("traceparent").ok().flatten();
    Ok(Cause {
        correlation: record.demand("ce_correlationid")?,
        causation,
        trace: trace.map(|text| TraceContext(text.to_owned())),
    })
}
