//! Chains show every change, moments hold what was known then, and a frozen journal stays frozen.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::history::{Fact, What};
use schemas::{OrderCancelled, OrderId, OrderPlaced, PaymentAccepted, StockReserved, Timestamp};
use uuid::Uuid;

use super::chain::{Broken, Entry, Hash, Link, Page};
use super::replay::{Outcome, Rules, actual, outcome};
use super::state::{Backwards, Line, Moment, Said, diff, facts, known};
use super::*;

const ORDER: &str = "01932b0e-7c5e-7d3a-9f10-2b6c1d4e5f60";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000).unwrap()
}

fn page(n: u8) -> Page {
    Page {
        order: ORDER.parse().unwrap(),
        event_id: Uuid::from_u128(0x0193_2b0e_7c5e_7d3a_9f10_2b6c_1d4e_5f00 + u128::from(n)),
        name: "retail.order.OrderPlaced".to_owned(),
        topic: "retail.order.events.v1".to_owned(),
        partition: 4,
        offset: 1_000 + i64::from(n),
        schema_id: 17,
        payload: vec![0, 0, 0, 0, 17, n],
        headers: r#"[["ce_type","retail.order.OrderPlaced"]]"#.to_owned(),
        producer: "orders".to_owned(),
        version: u64::from(n),
        correlation: ORDER.to_owned(),
        causation: (n > 1).then(|| Uuid::from_u128(u128::from(n))),
        occurred_at: at(n.into()),
        recorded_at: at(i64::from(n) + 1),
    }
}

fn chain() -> Vec<Entry> {
    let mut link = Link::default();
    (1..=3).map(|n| link.append(page(n))).collect()
}

#[test]
fn what_is_hashed_never_changes() {
    let hashes: Vec<String> = chain().iter().map(|entry| entry.hash.to_string()).collect();
    assert_eq!(
        hashes,
        [
            "0526a4dd54904351e8f300cd47a5db3b209d4c17cb5cdea6270d9a7d3f1f3640",
            "2e8f736733bea640e5cda15441083bfe087f8de72916e5635c56b3a853ebc126",
            "b11b20171e9d846b19bfce8077a51291510537f283b7e6081ede0570f062cdbc",
        ]
    );
    let hash = chain()[0].hash;
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert!("abc".parse::<Hash>().is_err());
}

/// One change of one part of an entry.
fn change(entry: &mut Entry, part: usize) {
    let page = &mut entry.page;
    match part {
        0 => page.order = OrderId::new(Uuid::nil()),
        1 => page.event_id = Uuid::nil(),
        2 => page.name.push('x'),
        3 => page.topic.push('x'),
        4 => page.partition += 1,
        5 => page.offset += 1,
        6 => page.schema_id += 1,
        7 => page.payload.push(0),
        8 => page.headers.push(' '),
        9 => page.producer.push('x'),
        10 => page.version += 1,
        11 => page.correlation.push('x'),
        12 => page.causation = page.causation.map_or(Some(Uuid::nil()), |_| None),
        13 => page.occurred_at = at(-1),
        14 => page.recorded_at = at(-1),
        // A text that goes over from one field to the next is another entry.
        15 => page.topic.insert(0, page.name.pop().unwrap()),
        _ => entry.hash = Hash::default(),
    }
}

fn walk(entries: &[Entry]) -> Result<(), (u64, Broken)> {
    let mut link = Link::default();
    entries.iter().try_for_each(|entry| link.follow(entry).map_err(|it| (link.length + 1, it)))
}

proptest! {
    #[test]
    fn any_change_of_any_part_of_any_entry_is_found_where_it_is(n in 0_usize..3, part in 0_usize..17) {
        let mut entries = chain();
        prop_assert_eq!(walk(&entries), Ok(()));
        change(&mut entries[n], part);
        let found = walk(&entries).unwrap_err();
        let content = matches!(found.1, Broken::Content { .. });
        prop_assert!(found.0 == n as u64 + 1 && content, "{:?}", found);
    }

    #[test]
    fn an_entry_that_is_gone_put_in_or_moved_is_found(n in 0_usize..2) {
        let mut gone = chain();
        gone.remove(n);
        prop_assert_eq!(walk(&gone).unwrap_err().0, n as u64 + 1);
        let mut moved = chain();
        moved.swap(n, n + 1);
        prop_assert_eq!(walk(&moved).unwrap_err().0, n as u64 + 1);
        let mut forged = chain();
        let mut link = Link { length: n as u64, hash: Hash::default() };
        forged[n] = link.append(page(9));
        prop_assert_eq!(walk(&forged).unwrap_err().0, n as u64 + if n == 0 { 2 } else { 1 });
    }
}

fn line(seq: u64, seconds: i64, what: impl Into<What>) -> Line {
    let fact = Fact {
        id: Uuid::from_u128(seq.into()),
        topic: "t".to_owned(),
        partition: 0,
        offset: 0,
        producer: "p".to_owned(),
        version: seq,
        occurred_at: at(seconds),
        what: what.into(),
    };
    Line { seq, occurred_at: at(seconds), said: Said::Fact(Box::new(fact)) }
}

fn story() -> Vec<Line> {
    let order_id: OrderId = ORDER.parse().unwrap();
    let total = schemas::Money::parse("19.90", "CAD".parse().unwrap()).unwrap();
    let (customer_id, store_id) = ("c-1".parse().unwrap(), "s-1".parse().unwrap());
    let sku = "mug".parse().unwrap();
    let lines = vec![schemas::OrderLine { sku, quantity: 1, unit_price: total }];
    let placed = OrderPlaced { order_id, customer_id, store_id, lines, total };
    let OrderPlaced { customer_id, store_id, lines, .. } = placed.clone();
    let reserved = StockReserved { order_id, customer_id, store_id, lines, total };
    let OrderPlaced { customer_id, store_id, lines, .. } = placed.clone();
    let paid = PaymentAccepted { order_id, customer_id, store_id, lines, amount: total };
    let OrderPlaced { customer_id, store_id, .. } = placed.clone();
    let (by, reason) = (schemas::CancelledBy::Customer, Some("too late".to_owned()));
    let cancelled = OrderCancelled { order_id, customer_id, store_id, by, reason };
    vec![
        line(1, 0, placed),
        // The payment was recorded before the reservation that led to it.
        line(2, 2, paid),
        line(3, 1, reserved),
        Line { seq: 4, occurred_at: at(3), said: Said::Aside("carrier noted X: y".to_owned()) },
        line(5, 4, cancelled),
    ]
}

#[test]
fn a_moment_knows_what_was_recorded_or_had_happened_by_then() {
    let story = story();
    let status = |moment| facts(&story, moment).map(|facts| facts.summary().status.as_str());
    let by_version: Vec<_> = (0..=5).map(|n| status(Moment::Version(n))).collect();
    let paid = Some("paid");
    assert_eq!(by_version, [None, Some("placed"), paid, paid, paid, Some("cancelled")]);
    let by_time: Vec<_> = (-1..=4).map(|s| status(Moment::At(at(s)))).collect();
    let wanted = [None, Some("placed"), Some("reserved"), paid, paid, Some("cancelled")];
    assert_eq!(by_time, wanted);
    assert_eq!(known(&story, Moment::At(at(3))), 4);
}

#[test]
fn a_difference_is_told_sentence_by_sentence_and_only_forwards() {
    let told = diff(&story(), Moment::Version(0), Moment::Version(9)).unwrap();
    assert_eq!(
        told,
        [
            "customer c-1 ordered 1 x mug for 19.90 CAD in store s-1",
            "payment of 19.90 CAD accepted; status placed -> paid",
            "1 x mug reserved",
            "carrier noted X: y",
            "order cancelled by CUSTOMER: too late; status paid -> cancelled",
        ]
    );
    let mixed = diff(&story(), Moment::At(at(1)), Moment::Version(3)).unwrap();
    assert_eq!(mixed, ["payment of 19.90 CAD accepted; status reserved -> paid"]);
    assert_eq!(diff(&story(), Moment::Version(2), Moment::Version(2)), Ok(vec![]));
    assert_eq!(diff(&story(), Moment::Version(3), Moment::Version(2)), Err(Backwards(3)));
    assert_eq!(diff(&story(), Moment::At(at(1)), Moment::Version(2)), Err(Backwards(3)));
}

#[test]
fn a_moment_is_a_number_or_a_time() {
    assert_eq!("3".parse(), Ok(Moment::Version(3)));
    assert_eq!("2023-11-14T22:13:20Z".parse(), Ok(Moment::At(at(0))));
    for wrong in ["", "-1", "1.5", "now", "2023-11-14", "99999999999999999999"] {
        let parsed: Result<Moment, _> = wrong.parse();
        assert!(parsed.is_err(), "{wrong}");
    }
}

#[test]
fn a_journal_is_frozen_once_and_then_takes_nothing_from_outside() {
    let order: OrderId = ORDER.parse().unwrap();
    let head = |length| Head { link: Link { length, hash: Hash::default() }, frozen: None };
    let heads = |length| Heads::new(BTreeMap::from([(order, head(length))]));
    let frozen =
        |by: &str, second| Frozen { by: by.to_owned(), reason: "r".to_owned(), at: at(second) };
    let mut journals = heads(1);
    assert_eq!(journals.note(order), Ok(()));
    assert_eq!(journals.freeze(order, frozen("a", 0)), Ok(true));
    assert_eq!(journals.freeze(order, frozen("a", 1)), Ok(false));
    let refused = Refusal::Frozen { by: "a".to_owned(), reason: "r".to_owned(), at: at(0) };
    assert_eq!(journals.freeze(order, frozen("b", 2)), Err(refused.clone()));
    assert_eq!(journals.note(order), Err(refused));
    assert_eq!(journals.changed().count(), 1);
    assert_eq!(heads(OUTSIDE_ENTRIES_MAX).note(order), Err(Refusal::Full(OUTSIDE_ENTRIES_MAX)));
    assert_eq!(Heads::default().note(order), Err(Refusal::Unknown));
}

/// What a history of these facts, each so many seconds after the first, comes to.
fn judged(story: Vec<Line>, rules: Rules) -> Option<Outcome> {
    outcome(&facts(&story, Moment::Version(99)).unwrap(), &rules)
}

#[test]
fn other_rules_change_only_what_they_speak_of() {
    let limit = |amount: &str, currency: &str| {
        let payment_limit = schemas::Money::parse(amount, currency.parse().unwrap()).ok();
        Rules { payment_limit, deadline: None }
    };
    let deadline = |millis| {
        let deadline = Some(std::time::Duration::from_millis(millis));
        Rules { deadline, payment_limit: None }
    };
    use schemas::history::Status::{Cancelled, Expired, Refused};
    for (rules, wanted) in [
        (Rules::default(), Cancelled),
        (limit("19.90", "CAD"), Cancelled),
        (limit("19.89", "CAD"), Refused),
        (limit("1.00", "EUR"), Cancelled),
        (deadline(1000), Cancelled),
        (deadline(999), Expired),
    ] {
        assert_eq!(judged(story(), rules), Some(Outcome::Ends(wanted)), "{rules:?}");
    }
    assert_eq!(judged(story()[1..].to_vec(), limit("1.00", "CAD")), None);
}

#[test]
fn an_order_that_expired_would_have_waited_longer_or_less() {
    let mut story = story();
    let Said::Fact(end) = &mut story[4].said else { panic!("the end is a fact") };
    let What::OrderCancelled(cancelled) = &mut end.what else { panic!("it is cancelled") };
    cancelled.by = schemas::CancelledBy::Deadline;
    let history = facts(&story, Moment::Version(99)).unwrap();
    use schemas::history::Status::{Expired, Paid};
    assert_eq!(actual(&history), Outcome::Ends(Expired));
    // It was paid after two seconds and given up after four.
    for (seconds, wanted) in
        [(1, Outcome::Ends(Expired)), (2, Outcome::Ends(Expired)), (3, Outcome::Waits(Paid))]
    {
        let deadline = Some(std::time::Duration::from_secs(seconds));
        let rules = Rules { deadline, payment_limit: None };
        assert_eq!(outcome(&history, &rules), Some(wanted), "{seconds}");
    }
    assert_eq!(outcome(&history, &Rules::default()), Some(Outcome::Ends(Expired)));
}
