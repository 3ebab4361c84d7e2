//! The evidence with its facts taken apart and found by identity. Derived, never judged.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::evidence::{Evidence, Log, Logged, OutboxRow, Poison};

/// A record of a topic of facts that nobody put there on purpose to do harm.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// The topic it is in.
    pub log: &'a Log,
    /// The record.
    pub record: &'a Logged,
    /// Identity; nil when it has none.
    pub id: Uuid,
    /// Full name.
    pub name: &'a str,
    /// Record key.
    pub key: &'a str,
    /// Its version; 0 when it has none.
    pub version: u64,
    /// The fact that led to it.
    pub cause: Option<Uuid>,
    /// The flow it belongs to.
    pub correlation: &'a str,
}

/// The evidence, with ways to find things in it.
#[derive(Debug)]
pub struct Index<'a> {
    /// What it is an index of.
    pub evidence: &'a Evidence,
    /// Every record of facts and state but the injected ones, by topic, partition and offset.
    pub facts: Vec<Fact<'a>>,
    /// What was injected. A record that its owner did publish and somebody is to refuse is not.
    strays: BTreeMap<Uuid, Fact<'a>>,
    by_id: BTreeMap<Uuid, usize>,
    poisons: BTreeMap<(&'a str, i32, i64), &'a Poison>,
}

impl<'a> Index<'a> {
    pub(super) fn of(evidence: &'a Evidence) -> Self {
        let place = |poison: &'a Poison| (poison.topic.as_str(), poison.partition, poison.offset);
        let poisons: BTreeMap<_, _> =
            evidence.poisons.iter().map(|poison| (place(poison), poison)).collect();
        let logs = evidence.topics.iter().filter(|log| log.kind.is_facts());
        let rows = evidence.services.iter().flat_map(|books| &books.outbox);
        let announced: BTreeMap<(&str, Uuid), &OutboxRow> =
            rows.map(|row| ((row.topic.as_str(), row.event_id), row)).collect();
        let genuine = |fact: &Fact<'a>| {
            !poisons.contains_key(&fact.place())
                || announced
                    .get(&(fact.log.topic.as_str(), fact.id))
                    .is_some_and(|row| row.payload == fact.record.payload)
        };
        let all = logs.flat_map(|log| log.records.iter().map(move |record| Fact::of(log, record)));
        let (facts, strays): (Vec<Fact<'a>>, Vec<Fact<'a>>) = all.partition(genuine);
        let mut by_id = BTreeMap::new();
        for (at, fact) in facts.iter().enumerate() {
            by_id.entry(fact.id).or_insert(at);
        }
        let strays = strays.into_iter().map(|fact| (fact.id, fact)).collect();
        Self { evidence, facts, strays, by_id, poisons }
    }

    /// The first record of a fact; an injected one only if there is no other.
    pub fn fact(&self, id: Uuid) -> Option<&Fact<'a>> {
        let genuine = self.by_id.get(&id).map(|at| &self.facts[*at]);
        genuine.or_else(|| self.strays.get(&id))
    }

    /// Each fact once: its first record.
    pub fn once(&self) -> impl Iterator<Item = &Fact<'a>> {
        let first = |(at, fact): &(usize, &Fact<'a>)| self.by_id.get(&fact.id) == Some(at);
        self.facts.iter().enumerate().filter(first).map(|(_, fact)| fact)
    }

    /// Each fact of a key once, by topic and version.
    pub fn of_key(&self, key: &str) -> Vec<&Fact<'a>> {
        let mut facts: Vec<&Fact<'a>> = self.once().filter(|fact| fact.key == key).collect();
        facts.sort_by_key(|fact| (&fact.log.topic, fact.version));
        facts
    }

    /// Keys of the facts of this name.
    pub fn keys_with(&self, name: &str) -> BTreeSet<&'a str> {
        self.once().filter(|fact| fact.name == name).map(|fact| fact.key).collect()
    }

    /// What was put on a topic on purpose at this place.
    pub fn poison_at(&self, topic: &str, partition: i32, offset: i64) -> Option<&'a Poison> {
        self.poisons.get(&(topic, partition, offset)).copied()
    }
}

impl<'a> Fact<'a> {
    fn of(log: &'a Log, record: &'a Logged) -> Self {
        let uuid = |name| record.header(name).and_then(|text| text.parse().ok());
        Self {
            log,
            record,
            id: uuid("ce_id").unwrap_or_default(),
            name: record.header("ce_type").unwrap_or_default(),
            key: record.key_text(),
            version: record.header("ce_sequence").and_then(|n| n.parse().ok()).unwrap_or_default(),
            cause: uuid("ce_causationid"),
            correlation: record.header("ce_correlationid").unwrap_or_default(),
        }
    }

    /// Topic, partition and offset.
    pub fn place(&self) -> (&'a str, i32, i64) {
        (&self.log.topic, self.record.partition, self.record.offset)
    }

    /// The name without its namespace.
    pub fn short(&self) -> &'a str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// `OrderPlaced v1 at retail.order.events.v1/3@17`
    pub fn told(&self) -> String {
        let (topic, partition, offset) = self.place();
        format!("{} v{} at {topic}/{partition}@{offset}", self.short(), self.version)
    }
}
