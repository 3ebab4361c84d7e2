//! From a raw record to a fact that can be decoded: CloudEvents headers, framing, writer schema.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use millrace_contract::{
    Cause, EventId, Position, Resolution, Timestamp, TraceContext, record_name, unframe,
};

use super::reaction::Read;
use crate::{Fault, Registry, RegistryError};

/// A record as the broker delivered it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// The assignment of its partition under which it was fetched.
    pub(crate) generation: u64,
}

/// A record of a type this service handles, its datum in our own schema.
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

    fn header(&self, name: &str) -> Result<Option<&str>, Fault> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Fault::poison(format!("header {name} is there twice")));
        }
        let value = value.as_deref().unwrap_or_default();
        let text = std::str::from_utf8(value)
            .map_err(|_| Fault::poison(format!("header {name} is not UTF-8")))?;
        Ok(Some(text))
    }

    fn demand<T: std::str::FromStr>(&self, name: &str) -> Result<T, Fault> {
        let text =
            self.header(name)?.ok_or_else(|| Fault::poison(format!("header {name} is missing")))?;
        text.parse().map_err(|_| Fault::poison(format!("header {name} cannot be read")))
    }
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

    /// `None` for a type this service does not handle. A fault of the registry is transient: one
    /// hiccup must not condemn a record.
    pub(crate) async fn arrive(&self, record: &Record) -> Result<Option<Arrived>, Fault> {
        let name: String = record.demand("ce_type")?;
        let topic = record.position.topic;
        let known = self.reads.iter().find(|read| read.name == name && read.topic.name == topic);
        let Some(read) = known else { return Ok(None) };
        let key = record.key.as_deref().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Fault::poison("the record has no key"))?;
        let key = String::from_utf8(key.to_vec())
            .map_err(|_| Fault::poison("the record key is not UTF-8"))?;
        check_attributes(record, &key)?;
        let payload = record.payload.as_deref();
        let payload = payload.ok_or_else(|| Fault::poison("the record has no payload"))?;
        let (schema_id, datum) = unframe(payload).map_err(Fault::poison)?;
        let datum = self.in_our_schema(read, schema_id, datum).await?;
        Ok(Some(Arrived {
            id: record.demand("ce_id")?,
            name: read.name,
            key,
            version: record.demand("ce_sequence")?,
            producer: producer(record)?,
            cause: cause(record)?,
            occurred_at: record.demand("ce_time")?,
            position: record.position.clone(),
            datum,
        }))
    }

    async fn in_our_schema(&self, read: &Read, id: u32, datum: &[u8]) -> Result<Vec<u8>, Fault> {
        if self.own_ids.get(read.name) == Some(&id) {
            return Ok(datum.to_vec());
        }
        let cached = {
            let foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            foreign.get(&(id, read.name)).cloned()
        };
        let resolution = match cached {
            Some(resolution) => resolution,
            None => self.resolution(read, id).await?,
        };
        resolution.translate(datum).map_err(Fault::poison)
    }

    async fn resolution(&self, read: &Read, id: u32) -> Result<Arc<Resolution>, Fault> {
        let writer = self.registry.schema(id).await.map_err(|error| match error {
            RegistryError::Missing { .. } => Fault::poison(format!("no schema has the id {id}")),
            unusable @ RegistryError::Unusable { .. } => Fault::poison(unusable),
            other => Fault::transient(other),
        })?;
        let written = record_name(&writer).map_err(Fault::poison)?;
        if written != read.name {
            let text = format!("schema {id} is of {written}, the header says {}", read.name);
            return Err(Fault::poison(text));
        }
        let resolution = Resolution::new(&writer, read.schema).map_err(Fault::poison)?;
        let resolution = Arc::new(resolution);
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.insert((id, read.name), resolution.clone());
        Ok(resolution)
    }
}

fn check_attributes(record: &Record, key: &str) -> Result<(), Fault> {
    let wanted =
        [("ce_specversion", "1.0"), ("content-type", "application/avro"), ("ce_subject", key)];
    for (name, value) in wanted {
        let found: String = record.demand(name)?;
        if found != value {
            return Err(Fault::poison(format!("header {name} is not {value:?}")));
        }
    }
    Ok(())
}

fn producer(record: &Record) -> Result<String, Fault> {
    let source: String = record.demand("ce_source")?;
    Ok(source.rsplit('/').next().unwrap_or_default().to_owned())
}

/// A trace context that cannot be read is no reason to refuse a fact.
fn cause(record: &Record) -> Result<Cause, Fault> {
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
