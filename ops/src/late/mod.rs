//! Late orders: which fact is owed, by whom, since when and why. What is owed follows from the flow
//! of an order as data; why, from what the services have in their databases and say of themselves.
//! Looking changes nothing.

mod explain;
mod look;
mod why;

use schemas::Timestamp;
use schemas::flow::{self, STEPS, Step};
use serde::Serialize;

use crate::{Happened, OrderView};

pub use explain::{Sentence, explain};
pub use look::{Late, late, late_orders};
pub use why::{Asking, Evidence, Parked, Why, why};

/// A fact that an order waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Owed {
    /// The service that has to say it.
    pub by: String,
    /// Names of the facts, of which one is owed.
    pub facts: Vec<String>,
    /// The fact it follows.
    pub after: Happened,
    /// The topic it would come in.
    pub topic: String,
    /// How many facts of the order that service has said, as far as the order view knows.
    pub known: u64,
    /// Whether it takes something back.
    pub undoes: bool,
}

/// What an order waits for, the longest owed first; nothing when all has happened.
pub fn owed(order: &OrderView) -> Vec<Owed> {
    let said = |fact: &str| order.history.iter().find(|it| it.fact == short(fact));
    let end = order.history.iter().find(|it| step(it).is_some_and(|step| step.ends));
    let mut owed: Vec<Owed> = match end {
        Some(_) if order.status == "confirmed" => vec![],
        Some(end) => STEPS
            .iter()
            .filter(|step| step.undoes.is_some_and(|done| said(done).is_some()))
            .filter(|step| said(step.fact).is_none())
            .map(|step| Owed::new(order, &[step.fact], end, true))
            .collect(),
        None => order
            .history
            .iter()
            .filter_map(|happened| Some((happened, step(happened)?.awaited)))
            .filter(|(_, awaited)| !awaited.is_empty())
            .filter(|(_, awaited)| awaited.iter().all(|fact| said(fact).is_none()))
            .map(|(happened, awaited)| Owed::new(order, awaited, happened, false))
            .collect(),
    };
    owed.sort_by_key(Owed::since);
    owed
}

impl Owed {
    fn new(order: &OrderView, facts: &[&'static str], after: &Happened, undoes: bool) -> Self {
        let emitter = facts.first().and_then(|fact| flow::step(fact));
        let by = emitter.map_or("", |step| step.emitted_by);
        let topic = emitter.map_or("", |step| step.topic.name);
        let of_topic = order.history.iter().filter(|it| it.topic == topic);
        // What is taken back counts from what was done, if that was said after the end.
        let done = facts.iter().filter_map(|fact| flow::step(fact)?.undoes);
        let done = done.filter_map(|fact| order.history.iter().find(|it| it.fact == short(fact)));
        let after = done.chain([after]).max_by_key(|it| it.occurred_at).unwrap_or(after);
        Self {
            by: by.to_owned(),
            facts: facts.iter().map(|fact| short(fact).to_owned()).collect(),
            after: after.clone(),
            topic: topic.to_owned(),
            known: of_topic.map(|it| it.version).max().unwrap_or_default(),
            undoes,
        }
    }

    /// Since when.
    pub fn since(&self) -> Timestamp {
        self.after.occurred_at
    }

    /// Whether this is the step that is meant by a service or a fact, or the beginning of its name.
    pub fn is_step(&self, name: &str) -> bool {
        let starts = |word: &str| word.to_lowercase().starts_with(&name.to_lowercase());
        starts(&self.by) || self.facts.iter().any(|fact| starts(fact))
    }

    /// Who owes what since when, in words.
    pub fn sentence(&self, now: Timestamp) -> String {
        let facts = self.facts.join(" or ");
        format!("{} owes {facts} since {}", self.by, span(self.since(), now))
    }
}

/// A time that has passed, in its largest unit.
pub fn span(since: Timestamp, now: Timestamp) -> String {
    let seconds = (now.micros() - since.micros()).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn step(happened: &Happened) -> Option<&'static Step> {
    STEPS.iter().find(|step| short(step.fact) == happened.fact)
}

/// The name of a fact without its namespace.
fn short(fact: &str) -> &str {
    fact.rsplit('.').next().unwrap_or(fact)
}

#[cfg(test)]
mod tests;
