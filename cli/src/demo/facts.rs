//! Facts as they lie in the topics, read past every service: what happened to an order, when, and
//! by whom. It never joins a group and changes nothing.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use millrace::admin::{Admin, Record};
use millrace::contract::unframe;
use millrace::{Event, Timestamp, Topic};
use schemas::{OrderId, topics};
use serde::Serialize;
use uuid::Uuid;

/// The topics that carry the life of an order.
pub(super) const OF_ORDERS: [&Topic; 4] =
    [topics::ORDER_EVENTS, topics::STOCK_EVENTS, topics::PAYMENT_EVENTS, topics::SALE_EVENTS];

/// A record whose headers were understood.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) id: Uuid,
    /// Avro full name: `retail.order.OrderPlaced`.
    pub(super) name: String,
    pub(super) topic: &'static str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: String,
    pub(super) version: u64,
    pub(super) producer: String,
    /// When it happened, by the clock of the producer's database.
    pub(super) at: Timestamp,
    /// Trace in which it was created, 32 hexadecimal digits.
    pub(super) trace: Option<String>,
    pub(super) datum: Vec<u8>,
}

/// One line of an order's timeline.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Moment {
    pub(super) fact: String,
    pub(super) service: String,
    /// Milliseconds since the checkout.
    pub(super) ms: f64,
}

/// Where the topics of one world are.
#[derive(Debug, Clone)]
pub(super) struct Log {
    admin: Admin,
    prefix: String,
}

impl Log {
    pub(super) fn new(admin: Admin, prefix: &str) -> Self {
        Self { admin, prefix: prefix.to_owned() }
    }

    pub(super) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// What every topic and group name begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name a topic has on the broker.
    pub(super) fn on_broker(&self, topic: &Topic) -> String {
        format!("{}{}", self.prefix, topic.name)
    }

    /// Every record of these topics, repetitions included, by topic, partition and offset.
    pub(super) async fn read(&self, topics: &[&'static Topic]) -> Result<Vec<Fact>> {
        let reading = topics.iter().map(async |topic| {
            let records = self.admin.read_all(&self.on_broker(topic)).await?;
            records.iter().map(|record| understood(topic, record)).collect::<Result<Vec<Fact>>>()
        });
        Ok(try_join_all(reading).await?.into_iter().flatten().collect())
    }

    /// What happened to an order, in the order of time, each fact once.
    pub(super) async fn of_order(&self, order: OrderId) -> Result<Vec<Fact>> {
        let key = order.to_string();
        let mut seen = BTreeSet::new();
        let mut facts = self.read(&OF_ORDERS).await?;
        facts.retain(|fact| fact.key == key && seen.insert(fact.id));
        // Facts of one transaction share its time; then their identities tell.
        facts.sort_by_key(|fact| (fact.at, fact.id));
        Ok(facts)
    }
}

impl Fact {
    /// A fact of which only the name and the service matter.
    #[cfg(test)]
    pub(super) fn for_test(name: &str, producer: &str) -> Self {
        Self {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            topic: topics::ORDER_EVENTS.name,
            partition: 0,
            offset: 0,
            key: "key".to_owned(),
            version: 1,
            producer: producer.to_owned(),
            at: Timestamp::default(),
            trace: None,
            datum: vec![],
        }
    }

    /// The last part of its name: `OrderPlaced`.
    pub(super) fn short(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    pub(super) fn is<E: Event>(&self) -> bool {
        self.name == E::NAME
    }

    /// The fact itself, if it is of this type.
    pub(super) fn decoded<E: Event>(&self) -> Option<E> {
        self.is::<E>().then(|| E::from_datum(&self.datum).ok())?
    }
}

/// The names of facts, in their order.
pub(super) fn names(facts: &[Fact]) -> Vec<String> {
    facts.iter().map(|fact| fact.short().to_owned()).collect()
}

/// The names of facts, sorted: what happened, whatever came first where nothing waits for the
/// other.
pub(super) fn sorted_names(facts: &[Fact]) -> Vec<String> {
    let mut names = names(facts);
    names.sort();
    names
}

/// Facts of one order with their distance from the first, which is the checkout.
pub(super) fn timeline(facts: &[Fact]) -> Vec<Moment> {
    let begin = facts.first().map(|fact| fact.at.micros()).unwrap_or_default();
    let moment = |fact: &Fact| Moment {
        fact: fact.short().to_owned(),
        service: fact.producer.clone(),
        ms: (fact.at.micros() - begin) as f64 / 1000.0,
    };
    facts.iter().map(moment).collect()
}

fn understood(topic: &'static Topic, record: &Record) -> Result<Fact> {
    let (partition, offset) = (record.partition, record.offset);
    let place = || format!("{} partition {partition} offset {offset}", topic.name);
    let header = |name: &str| {
        record.header(name).with_context(|| format!("{}: header {name} is missing", place()))
    };
    let key = record.key.clone().with_context(|| format!("{}: no key", place()))?;
    let payload = record.payload.as_deref().with_context(|| format!("{}: no payload", place()))?;
    let (_, datum) = unframe(payload).with_context(place)?;
    let source = header("ce_source")?;
    Ok(Fact {
        id: header("ce_id")?.parse().with_context(place)?,
        name: header("ce_type")?.to_owned(),
        topic: topic.name,
        partition,
        offset,
        key: String::from_utf8(key).with_context(place)?,
        version: header("ce_sequence")?.parse().with_context(place)?,
        producer: source.rsplit('/').next().unwrap_or(source).to_owned(),
        at: header("ce_time")?.parse().with_context(place)?,
        trace: record.header("traceparent").and_then(trace_id),
        datum: datum.to_vec(),
    })
}

fn trace_id(traceparent: &str) -> Option<String> {
    traceparent.split('-').nth(1).map(str::to_owned)
}
