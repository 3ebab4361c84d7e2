//! From a record of a compacted topic to what it does to its key. A record that cannot be read
//! makes its key stale and harms no other.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millrace_contract::{Event, RECORD_BYTES_MAX, Resolution, record_name, unframe};

use super::Replica;
use super::row::{Entries, Place, Row};
use super::store::{Batch, Change, Store};
use crate::{Fault, Registry, RegistryError};

/// A record as the client delivered it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) place: Place,
    pub(super) key: Vec<u8>,
    /// `None` takes the state of the key back.
    pub(super) payload: Option<Vec<u8>>,
    /// Its CloudEvents type and version, when it says them.
    pub(super) name: Option<String>,
    pub(super) version: Option<u64>,
}

/// How the data of one schema become ours.
#[derive(Clone)]
enum Way {
    Same,
    Translated(Arc<Resolution>),
    /// It cannot be read, and why.
    None(String),
}

/// Reads records; knows the schemas it has met.
pub(super) struct Decoder<R> {
    registry: Registry,
    ways: HashMap<u32, Way>,
    kind: std::marker::PhantomData<fn() -> R>,
}

/// What became of the records of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) states: u64,
    pub(super) erased: u64,
    pub(super) stale: u64,
    pub(super) passed: u64,
}

/// Keys of the entries of a state of `R`.
pub(super) fn entries_of<R: Replica>(datum: &[u8], key: &[u8]) -> Option<Vec<Vec<u8>>> {
    let state = R::State::from_datum(datum).ok()?;
    let mut entries = Entries::default();
    R::entries(&state, &mut entries);
    Some(entries.keys(R::sorted_by(&state), key))
}

impl<R: Replica> Decoder<R> {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, ways: HashMap::new(), kind: std::marker::PhantomData }
    }

    /// What these records change. Of the records of one key only the last matters. Fails only while
    /// the registry is away.
    pub(super) async fn batch(
        &mut self,
        store: &Store,
        records: &[Record],
    ) -> Result<(Batch, Tally), Fault> {
        let (mut batch, mut tally) = (Batch::default(), Tally::default());
        let mut versions: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for record in records {
            batch.next.insert(record.place.partition, record.place.offset + 1);
            let key = std::str::from_utf8(&record.key).ok().and_then(|key| key.parse().ok());
            let Some(key): Option<<R::State as Event>::Key> = key else {
                tracing::error!(place = ?record.place, "a record without a key of its topic");
                tally.stale += 1;
                continue;
            };
            if record.payload.is_some() && record.name.as_deref() != Some(R::State::NAME) {
                tally.passed += 1;
                continue;
            }
            let row = R::row(&key);
            let version = record.version.unwrap_or_default();
            if versions.get(&row).is_some_and(|known| *known > version) {
                continue;
            }
            match self.row(store, &mut batch, record, &key).await {
                Ok(bytes) => {
                    let lives = record.payload.is_some();
                    *(if lives { &mut tally.states } else { &mut tally.erased }) += 1;
                    versions.insert(row.clone(), version);
                    batch.changes.insert(row, Change { row: Some(bytes), stale: None });
                }
                Err(Fault::Poison(poison)) => {
                    let reason = format!("{}: {poison}", poison.code());
                    tracing::error!(place = ?record.place, reason, "a state that cannot be read");
                    tally.stale += 1;
                    batch.changes.entry(row).or_default().stale = Some(reason);
                }
                Err(transient) => return Err(transient),
            }
        }
        Ok((batch, tally))
    }

    /// The bytes of the row that a record makes.
    async fn row(
        &mut self,
        store: &Store,
        batch: &mut Batch,
        record: &Record,
        key: &<R::State as Event>::Key,
    ) -> Result<Vec<u8>, Fault> {
        let poison = |code, text: String| Fault::from(crate::Poison::coded(code, text));
        let (place, version) = (record.place, record.version.unwrap_or_default());
        let Some(payload) = &record.payload else {
            let gone = Row { lives: false, place, version, content: &record.key };
            return Ok(gone.write());
        };
        if record.version.is_none() {
            return Err(poison("header", "header ce_sequence cannot be read".to_owned()));
        }
        if payload.len() > RECORD_BYTES_MAX {
            return Err(poison("too_large", format!("the payload has {} bytes", payload.len())));
        }
        let (id, datum) = unframe(payload).map_err(|e| poison("framing", e.to_string()))?;
        let wrong = |error: millrace_contract::DecodeError| poison("datum", error.to_string());
        let datum = match self.way(store, batch, id).await? {
            Way::Same => Cow::Borrowed(datum),
            Way::Translated(resolution) => Cow::Owned(resolution.translate(datum).map_err(wrong)?),
            Way::None(reason) => return Err(poison("unusable_schema", reason)),
        };
        let state = R::State::from_datum(&datum).map_err(wrong)?;
        if state.key() != key {
            let text = format!("the record key is not the key of its {}", R::State::NAME);
            return Err(poison("wrong_key", text));
        }
        Ok(Row { lives: true, place, version, content: &datum }.write())
    }

    /// By memory, by the store, by the registry.
    async fn way(&mut self, store: &Store, batch: &mut Batch, id: u32) -> Result<Way, Fault> {
        if let Some(way) = self.ways.get(&id) {
            return Ok(way.clone());
        }
        let kept = store.read().and_then(|view| view.schema(id)).map_err(Fault::transient)?;
        let writer = match kept {
            Some(schema) => schema,
            None => match self.registry.schema(id).await {
                Ok(schema) => schema.to_string(),
                Err(error @ (RegistryError::Missing { .. } | RegistryError::Unusable { .. })) => {
                    // Not remembered: a schema may still be registered.
                    return Ok(Way::None(error.to_string()));
                }
                Err(error) => return Err(Fault::transient(error)),
            },
        };
        let way = way::<R>(&writer);
        if !matches!(way, Way::None(_)) {
            batch.schemas.insert(id, writer);
        }
        self.ways.insert(id, way.clone());
        Ok(way)
    }
}

fn way<R: Replica>(writer: &str) -> Way {
    if writer == R::State::SCHEMA {
        return Way::Same;
    }
    match record_name(writer) {
        Ok(name) if name == R::State::NAME => {}
        Ok(name) => return Way::None(format!("the schema is of {name}")),
        Err(error) => return Way::None(error.to_string()),
    }
    match Resolution::new(writer, R::State::SCHEMA) {
        Ok(resolution) => Way::Translated(Arc::new(resolution)),
        Err(error) => Way::None(error.to_string()),
    }
}
