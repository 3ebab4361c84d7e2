//! The pen of a decision: facts are written here and leave only with the transaction.

use std::sync::Arc;

use millrace_contract::{Cause, Event, EventId, Timestamp, Topic, Writer};
use opentelemetry::trace::SpanContext;
use uuid::Uuid;

use crate::telemetry::Tracing;

/// Collects the facts a decision announces. They reach the outbox when the transaction commits,
/// with their cause, their time and their gapless version.
pub struct Emit {
    now: Timestamp,
    declared: Arc<[&'static str]>,
    tracing: Tracing,
    origin: Origin,
    facts: Vec<Announced>,
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
    pub(crate) datum: Vec<u8>,
    pub(crate) cause: Cause,
    pub(crate) occurred_at: Timestamp,
}

impl Emit {
    pub(crate) fn new(now: Timestamp, declared: Arc<[&'static str]>, tracing: Tracing) -> Self {
        Self { now, declared, tracing, origin: Origin::default(), facts: vec![], undeclared: None }
    }

    /// Announces a fact. The service must have declared that it emits it.
    pub fn fact<E: Event>(&mut self, event: E) {
        if !self.declared.contains(&E::NAME) {
            self.undeclared = Some(E::NAME);
            return;
        }
        let key = event.key().to_string();
        let id = EventId::new(Uuid::now_v7()).expect("now_v7 makes a UUID of version 7");
        let mut datum = Vec::with_capacity(128);
        event.encode(&mut Writer::new(&mut datum));
        let correlation = self.origin.correlation.clone().unwrap_or_else(|| key.clone());
        let parent = self.origin.span.as_ref();
        let trace = self.tracing.create(E::TOPIC, E::NAME, id, &key, &correlation, parent);
        let cause = Cause { correlation, causation: self.origin.causation, trace };
        let occurred_at = self.now;
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
        named.map(|fact| E::from_datum(&fact.datum).expect("an encoded fact decodes")).collect()
    }

    /// A pen for tests of decisions: no trace, everything declared that is named.
    pub fn for_test(now: Timestamp, declared: &[&'static str]) -> Self {
        Self::new(now, declared.into(), Tracing::off())
    }

    pub(crate) fn caused_by(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Where the pen stands.
    pub(crate) fn mark(&self) -> usize {
        self.facts.len()
    }

    /// Takes back what was written after a mark.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.facts.truncate(mark);
        self.undeclared = None;
    }

    pub(crate) fn undeclared(&self) -> Option<&'static str> {
        self.undeclared
    }

    pub(crate) fn finish(self) -> Result<Vec<Announced>, &'static str> {
        match self.undeclared {
            Some(name) => Err(name),
            None => Ok(self.facts),
        }
    }
}
