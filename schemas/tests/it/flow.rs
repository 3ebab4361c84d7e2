//! The declared flow agrees with the topics, and every order that follows it ends once.

use std::collections::BTreeSet;

use millrace_contract::{Cleanup, Event, Topic};
use schemas::flow::{STEPS, Step, step};
use schemas::{EVENTS, OutsideNoted, topics};

/// Reads every fact of an order and decides nothing, so that the flow does not name it.
const VIEWS: &[&str] = &["order-view", "journal"];

/// Says what producers outside told it, and keeps it as everything else that was said.
const KEEPER: &str = "journal";

/// Facts of orders that are no step of theirs.
const ASIDE: &[&str] = &[OutsideNoted::NAME];

/// A topic of states is folded from the flow and is no part of it.
fn is_of_the_flow(topic: &Topic) -> bool {
    topic.key == "orderId" && topic.cleanup != Cleanup::Compact
}

fn steps(names: &[&str]) -> Vec<&'static Step> {
    names.iter().map(|name| step(name).unwrap_or_else(|| panic!("no step for {name}"))).collect()
}

#[test]
fn every_fact_has_one_emitter() {
    let mut names = BTreeSet::new();
    for event in EVENTS {
        assert!(names.insert(event.name), "{} is listed twice", event.name);
        assert!(topics::ALL.contains(&event.topic), "{}", event.name);
    }
    let mut owned = BTreeSet::new();
    for topic in topics::ALL {
        assert!(owned.insert(topic.name), "{} is listed twice", topic.name);
        let reads_its_own = topic.readers.contains(&topic.owner);
        assert!(!reads_its_own || topic.owner == KEEPER, "{} reads its own topic", topic.owner);
        assert!(EVENTS.iter().any(|event| event.topic == *topic), "{} is empty", topic.name);
    }
    for step in STEPS {
        assert_eq!(step.emitted_by, step.topic.owner, "{}", step.fact);
    }
}

#[test]
fn every_fact_of_an_order_is_in_the_flow_once() {
    let of_orders =
        EVENTS.iter().filter(|event| is_of_the_flow(event.topic)).map(|event| event.name);
    let of_orders: BTreeSet<_> = of_orders.filter(|name| !ASIDE.contains(name)).collect();
    let in_flow: Vec<_> = STEPS.iter().map(|step| step.fact).collect();
    assert_eq!(in_flow.len(), of_orders.len());
    assert_eq!(in_flow.into_iter().collect::<BTreeSet<_>>(), of_orders);
}

#[test]
fn who_reacts_reads_the_topic_and_who_reads_reacts() {
    for step in STEPS {
        for (service, _) in step.reacts {
            assert!(step.topic.readers.contains(service), "{service} cannot see {}", step.fact);
        }
    }
    for topic in topics::ALL.iter().filter(|topic| is_of_the_flow(topic)) {
        for reader in topic.readers.iter().filter(|reader| !VIEWS.contains(reader)) {
            let reacts = |step: &&Step| step.reacts.iter().any(|(service, _)| service == reader);
            let steps = STEPS.iter().filter(|step| step.topic == *topic);
            assert!(steps.clone().any(|step| reacts(&step)), "{reader} reads {}", topic.name);
        }
    }
}

#[test]
fn whoever_owes_a_fact_reacts_to_what_it_follows() {
    for step in STEPS {
        for awaited in steps(step.awaited) {
            let reacts = step.reacts.iter().any(|(service, _)| *service == awaited.emitted_by);
            assert!(reacts, "{} owes {} after {}", awaited.emitted_by, awaited.fact, step.fact);
        }
    }
}

#[test]
fn every_way_through_the_flow_ends_the_order_once() {
    fn follow(fact: &'static Step, way: &mut Vec<&'static str>) {
        assert!(!way.contains(&fact.fact), "{} comes twice: {way:?}", fact.fact);
        way.push(fact.fact);
        assert_eq!(fact.ends, fact.awaited.is_empty(), "{way:?}");
        for next in steps(fact.awaited) {
            follow(next, way);
        }
        way.pop();
    }
    follow(step("retail.order.OrderPlaced").unwrap(), &mut Vec::new());
}

#[test]
fn whatever_takes_from_the_customer_or_the_store_can_be_undone_by_the_same_service() {
    let mut undone = BTreeSet::new();
    for step in STEPS {
        let Some(fact) = step.undoes else { continue };
        let of = steps(&[fact])[0];
        assert_eq!(step.emitted_by, of.emitted_by, "{}", step.fact);
        assert!(undone.insert(fact), "{fact} is undone twice");
        let cancelled = steps(&["retail.order.OrderCancelled"])[0];
        let reacts = cancelled.reacts.iter().any(|(service, _)| *service == step.emitted_by);
        assert!(reacts, "{} never learns of a cancelled order", step.emitted_by);
    }
    let taking = ["retail.payment.PaymentAccepted", "retail.sale.SaleConfirmed"];
    assert!(taking.iter().all(|fact| undone.contains(fact)));
    assert!(undone.contains("retail.stock.StockReserved"));
}
