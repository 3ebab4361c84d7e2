//! What kept bytes say: read with the schema they were written with, translated into this build's
//! where it knows the fact. What cannot be read is shown as that and stops nobody.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use millrace::contract::{JsonView, Resolution, ResolveError, unframe};
use millrace::{Registry, RegistryError};
use schemas::history::{Fact, What};
use serde_json::Value;

use crate::domain::chain::{self, Page};
use crate::domain::state;

/// What an entry says.
#[derive(Debug, Clone)]
pub enum Said {
    /// A fact of an order that this build knows.
    Fact(Box<What>),
    /// Anything else, as its own schema says it.
    Other(Value),
    /// Bytes that cannot be read, and why.
    Unreadable(String),
}

/// Reads pages, and keeps what it needed of schemas.
pub struct Decoder {
    registry: Registry,
    resolutions: HashMap<(u32, &'static str), Resolution>,
    views: HashMap<u32, JsonView>,
}

/// More schemas than this in one hand are read anew.
const SCHEMAS_MAX: usize = 256;

impl Said {
    /// What is said, as JSON for people and programs; null when it cannot be read.
    pub fn json(&self) -> Value {
        match self {
            // In the readable form of its Rust type, with amounts as decimal numbers.
            Self::Fact(what) => {
                let tagged = serde_json::to_value(what).unwrap_or_default();
                tagged.get("data").cloned().unwrap_or_default()
            }
            Self::Other(value) => value.clone(),
            Self::Unreadable(_) => Value::Null,
        }
    }
}

impl Decoder {
    /// A decoder that asks this registry.
    pub fn new(registry: Registry) -> Self {
        Self { registry, resolutions: HashMap::new(), views: HashMap::new() }
    }

    /// What a page says.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn read(&mut self, page: &Page) -> Result<Said, RegistryError> {
        let schema = match self.registry.schema(page.schema_id).await {
            Ok(schema) => schema,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => return Ok(Said::Unreadable(error.to_string())),
        };
        Ok(self.said(page, &schema).unwrap_or_else(Said::Unreadable))
    }

    /// What an entry says, as the fold of its order needs it.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn line(
        &mut self,
        entry: &chain::Entry,
    ) -> Result<(Said, state::Line), RegistryError> {
        let page = &entry.page;
        let said = self.read(page).await?;
        let line = match &said {
            Said::Fact(what) => state::Said::Fact(Box::new(fact(page, (**what).clone()))),
            Said::Other(value) => state::Said::Aside(aside(page, value)),
            Said::Unreadable(why) => state::Said::Aside(format!(
                "{} of {} cannot be read: {why}",
                page.name, page.producer
            )),
        };
        let line = state::Line { seq: entry.seq, occurred_at: page.occurred_at, said: line };
        Ok((said, line))
    }

    fn said(&mut self, page: &Page, schema: &str) -> Result<Said, String> {
        let (_, datum) = unframe(&page.payload).map_err(|error| error.to_string())?;
        if self.resolutions.len() + self.views.len() > SCHEMAS_MAX {
            self.resolutions.clear();
            self.views.clear();
        }
        let known = What::SCHEMAS.iter().find(|(name, _)| *name == page.name);
        let Some((name, ours)) = known else {
            let view = made(&mut self.views, page.schema_id, || JsonView::new(schema))?;
            let value = view.read(datum);
            return value.map(Said::Other).map_err(|error| error.to_string());
        };
        let key = (page.schema_id, *name);
        let resolution = made(&mut self.resolutions, key, || Resolution::new(schema, ours))?;
        let datum = resolution.translate(datum).map_err(|error| error.to_string())?;
        match What::read(name, &datum) {
            Some(Ok(what)) => Ok(Said::Fact(Box::new(what))),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("it is no fact of an order".to_owned()),
        }
    }
}

/// What is in hand for a key, made when it is not.
fn made<K: Eq + Hash, V>(
    all: &mut HashMap<K, V>,
    key: K,
    make: impl FnOnce() -> Result<V, ResolveError>,
) -> Result<&V, String> {
    match all.entry(key) {
        Entry::Occupied(there) => Ok(there.into_mut()),
        Entry::Vacant(free) => Ok(free.insert(make().map_err(|error| error.to_string())?)),
    }
}

/// A fact as the fold of its order takes it.
pub(crate) fn fact(page: &Page, what: What) -> Fact {
    Fact {
        id: page.event_id,
        topic: page.topic.clone(),
        partition: page.partition,
        offset: page.offset,
        producer: page.producer.clone(),
        version: page.version,
        occurred_at: page.occurred_at,
        what,
    }
}

/// In words, where it is known how it is to be told.
fn aside(page: &Page, value: &Value) -> String {
    let text = |field: &str| value[field].as_str();
    match (text("source"), text("kind"), text("text")) {
        (Some(source), Some(kind), Some(text)) => format!("{source} noted {kind}: {text}"),
        _ => format!("{} said {}", page.producer, page.name),
    }
}
