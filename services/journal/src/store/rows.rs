//! Rows of the journal's tables and what they stand for.

use millrace::Fault;
use schemas::OrderId;
use sqlx::FromRow;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::chain::{Entry, Hash, Link, Page};
use crate::domain::{Frozen, Head};

/// The columns of an entry, in the order of [`EntryRow`].
pub(crate) const ENTRY: &str = r#"order_id, seq, event_id, name, topic, "partition", "offset",
    schema_id, payload, headers, producer, version, correlation_id, causation_id, occurred_at,
    recorded_at, previous, hash"#;

#[derive(FromRow)]
pub(super) struct HeadRow {
    order_id: Uuid,
    length: i64,
    hash: Vec<u8>,
    frozen_by: Option<String>,
    frozen_reason: Option<String>,
    frozen_at: Option<OffsetDateTime>,
}

/// A row of `entry` as it is, whatever somebody made of it.
#[derive(FromRow)]
pub(crate) struct EntryRow {
    pub(crate) order_id: Uuid,
    pub(crate) seq: i64,
    event_id: Uuid,
    name: String,
    topic: String,
    partition: i32,
    offset: i64,
    schema_id: i64,
    payload: Vec<u8>,
    headers: String,
    producer: String,
    version: i64,
    correlation_id: String,
    causation_id: Option<Uuid>,
    occurred_at: OffsetDateTime,
    recorded_at: OffsetDateTime,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

/// Entries as columns.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) order_id: Vec<Uuid>,
    pub(super) seq: Vec<i64>,
    pub(super) event_id: Vec<Uuid>,
    pub(super) name: Vec<&'a str>,
    pub(super) topic: Vec<&'a str>,
    pub(super) partition: Vec<i32>,
    pub(super) offset: Vec<i64>,
    pub(super) schema_id: Vec<i64>,
    pub(super) payload: Vec<&'a [u8]>,
    pub(super) headers: Vec<&'a str>,
    pub(super) producer: Vec<&'a str>,
    pub(super) version: Vec<i64>,
    pub(super) correlation_id: Vec<&'a str>,
    pub(super) causation_id: Vec<Option<Uuid>>,
    pub(super) occurred_at: Vec<OffsetDateTime>,
    pub(super) recorded_at: Vec<OffsetDateTime>,
    pub(super) previous: Vec<&'a [u8]>,
    pub(super) hash: Vec<&'a [u8]>,
}

impl HeadRow {
    pub(super) fn head(self) -> Result<(OrderId, Head), Fault> {
        let hash = Hash::from_bytes(&self.hash);
        let hash = hash.ok_or_else(|| Fault::poison("the hash of a head has not 32 bytes"))?;
        let link = Link { length: self.length.unsigned_abs(), hash };
        let frozen = match (self.frozen_by, self.frozen_reason, self.frozen_at) {
            (Some(by), Some(reason), Some(at)) => Some(Frozen { by, reason, at: at.into() }),
            _ => None,
        };
        Ok((OrderId::new(self.order_id), Head { link, frozen }))
    }
}

impl EntryRow {
    /// The entry; an error when a column holds what the journal never writes.
    pub(crate) fn entry(self) -> Result<Entry, &'static str> {
        let hash = |bytes: &[u8]| Hash::from_bytes(bytes).ok_or("a hash has not 32 bytes");
        let (previous, hash) = (hash(&self.previous)?, hash(&self.hash)?);
        let schema_id = u32::try_from(self.schema_id);
        let page = Page {
            order: OrderId::new(self.order_id),
            event_id: self.event_id,
            name: self.name,
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            schema_id: schema_id.map_err(|_| "the schema id is out of range")?,
            payload: self.payload,
            headers: self.headers,
            producer: self.producer,
            version: u64::try_from(self.version).map_err(|_| "the version is negative")?,
            correlation: self.correlation_id,
            causation: self.causation_id,
            occurred_at: self.occurred_at.into(),
            recorded_at: self.recorded_at.into(),
        };
        let seq = u64::try_from(self.seq).map_err(|_| "the place is negative")?;
        Ok(Entry { seq, page, previous, hash })
    }
}

impl<'a> Columns<'a> {
    pub(super) fn of(entries: &'a [Entry]) -> Self {
        let mut columns = Self::default();
        for Entry { seq, page, previous, hash } in entries {
            columns.order_id.push(page.order.uuid());
            columns.seq.push(*seq as i64);
            columns.event_id.push(page.event_id);
            columns.name.push(&page.name);
            columns.topic.push(&page.topic);
            columns.partition.push(page.partition);
            columns.offset.push(page.offset);
            columns.schema_id.push(page.schema_id.into());
            columns.payload.push(&page.payload);
            columns.headers.push(&page.headers);
            columns.producer.push(&page.producer);
            columns.version.push(page.version as i64);
            columns.correlation_id.push(&page.correlation);
            columns.causation_id.push(page.causation);
            columns.occurred_at.push(page.occurred_at.datetime());
            columns.recorded_at.push(page.recorded_at.datetime());
            columns.previous.push(previous.as_bytes());
            columns.hash.push(hash.as_bytes());
        }
        columns
    }
}
