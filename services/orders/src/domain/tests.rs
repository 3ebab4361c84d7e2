//! Facts in any order and any number: an order ends exactly once, and never begins again. Carts
//! keep their bounds, and totals never wrap.

use proptest::prelude::*;

use super::*;

/// Something that orders learns of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happens {
    Reserved,
    Unavailable,
    Released,
    Paid,
    Refused,
    Refunded,
    Sold,
    SaleCancelled,
    Cancel,
    Deadline,
}

fn happens() -> impl Strategy<Value = Happens> {
    use Happens::*;
    prop::sample::select(vec![
        Reserved,
        Unavailable,
        Released,
        Paid,
        Refused,
        Refunded,
        Sold,
        SaleCancelled,
        Cancel,
        Deadline,
    ])
}

fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

fn cad(minor: i64) -> Money {
    Money::new(minor, "CAD".parse().unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn desk(prices: &[(&str, Money)]) -> Desk {
    let product = |(name, price): &(&str, Money)| {
        (sku(name), Product { name: name.to_string(), price: *price, withdrawn: false })
    };
    let products = prices.iter().map(product).collect();
    Desk::new(Arc::default(), BTreeMap::new(), products, BTreeMap::new())
}

fn wish(lines: &[(&str, i64)]) -> Wish {
    let mut wanted = Lines::default();
    for (name, quantity) in lines {
        wanted.add(&sku(name), *quantity).unwrap();
    }
    Wish {
        order: order_id(),
        customer: CustomerId::new("anna").unwrap(),
        store: StoreId::new("north").unwrap(),
        lines: wanted,
        reference: None,
        placed_at: None,
    }
}

/// A desk with one stored order, placed at second 0.
fn placed() -> Desk {
    let mut desk = desk(&[("apple", cad(100))]);
    desk.place(wish(&[("apple", 2)]), at(0)).unwrap();
    let order = desk.new_orders()[0].order.clone();
    let orders = [(order_id(), order)].into();
    Desk::new(Arc::default(), BTreeMap::new(), BTreeMap::new(), orders)
}

/// What it emits when something happens at a second: the end it announces, if any.
fn apply(desk: &mut Desk, happens: Happens, now: Timestamp) -> Option<Status> {
    let id = order_id();
    let end = |closed: Option<&Order>| closed.map(|order| order.status);
    match happens {
        Happens::Reserved => desk.reserved(id, now).map(|()| None).unwrap(),
        Happens::Paid => desk.paid(id, now).map(|()| None).unwrap(),
        Happens::Released => desk.undone(id, |o| &mut o.stock).map(|()| None).unwrap(),
        Happens::Refunded => desk.undone(id, |o| &mut o.payment).map(|()| None).unwrap(),
        Happens::SaleCancelled => desk.undone(id, |o| &mut o.sale).map(|()| None).unwrap(),
        Happens::Unavailable => end(desk.unavailable(id, now).unwrap()),
        Happens::Refused => end(desk.refused(id, now).unwrap()),
        Happens::Sold => end(desk.sold_as(id, now).unwrap()),
        Happens::Cancel => desk.cancel(id, None, now).ok().map(|_| Status::Cancelled),
        Happens::Deadline => {
            let due = desk.due(at(1_000_000));
            due.first().and_then(|id| desk.expire(*id, now)).map(|_| Status::Expired)
        }
    }
}

proptest! {
    #[test]
    fn an_order_ends_exactly_once(story in prop::collection::vec(happens(), 0..20)) {
        let mut desk = placed();
        let mut ends = vec![];
        let mut before = Status::Placed;
        for (n, happens) in story.iter().enumerate() {
            ends.extend(apply(&mut desk, *happens, at(n as i64)));
            let order = desk.order(order_id()).unwrap();
            prop_assert!(order.status >= before, "{before:?} became {:?}", order.status);
            prop_assert!(!before.is_end() || order.status == before);
            prop_assert_eq!(order.deadline.is_none(), order.status.is_end());
            prop_assert_eq!(order.closed_at.is_some(), order.status.is_end());
            before = order.status;
        }
        let ending = |happens: &&Happens| {
            use Happens::*;
            matches!(happens, Unavailable | Refused | Sold | Cancel | Deadline)
        };
        prop_assert_eq!(ends.len(), usize::from(story.iter().any(|h| ending(&h))));
        prop_assert!(ends.iter().all(|end| *end == before));
    }

    #[test]
    fn the_steps_do_not_depend_on_how_topics_interleave(
        seed in prop::collection::vec(any::<prop::sample::Index>(), 6),
    ) {
        use Happens::*;
        let topics = [vec![Reserved, Released], vec![Paid, Refunded], vec![Sold, SaleCancelled]];
        let mut left = topics.clone();
        let mut desk = placed();
        for index in seed {
            let open: Vec<usize> = (0..3).filter(|n| !left[*n].is_empty()).collect();
            let next = left[open[index.index(open.len())]].remove(0);
            apply(&mut desk, next, at(1));
        }
        let order = desk.order(order_id()).unwrap();
        prop_assert_eq!([order.stock, order.payment, order.sale], [Step::Undone; 3]);
    }

    #[test]
    fn a_cart_keeps_its_bounds(
        changes in prop::collection::vec((0..60_u8, any::<bool>(), -2_i64..20_000), 0..200),
    ) {
        let mut lines = Lines::default();
        for (n, adds, quantity) in changes {
            let (sku, before) = (sku(&format!("s{n}")), lines.clone());
            let changed = if adds { lines.add(&sku, quantity) } else { lines.set(&sku, quantity) };
            prop_assert!(changed.is_ok() || lines == before);
            prop_assert!(lines.as_map().len() <= ARTICLES_MAX);
            prop_assert!(lines.iter().all(|(_, quantity)| (1..=QUANTITY_MAX).contains(&quantity)));
        }
    }

    #[test]
    fn a_total_is_the_sum_of_its_lines_or_refused(
        lines in prop::collection::vec((1_i64..=QUANTITY_MAX, 1_i64..=i64::MAX), 1..50),
    ) {
        let names: Vec<String> = (0..lines.len()).map(|n| format!("s{n}")).collect();
        let prices: Vec<(&str, Money)> =
            names.iter().zip(&lines).map(|(name, (_, price))| (name.as_str(), cad(*price))).collect();
        let wanted: Vec<(&str, i64)> =
            names.iter().zip(&lines).map(|(name, (quantity, _))| (name.as_str(), *quantity)).collect();
        let exact: i128 = lines.iter().map(|(q, p)| i128::from(*q) * i128::from(*p)).sum();
        match desk(&prices).place(wish(&wanted), at(0)) {
            Ok(placed) => prop_assert_eq!(i128::from(placed.total.minor()), exact),
            Err(refusal) => {
                prop_assert_eq!(refusal, Refusal::Overflow);
                prop_assert!(exact > i128::from(i64::MAX));
            }
        }
    }
}

#[test]
fn a_good_order_goes_from_step_to_step_with_a_new_deadline() {
    let mut desk = placed();
    assert_eq!(desk.order(order_id()).unwrap().deadline, Some(at(30)));
    desk.reserved(order_id(), at(10)).unwrap();
    assert_eq!(desk.order(order_id()).unwrap().deadline, Some(at(40)));
    desk.paid(order_id(), at(20)).unwrap();
    assert_eq!(desk.order(order_id()).unwrap().deadline, Some(at(50)));
    let closed = desk.sold_as(order_id(), at(25)).unwrap().unwrap();
    assert_eq!((closed.status, closed.deadline), (Status::Confirmed, None));
    assert_eq!([closed.stock, closed.payment, closed.sale], [Step::Done; 3]);
}

#[test]
fn a_payment_that_is_learned_of_first_is_not_taken_back_by_the_reservation() {
    let mut desk = placed();
    desk.paid(order_id(), at(10)).unwrap();
    desk.reserved(order_id(), at(20)).unwrap();
    let order = desk.order(order_id()).unwrap();
    assert_eq!((order.status, order.deadline), (Status::Paid, Some(at(40))));
}

#[test]
fn a_deadline_ends_an_order_at_its_moment_and_not_before() {
    let mut desk = placed();
    assert_eq!(desk.due(at(29)), vec![]);
    assert_eq!(desk.due(at(30)), vec![order_id()]);
    let cancelled = desk.expire(order_id(), at(30)).unwrap();
    assert_eq!(cancelled.by, CancelledBy::Deadline);
    assert_eq!(desk.due(at(31)), vec![]);
}

#[test]
fn an_order_that_ended_cannot_be_cancelled() {
    let mut desk = placed();
    desk.unavailable(order_id(), at(1)).unwrap();
    assert_eq!(desk.cancel(order_id(), None, at(2)), Err(Refusal::Closed(Status::Rejected)));
    let other = OrderId::new(Uuid::from_u128(2));
    assert_eq!(desk.cancel(other, None, at(2)), Err(Refusal::UnknownOrder));
}

#[test]
fn a_fact_of_an_order_that_was_never_placed_is_refused() {
    let other = OrderId::new(Uuid::from_u128(2));
    assert_eq!(placed().reserved(other, at(1)), Err(Unknown(other)));
}

#[test]
fn a_cart_merges_and_becomes_one_order_at_the_prices_of_the_checkout() {
    let mut desk = desk(&[("apple", cad(100)), ("bread", cad(250))]);
    let cart = Uuid::from_u128(9);
    desk.open_cart(cart, CustomerId::new("anna").unwrap(), StoreId::new("north").unwrap());
    desk.add(cart, &sku("apple"), 2).unwrap();
    desk.add(cart, &sku("apple"), 3).unwrap();
    desk.set(cart, &sku("bread"), 1).unwrap();
    let dearer = Product { name: "apple".into(), price: cad(200), withdrawn: false };
    desk.learn(sku("apple"), dearer).unwrap();
    let placed = desk.check_out(cart, order_id(), at(0)).unwrap();
    assert_eq!(placed.total, cad(5 * 200 + 250));
    assert_eq!(placed.lines.iter().map(|line| line.quantity).collect::<Vec<_>>(), [5, 1]);
    let again = desk.check_out(cart, OrderId::new(Uuid::from_u128(2)), at(1));
    assert_eq!(again, Err(Refusal::CheckedOut(order_id())));
    assert_eq!(desk.add(cart, &sku("apple"), 1), Err(Refusal::CheckedOut(order_id())));
    assert_eq!(desk.new_orders().len(), 1);
}

#[test]
fn what_cannot_be_ordered_is_refused_and_places_nothing() {
    let euro = Money::new(100, "EUR".parse().unwrap());
    let mut desk = desk(&[("apple", cad(100)), ("bread", euro), ("gold", cad(i64::MAX))]);
    desk.learn(sku("old"), Product { name: "old".into(), price: cad(1), withdrawn: true }).unwrap();
    let cases: [(&[(&str, i64)], Refusal); 5] = [
        (&[], Refusal::Empty),
        (&[("pear", 1)], Refusal::UnknownSku(sku("pear"))),
        (&[("old", 1)], Refusal::UnknownSku(sku("old"))),
        (&[("apple", 1), ("bread", 1)], Refusal::Currency(sku("bread"))),
        (&[("gold", 2)], Refusal::Overflow),
    ];
    for (lines, refusal) in cases {
        assert_eq!(desk.place(wish(lines), at(0)), Err(refusal));
    }
    assert_eq!(desk.new_orders(), []);
}

#[test]
fn names_lead_back_to_what_they_name() {
    for status in Status::ALL {
        assert_eq!(Status::named(status.as_str()), Some(status));
    }
    for step in [Step::Pending, Step::Done, Step::Failed, Step::Undone] {
        assert_eq!(Step::named(step.as_str()), Some(step));
    }
}
