//! Reads `topics.toml`: every topic with its owner, its readers and the events it carries.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::model::{Kind, Type, Types};

/// One topic.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) readers: Vec<String>,
    pub(crate) partitions: u32,
    pub(crate) retention_days: Option<u32>,
    #[serde(default)]
    pub(crate) compact: bool,
    pub(crate) key: String,
    pub(crate) events: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    topic: Vec<Topic>,
}

impl Topic {
    /// Name of the Rust constant: `ORDER_EVENTS` for `retail.order.events.v1`.
    pub(crate) fn constant(&self) -> String {
        let parts: Vec<&str> = self.name.split('.').collect();
        parts[1..parts.len() - 1].join("_").replace('-', "_").to_uppercase()
    }

    /// The field that holds the key: `order_id` for `orderId`.
    pub(crate) fn key_field(&self) -> String {
        let mut field = String::new();
        for letter in self.key.chars() {
            if letter.is_ascii_uppercase() {
                field.push('_');
            }
            field.push(letter.to_ascii_lowercase());
        }
        field
    }
}

/// Reads the topics and checks them against the types.
pub(crate) fn read(file: &Path, types: &Types) -> Result<Vec<Topic>> {
    let place = || file.display().to_string();
    let topics: File = toml::from_str(&crate::load(file)?).with_context(place)?;
    for topic in &topics.topic {
        check(topic, types).with_context(|| format!("{}: topic {}", place(), topic.name))?;
    }
    check_carried(&topics.topic, types).with_context(place)?;
    Ok(topics.topic)
}

fn check(topic: &Topic, types: &Types) -> Result<()> {
    let parts: Vec<&str> = topic.name.split('.').collect();
    let versioned = parts.last().is_some_and(|part| part.starts_with('v'));
    ensure!(parts.len() >= 3 && versioned, "the name is not like retail.order.events.v1");
    ensure!(topic.partitions > 0, "a topic has at least one partition");
    ensure!(
        topic.compact == topic.retention_days.is_none(),
        "a topic has either retention_days or compact = true"
    );
    for event in &topic.events {
        let Some(named) = types.get(event) else { bail!("no file defines {event}") };
        ensure!(matches!(named.kind, Kind::Record(_)), "{event} is not a record");
        let key = named.fields().iter().find(|field| field.name == topic.key_field());
        let Some(key) = key else { bail!("{event} has no field {}", topic.key_field()) };
        ensure!(
            matches!(key.ty, Type::String(Some(_)) | Type::Uuid(Some(_))),
            "the key of {event} is not a typed identifier"
        );
    }
    Ok(())
}

/// Every record outside `common` is carried by exactly one topic.
fn check_carried(topics: &[Topic], types: &Types) -> Result<()> {
    for (name, named) in types {
        let common = named.file.parent().is_some_and(|folder| folder.ends_with("common"));
        let carried = topics.iter().flat_map(|topic| &topic.events).filter(|e| *e == name).count();
        let wanted = usize::from(!common);
        ensure!(carried == wanted, "{name} is carried by {carried} topics instead of {wanted}");
    }
    Ok(())
}
