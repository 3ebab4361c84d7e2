//! The law of an order's life, compiled from the same data as the documents: which fact may follow
//! which, that there is one end, and that whatever an order did not keep was given back.

use std::collections::BTreeMap;

use millrace::Event;
use schemas::{OrderConfirmed, OrderPlaced, flow};

use super::facts::Fact;

/// What is wrong with the life of one order; nothing if all of its facts are here once.
pub(super) fn breaches(facts: &[Fact]) -> Vec<String> {
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    for fact in facts {
        *said.entry(fact.name.as_str()).or_default() += 1;
    }
    let count = |name: &str| said.get(name).copied().unwrap_or_default();
    let confirmed = count(OrderConfirmed::NAME) > 0;
    let mut breaches = Vec::new();
    let ends = flow::STEPS.iter().filter(|step| step.ends);
    let ends: usize = ends.map(|step| count(step.fact)).sum();
    if ends != 1 {
        breaches.push(format!("{ends} ends"));
    }
    for (name, times) in &said {
        match flow::step(name) {
            None => breaches.push(format!("{name} is no fact of an order")),
            Some(_) if *times > 1 => breaches.push(format!("{name} was said {times} times")),
            Some(step) if !may_be_said(step, &count) => {
                breaches.push(format!("{name} follows from nothing"));
            }
            Some(_) => {}
        }
    }
    for step in flow::STEPS {
        let Some(undone) = step.undoes else { continue };
        let wanted = if confirmed { 0 } else { count(undone) };
        if count(step.fact) != wanted {
            breaches.push(format!("{} {} times, {undone} {wanted}", step.fact, count(step.fact)));
        }
    }
    let strangers = facts
        .iter()
        .filter(|fact| flow::step(&fact.name).is_some_and(|step| step.emitted_by != fact.producer));
    breaches.extend(strangers.map(|fact| format!("{} said by {}", fact.name, fact.producer)));
    breaches
}

/// A fact is said because another awaits it, because it undoes another, because it is where every
/// order begins, or because it ends an order early.
fn may_be_said(step: &flow::Step, count: &impl Fn(&str) -> usize) -> bool {
    let mut awaiting = flow::STEPS.iter().filter(|before| before.awaited.contains(&step.fact));
    let awaited_by_none = awaiting.clone().next().is_none();
    match step.undoes {
        Some(undone) => count(undone) > 0,
        None if awaited_by_none => step.fact == OrderPlaced::NAME || step.ends,
        None => awaiting.any(|before| count(before.fact) > 0),
    }
}

#[cfg(test)]
mod tests {
    use schemas::{
        OrderCancelled, OrderRefused, PaymentAccepted, PaymentRefunded, PaymentRefused,
        SaleConfirmed, StockReleased, StockReserved,
    };

    use super::*;

    fn said<E: Event>() -> Fact {
        Fact::for_test(E::NAME, E::TOPIC.owner)
    }

    fn good() -> Vec<Fact> {
        vec![
            said::<OrderPlaced>(),
            said::<StockReserved>(),
            said::<PaymentAccepted>(),
            said::<SaleConfirmed>(),
            said::<OrderConfirmed>(),
        ]
    }

    fn refused() -> Vec<Fact> {
        vec![
            said::<OrderPlaced>(),
            said::<StockReserved>(),
            said::<PaymentRefused>(),
            said::<StockReleased>(),
            said::<OrderRefused>(),
        ]
    }

    #[test]
    fn orderly_lives_break_no_law() {
        assert_eq!(breaches(&good()), [""; 0]);
        assert_eq!(breaches(&refused()), [""; 0]);
        let untouched = [said::<OrderPlaced>(), said::<OrderCancelled>()];
        assert_eq!(breaches(&untouched), [""; 0]);
    }

    #[test]
    fn every_planted_defect_is_found() {
        let with = |mut facts: Vec<Fact>, more: Fact| {
            facts.push(more);
            facts
        };
        let without = |mut facts: Vec<Fact>, name: &str| {
            facts.retain(|fact| fact.name != name);
            facts
        };
        let stranger = Fact::for_test(SaleConfirmed::NAME, "stock");
        let defects = [
            ("no end", without(good(), OrderConfirmed::NAME)),
            ("two ends", with(good(), said::<OrderCancelled>())),
            ("said twice", with(good(), said::<SaleConfirmed>())),
            ("charged out of nothing", without(good(), StockReserved::NAME)),
            ("goods kept", without(refused(), StockReleased::NAME)),
            ("refund without a charge", with(refused(), said::<PaymentRefunded>())),
            ("given back though sold", with(good(), said::<StockReleased>())),
            ("money kept", with(refused(), said::<PaymentAccepted>())),
            ("said by another", with(without(good(), SaleConfirmed::NAME), stranger)),
            ("unknown", with(good(), Fact::for_test("retail.order.OrderLost", "orders"))),
        ];
        for (defect, facts) in defects {
            assert!(!breaches(&facts).is_empty(), "{defect}");
        }
    }
}
