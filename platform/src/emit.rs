//! The pen of a decision: facts are written here and leave only with the transaction.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_contract::{Cause, Event, EventId, Timestamp, Topic, Writer};
use opentelemetry::trace::SpanContext;
use uuid::Uuid;

use crate::ask::Ask;
use crate::telemetry::{Tracing, traceparent};

/// Collects the facts a decision announces. They reach the outbox when the transaction commits,
/// with their cause, their time and their gapless version.
pub struct Emit {
    now: Timestamp,
    declared: Arc<[&'static str]>,
    tracing: Tracing,
    origin: Origin,
    /// What was last learned of a key, where a state is said of what was learned.
    learned: HashMap<String, Origin>,
    facts: Vec<Announced>,
    outside: Outside,
    undeclared: Option<&'static str>,
}

/// What the facts written next are caused by.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    /// The flow; `None` lets each fact begin a flow of its own under its key.
    pub(crate) correlation: Option<String>,
    pub(crate) causation: Option<EventId>,
    pub(crate) span: Option<SpanContext>,
}

/// A fact on its way to the outbox.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(crate) id: EventId,
    pub(crate) topic: &'static Topic,
    pub(crate) name: &'static str,
    pub(crate) key: String,
    /// `None` takes the latest state of the key back.
    pub(crate) datum: Option<Vec<u8>>,
    pub(crate) cause: Cause,
    pub(crate) occurred_at: Timestamp,
}

/// What partners outside are asked and not asked any more.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) asks: Vec<Asked>,
    /// Name and key of asks that are not made if they were not made yet.
    pub(crate) withdrawn: Vec<(&'static str, String)>,
}

/// What a partner outside is asked, on its way to the table of asks.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) name: &'static str,
    pub(crate) key: String,
    pub(crate) stream: String,
    pub(crate) body: serde_json::Value,
    pub(crate) correlation: String,
    pub(crate) causation: Option<Uuid>,
    pub(crate) traceparent: Option<String>,
}

impl Emit {
    pub(crate) fn new(now: Timestamp, declared: Arc<[&'static str]>, tracing: Tracing) -> Self {
        let (origin, outside) = (Origin::default(), Outside::default());
        let learned = HashMap::new();
        Self { now, declared, tracing, origin, learned, facts: vec![], outside, undeclared: None }
    }

    /// Announces a fact. The service must have declared that it emits it.
    pub fn fact<E: Event>(&mut self, event: E) {
        self.fact_of(event, self.now);
    }

    /// Announces a fact that happened before it is announced. The service must have declared that it
    /// emits it.
    pub fn fact_of<E: Event>(&mut self, event: E, occurred_at: Timestamp) {
        if !self.declared.contains(&E::NAME) {
            self.undeclared = Some(E::NAME);
            return;
        }
        let mut datum = Vec::with_capacity(128);
        event.encode(&mut Writer::new(&mut datum));
        self.say::<E>(event.key(), Some(datum), occurred_at);
    }

    /// Takes back the state of a key in the compacted topic of `E`: whoever reads it forgets the key.
    pub fn erase<E: Event>(&mut self, key: &E::Key) {
        match self.declared.contains(&E::NAME) {
            true => self.say::<E>(key, None, self.now),
            false => self.undeclared = Some(E::NAME),
        }
    }

    fn say<E: Event>(&mut self, key: &E::Key, datum: Option<Vec<u8>>, occurred_at: Timestamp) {
        let key = key.to_string();
        let id = EventId::new(Uuid::now_v7()).expect("now_v7 makes a UUID of version 7");
        let origin = self.learned.get(&key).unwrap_or(&self.origin);
        let correlation = origin.correlation.clone().unwrap_or_else(|| key.clone());
        let parent = origin.span.as_ref();
        let trace = self.tracing.create(E::TOPIC, E::NAME, id, &key, &correlation, parent);
        let cause = Cause { correlation, causation: origin.causation, trace };
        self.facts.push(Announced {
            id,
            topic: E::TOPIC,
            name: E::NAME,
            key,
            datum,
            cause,
            occurred_at,
        });
    }

    /// Asks a partner outside, once the transaction is committed. The service must have declared
    /// that it asks this. What was asked under the same key before is not asked again.
    pub fn ask<A: Ask>(&mut self, ask: A) {
        if !self.declared.contains(&A::NAME) {
            self.undeclared = Some(A::NAME);
            return;
        }
        let stream = ask.stream();
        let span = self.origin.span.as_ref().filter(|span| span.is_valid());
        self.outside.asks.push(Asked {
            name: A::NAME,
            key: ask.key(),
            body: serde_json::to_value(&ask).expect("an ask has text keys and finite numbers"),
            correlation: self.origin.correlation.clone().unwrap_or_else(|| stream.clone()),
            causation: self.origin.causation.map(EventId::uuid),
            traceparent: span.map(|span| traceparent(span).0),
            stream,
        });
    }

    /// Does not ask after all, if the partner was never called. A call that was made once is asked
    /// until it is answered, because nobody else can say what it did.
    pub fn withdraw<A: Ask>(&mut self, key: impl Into<String>) {
        self.outside.withdrawn.push((A::NAME, key.into()));
    }

    /// The time of the transaction, by the database's clock: the only clock a decision may use.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The facts announced so far, by name: what a test of a decision asserts on.
    pub fn announced(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.facts.iter().map(|fact| fact.name)
    }

    /// The announced facts of one type, decoded again.
    pub fn facts<E: Event>(&self) -> Vec<E> {
        let named = self.facts.iter().filter(|fact| fact.name == E::NAME);
        let data = named.filter_map(|fact| fact.datum.as_deref());
        data.map(|datum| E::from_datum(datum).expect("an encoded fact decodes")).collect()
    }

    /// Keys of which the state of one type is taken back.
    pub fn erased<E: Event>(&self) -> Vec<&str> {
        let named = self.facts.iter().filter(|fact| fact.name == E::NAME);
        named.filter(|fact| fact.datum.is_none()).map(|fact| fact.key.as_str()).collect()
    }

    /// What was asked of partners so far, of one type.
    pub fn asks<A: Ask>(&self) -> Vec<A> {
        let named = self.outside.asks.iter().filter(|ask| ask.name == A::NAME);
        let ask = |ask: &Asked| serde_json::from_value(ask.body.clone());
        named.map(|asked| ask(asked).expect("a written ask can be read")).collect()
    }

    /// Keys of what is not asked after all, of one type.
    pub fn withdrawn<A: Ask>(&self) -> Vec<&str> {
        let named = self.outside.withdrawn.iter().filter(|(name, _)| *name == A::NAME);
        named.map(|(_, key)| key.as_str()).collect()
    }

    /// A pen for tests of decisions: no trace, everything declared that is named.
    pub fn for_test(now: Timestamp, declared: &[&'static str]) -> Self {
        Self::new(now, declared.into(), Tracing::off())
    }

    pub(crate) fn caused_by(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// What is said of this key from now on is caused by this.
    pub(crate) fn learned(&mut self, key: String, origin: Origin) {
        self.learned.insert(key, origin);
    }

    /// Where the pen stands: facts, asks and withdrawals.
    pub(crate) fn mark(&self) -> [usize; 3] {
        [self.facts.len(), self.outside.asks.len(), self.outside.withdrawn.len()]
    }

    /// Takes back what was written after a mark.
    pub(crate) fn rewind(&mut self, [facts, asks, withdrawn]: [usize; 3]) {
        self.facts.truncate(facts);
        self.outside.asks.truncate(asks);
        self.outside.withdrawn.truncate(withdrawn);
        self.undeclared = None;
    }

    pub(crate) fn undeclared(&self) -> Option<&'static str> {
        self.undeclared
    }

    pub(crate) fn finish(self) -> Result<(Vec<Announced>, Outside), &'static str> {
        match self.undeclared {
            Some(name) => Err(name),
            None => Ok((self.facts, self.outside)),
        }
    }
}
