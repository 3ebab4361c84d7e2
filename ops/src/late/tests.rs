//! What is owed on every way through the flow, why, and the words for it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::OrderId;
use uuid::Uuid;

use super::*;
use crate::status::Group;

const START: i64 = 1_700_000_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START + seconds * 1_000_000).unwrap()
}

/// An order to which these facts happened, a second apart.
fn order(status: &str, facts: &[&str]) -> OrderView {
    let happened = |(n, fact): (i64, &&str)| {
        let step = STEPS.iter().find(|step| short(step.fact) == *fact).unwrap();
        Happened {
            fact: (*fact).to_owned(),
            producer: step.emitted_by.to_owned(),
            occurred_at: at(n),
            version: 1,
            topic: step.topic.name.to_owned(),
            partition: 3,
            offset: 40 + n,
        }
    };
    OrderView {
        order_id: OrderId::new(Uuid::from_u128(1)),
        status: status.to_owned(),
        customer_id: Some("c-1".parse().unwrap()),
        store_id: Some("s-1".parse().unwrap()),
        lines: vec![],
        total: None,
        placed_at: Some(at(0)),
        closed_at: None,
        updated_at: at(0),
        missing: vec![],
        reason: None,
        settled: false,
        version: facts.len() as u64,
        stale: None,
        history: (0..).zip(facts).map(happened).collect(),
    }
}

/// Who owes what after what.
fn owes(status: &str, facts: &[&str]) -> Vec<String> {
    let told = |owed: &Owed| format!("{} {} {}", owed.by, owed.facts.join("|"), owed.after.fact);
    owed(&order(status, facts)).iter().map(told).collect()
}

#[test]
fn on_every_way_it_is_known_who_owes_what() {
    let start = &["OrderPlaced", "StockReserved", "PaymentAccepted", "SaleConfirmed"];
    for (status, facts, wanted) in [
        ("placed", &start[..1], &["stock StockReserved|StockUnavailable OrderPlaced"] as &[&str]),
        ("reserved", &start[..2], &["payments PaymentAccepted|PaymentRefused StockReserved"]),
        ("paid", &start[..3], &["sales SaleConfirmed PaymentAccepted"]),
        ("paid", &start[..4], &["orders OrderConfirmed SaleConfirmed"]),
        ("confirmed", &[start as &[_], &["OrderConfirmed"]].concat(), &[]),
        (
            "placed",
            &["OrderPlaced", "StockUnavailable"],
            &["orders OrderRejected StockUnavailable"],
        ),
        ("rejected", &["OrderPlaced", "StockUnavailable", "OrderRejected"], &[]),
        (
            "refused",
            &["OrderPlaced", "StockReserved", "PaymentRefused", "OrderRefused"],
            &["stock StockReleased OrderRefused"],
        ),
        (
            "cancelled",
            &[start as &[_], &["OrderCancelled"]].concat(),
            &[
                "stock StockReleased OrderCancelled",
                "payments PaymentRefunded OrderCancelled",
                "sales SaleCancelled OrderCancelled",
            ],
        ),
        ("cancelled", &["OrderPlaced", "StockReserved", "OrderCancelled", "StockReleased"], &[]),
        // What was done after the end counts from then.
        (
            "expired",
            &["OrderPlaced", "OrderCancelled", "StockReserved"],
            &["stock StockReleased StockReserved"],
        ),
    ] {
        assert_eq!(owes(status, facts), wanted, "{status} {facts:?}");
    }
}

#[test]
fn a_step_is_meant_by_the_beginning_of_its_service_or_fact() {
    let owed = owed(&order("reserved", &["OrderPlaced", "StockReserved"])).remove(0);
    assert!(
        ["payment", "payments", "PaymentAcc", "paymentrefused"].iter().all(|it| owed.is_step(it))
    );
    assert!(!owed.is_step("stock"));
    assert_eq!(
        owed.sentence(at(1 + 14 * 60)),
        "payments owes PaymentAccepted or PaymentRefused since 14 min"
    );
}

fn charge() -> Owed {
    owed(&order("reserved", &["OrderPlaced", "StockReserved"])).remove(0)
}

fn group(change: impl FnOnce(&mut Group)) -> Option<Group> {
    let mut group =
        Group { service: "payments".to_owned(), instances: 1, ready: true, ..Group::default() };
    change(&mut group);
    Some(group)
}

fn said(evidence: &mut Evidence) -> &mut Group {
    evidence.group.as_mut().unwrap()
}

/// What is told, and what has to be wrong for it.
type Spoiled = (&'static str, fn(&mut Evidence));

/// Everything that can be wrong with payments, the strongest reason first.
fn all_wrong() -> Vec<Spoiled> {
    vec![
        ("parked in payments behind dead letter", |it| it.parked = Some(parked("dead"))),
        ("circuit breaker bank of payments is open", |it| {
            said(it).breakers.extend([("bank".to_owned(), "open".to_owned())]);
        }),
        ("payments waits for provider since 5 min, asked 3 times: it answered 503", |it| {
            let error = Some("it answered 503".to_owned());
            let name = "provider".to_owned();
            it.asking = Some(Asking { name, since: at(0), attempts: 3, error });
        }),
        ("an operator paused retail.stock.events.v1/3 in payments", |it| {
            said(it).paused.extend(["retail.stock.events.v1/3".to_owned()]);
        }),
        ("stopped at offset 41", |it| {
            let why = "retail.stock.events.v1/3 stopped at offset 41: bad".to_owned();
            said(it).faults.extend([("partitions".to_owned(), why)]);
        }),
        ("payments is not ready, handling: no database", |it| {
            said(it).faults.extend([("handling".to_owned(), "no database".to_owned())]);
        }),
        ("2 of its facts wait in the outbox since 5 min", |it| it.unpublished = Some((2, at(0)))),
        ("the order view has not heard it", |it| it.said = Some(1)),
        ("payments lags: 2 records", |it| it.next_offset = Some(40)),
    ]
}

fn parked(state: &str) -> Parked {
    Parked {
        state: state.to_owned(),
        since: at(0),
        due_at: None,
        cause: "7f3a0b1c".to_owned(),
        letter: Some(Uuid::from_u128(7)),
        message: "13 cannot".to_owned(),
    }
}

fn payments() -> Evidence {
    Evidence { service: "payments".to_owned(), group: group(|_| ()), ..Evidence::default() }
}

#[test]
fn the_strongest_reason_is_told_whatever_else_is_wrong() {
    let all = all_wrong();
    for first in 0..all.len() {
        let mut evidence = payments();
        all[first..].iter().for_each(|(_, spoil)| spoil(&mut evidence));
        let why = why(&charge(), &[evidence]);
        let told = why.sentence(at(300));
        assert!(told.contains(all[first].0), "{told}, wanted {}", all[first].0);
        assert!(why.command().starts_with("millrace "));
    }
}

#[test]
fn a_parked_key_says_what_it_waits_for() {
    for (state, told) in [
        ("dead", "parked in payments behind dead letter 00000000-0000-0000-0000-000000000007"),
        ("retrying", "payments tries it again: 13 cannot"),
        ("held", "a fact of this order that came before is missing"),
        ("redriving", "payments is redriving it"),
    ] {
        let evidence = Evidence { parked: Some(parked(state)), ..payments() };
        let found = why(&charge(), &[evidence]).sentence(at(0));
        assert!(found.contains(told), "{found}");
    }
}

#[test]
fn what_is_wrong_elsewhere_is_no_reason() {
    let mut evidence = payments();
    evidence.group = group(|group| {
        group.paused.insert("retail.stock.events.v1/4".into());
        let why = "retail.stock.events.v1/31 stopped at offset 41: bad".to_owned();
        group.faults.insert("partitions".into(), why);
    });
    evidence.said = Some(0);
    evidence.next_offset = Some(42);
    assert_eq!(why(&charge(), &[evidence.clone()]), Why::Unknown { blind: vec![] });
    let stock = Evidence { parked: Some(parked("dead")), ..Evidence::default() };
    let stock = Evidence { service: "stock".to_owned(), ..stock };
    assert!(
        matches!(why(&charge(), &[evidence, stock]), Why::DeadLetter { service, .. } if service == "stock")
    );
}

#[test]
fn who_is_down_is_told_before_the_records_behind() {
    let mut evidence = payments();
    evidence.next_offset = Some(1);
    evidence.group = group(|group| {
        group.instances = 0;
        group.last_sign = Some(at(0));
    });
    let told = why(&charge(), &[evidence]).sentence(at(40));
    assert_eq!(told, "payments is down: no sign of it for 40 s");
}

#[test]
fn nothing_found_says_so_and_what_could_not_be_asked() {
    let blind = vec!["the database of payments does not answer".to_owned()];
    let evidence = Evidence { blind, group: None, ..payments() };
    let told = why(&charge(), &[evidence]).sentence(at(0));
    assert_eq!(told, "unknown: no cause found; the database of payments does not answer");
}

#[test]
fn a_story_is_told_in_order_with_its_times() {
    let facts = ["OrderPlaced", "StockReserved", "PaymentRefused", "OrderRefused", "StockReleased"];
    let mut view = order("refused", &facts);
    view.reason = Some("INSUFFICIENT_FUNDS".to_owned());
    let told = explain(&view, &[], at(10));
    assert_eq!(told.len(), 5);
    assert_eq!(told[0].text, "customer c-1 ordered  for the total in store s-1");
    assert_eq!(told[2].text, "payments charged nothing: INSUFFICIENT_FUNDS");
    assert_eq!((told[0].after_ms, told[4].after_ms), (0, 1000));
    let late = order("reserved", &facts[..2]);
    let unknown = Why::Unknown { blind: vec![] };
    let told = explain(&late, &[(charge(), unknown)], at(61));
    assert_eq!(told[2].fact, None);
    assert_eq!(
        told[2].text,
        "payments owes PaymentAccepted or PaymentRefused since 60 s: unknown: no cause found"
    );
}

#[test]
fn every_fact_of_the_flow_has_a_sentence_of_its_own() {
    let mut texts = BTreeMap::new();
    for step in STEPS {
        let fact = short(step.fact);
        let text = explain(&order("cancelled", &[fact]), &[], at(0)).remove(0).text;
        assert!(!text.contains(" said "), "{fact}: {text}");
        assert_eq!(texts.insert(text, fact), None, "{fact}");
    }
}

#[test]
fn a_span_is_told_in_its_largest_unit() {
    for (seconds, told) in
        [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 days")]
    {
        assert_eq!(span(at(0), at(seconds)), told);
    }
}

proptest! {
    /// Whatever facts are known, an order that is settled by the flow owes nothing, and one that
    /// has not ended owes something as soon as anything is known that is waited for.
    #[test]
    fn any_set_of_facts_can_be_judged(picked in prop::collection::vec(0..STEPS.len(), 0..9)) {
        let mut facts: Vec<&str> = vec![];
        for index in picked {
            let fact = short(STEPS[index].fact);
            if !facts.contains(&fact) {
                facts.push(fact);
            }
        }
        let ended = facts.iter().any(|fact| STEPS.iter().any(|it| it.ends && short(it.fact) == *fact));
        let confirmed = facts.contains(&"OrderConfirmed");
        let status = if confirmed { "confirmed" } else if ended { "cancelled" } else { "placed" };
        for owed in owed(&order(status, &facts)) {
            prop_assert!(owed.facts.iter().all(|fact| !facts.contains(&fact.as_str())));
            prop_assert!(facts.contains(&owed.after.fact.as_str()));
            prop_assert_eq!(owed.undoes, ended);
            prop_assert!(!confirmed);
            prop_assert!(!owed.by.is_empty() && !owed.topic.is_empty());
        }
    }
}
