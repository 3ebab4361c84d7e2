//! I1 and I9: every order that was taken ends in exactly one way, and its facts follow from each
//! other as the flow says.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::{Act, Index, Report, Step as Noted, ops};
use millrace::Event;
use schemas::flow::{self, Step};
use schemas::{OrderCancelled, OrderConfirmed, OrderPlaced};
use serde::Deserialize;
use serde_json::Value;

use super::{Life, rows};

/// An answer as `orders` keeps it under its idempotency key.
#[derive(Deserialize)]
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) body: Option<Value>,
}

impl Stored {
    /// The order that the answer speaks of.
    pub(super) fn order(&self) -> Option<&str> {
        self.body.as_ref()?.get("order_id")?.as_str()
    }
}

/// What became of everything that was asked for under one key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Refused,
    Unknown,
    Taken,
}

/// Whoever was told that his order is taken has one order with one end; whoever was refused has
/// none; whoever knows nothing has one or none.
pub(super) fn one_end(index: &Index<'_>, report: &mut Report) {
    let lives = Life::all(index);
    let ends: BTreeMap<&str, usize> =
        lives.iter().map(|life| (life.order, count_ends(life))).collect();
    for life in &lives {
        let count = ends[life.order];
        report.expect(count == 1, life.order, || format!("the order has {count} ends"));
    }
    let stored: Vec<Stored> = rows(index, "orders", "idempotency");
    let stored: BTreeMap<&str, &str> =
        stored.iter().filter_map(|row| Some((row.key.as_str(), row.order()?))).collect();
    let (fates, mut known) = fates(index);
    for (key, fate) in &fates {
        let made = stored.get(key.as_str()).copied();
        match fate {
            Fate::Taken | Fate::Unknown => known.extend(made.map(str::to_owned)),
            Fate::Refused => report.expect(made.is_none(), made.unwrap_or_default(), || {
                format!("the request with key {key} was refused, and there is an order")
            }),
        }
    }
    for order in &known {
        let there = ends.contains_key(order.as_str());
        report.expect(there, order, || "the order was taken, and no fact speaks of it".to_owned());
    }
    if fates.is_empty() {
        return;
    }
    for order in index.keys_with(OrderPlaced::NAME) {
        report.expect(known.contains(order), order, || "nobody asked for this order".to_owned());
    }
}

/// What became of each key, and the orders that clients were told of.
fn fates(index: &Index<'_>) -> (BTreeMap<String, Fate>, BTreeSet<String>) {
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for op in ops(&index.evidence.history).into_iter().filter(|op| op.act == Act::Place) {
        let fate = match op.end {
            Some((_, Noted::Ok { subject, .. })) => {
                told.extend(subject);
                Fate::Taken
            }
            Some((_, Noted::Fail { .. })) => Fate::Refused,
            _ => Fate::Unknown,
        };
        let known = fates.entry(op.key.unwrap_or_default()).or_insert(fate);
        *known = fate.max(*known);
    }
    (fates, told)
}

fn count_ends(life: &Life<'_>) -> usize {
    flow::STEPS.iter().filter(|step| step.ends).map(|step| life.count(step.fact)).sum()
}

/// The automaton of the flow: what is said was awaited or undoes something, by the one who may say
/// it, once, because of a fact he reacts to; of what is awaited exactly one follows; whatever an
/// order did not keep was given back.
pub(super) fn language(index: &Index<'_>, report: &mut Report) {
    for life in Life::all(index) {
        let mut breaches = Vec::new();
        for step in flow::STEPS {
            spoken(&life, step, &mut breaches);
            followed(&life, step, &mut breaches);
        }
        for fact in &life.facts {
            let Some(step) = flow::step(fact.name) else { continue };
            if fact.log.owner != step.emitted_by {
                breaches.push(format!("{} is said in {}", fact.short(), fact.log.topic));
            }
            let cause = fact.cause.and_then(|id| index.fact(id));
            if let Some(cause) = cause.and_then(|cause| flow::step(cause.name))
                && !cause.reacts.iter().any(|(service, _)| *service == step.emitted_by)
            {
                let (said, cause) = (fact.short(), cause.fact);
                breaches.push(format!("{said} because of {cause}, to which nobody reacts so"));
            }
            if fact.cause.is_none() && !is_first_cause(step) {
                breaches.push(format!("{} has no cause", fact.short()));
            }
        }
        report.looked(1);
        breaches.into_iter().for_each(|what| report.found(life.order, what));
    }
}

/// A customer or a deadline begins these: no fact leads to them.
fn is_first_cause(step: &Step) -> bool {
    let awaited = flow::STEPS.iter().any(|before| before.awaited.contains(&step.fact));
    !awaited && step.undoes.is_none()
}

/// Said at most once, and after what it follows from.
fn spoken(life: &Life<'_>, step: &Step, breaches: &mut Vec<String>) {
    let times = life.count(step.fact);
    if times > 1 {
        breaches.push(format!("{} was said {times} times", step.fact));
    }
    let mut before = flow::STEPS.iter().filter(|before| before.awaited.contains(&step.fact));
    let follows = match step.undoes {
        Some(undone) => life.has(undone),
        None if is_first_cause(step) => {
            step.fact == OrderPlaced::NAME || life.has(OrderPlaced::NAME)
        }
        None => before.any(|before| life.has(before.fact)),
    };
    if times > 0 && !follows {
        breaches.push(format!("{} follows from nothing", step.fact));
    }
}

/// Of the facts that are awaited one comes, or none when the order is cancelled; what was done and
/// not kept is undone.
fn followed(life: &Life<'_>, step: &Step, breaches: &mut Vec<String>) {
    if life.has(step.fact) && !step.awaited.is_empty() {
        let came = step.awaited.iter().filter(|next| life.has(next)).count();
        let least = usize::from(!life.has(OrderCancelled::NAME));
        if !(least..=1).contains(&came) {
            breaches.push(format!("{} awaits one of its facts and {came} came", step.fact));
        }
    }
    if let Some(undone) = step.undoes {
        let wanted = life.has(undone) && !life.has(OrderConfirmed::NAME);
        if wanted != life.has(step.fact) {
            let word = if wanted { "is missing" } else { "came though the order kept it" };
            breaches.push(format!("{} {word}", step.fact));
        }
    }
}
