//! What orders says when it learns of facts, through the same door as in production: exactly one
//! end, in whatever order the facts come.

mod hostile;

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace::{Cause, Decide, Emit, Envelope, Event, EventId, Position, Sweep, Timestamp};
use proptest::prelude::*;
use schemas::{
    CancelledBy, CustomerId, Money, OrderCancelled, OrderConfirmed, OrderId, OrderRefused,
    OrderRejected, PaymentAccepted, PaymentRefunded, PaymentRefused, RefusalReason, SaleCancelled,
    SaleConfirmed, SaleId, ShortLine, Sku, StockReleased, StockReserved, StockUnavailable, StoreId,
};
use uuid::Uuid;

use crate::domain::{Desk, Order, Status};

const ENDS: [&str; 4] =
    [OrderConfirmed::NAME, OrderRejected::NAME, OrderRefused::NAME, OrderCancelled::NAME];

fn envelope<E: Event<Key = OrderId>>(event: E) -> Envelope<E> {
    Envelope {
        id: EventId::new(Uuid::now_v7()).unwrap(),
        key: *event.key(),
        version: 1,
        producer: E::TOPIC.owner.to_owned(),
        cause: Cause::default(),
        occurred_at: Timestamp::default(),
        position: Position { topic: E::TOPIC.name, partition: 0, offset: 0 },
        event,
    }
}

fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn ids() -> (OrderId, CustomerId, StoreId) {
    (order_id(), CustomerId::new("anna").unwrap(), StoreId::new("north").unwrap())
}

fn total() -> Money {
    Money::new(1990, "CAD".parse().unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn pen(now: Timestamp) -> Emit {
    Emit::for_test(now, &ENDS)
}

/// A desk with one order that was placed at second 0 and waits for its stock until second 30.
fn desk() -> Desk {
    let (id, customer, store) = ids();
    let order = Order::placed(customer, store, total(), at(30));
    Desk::new(Arc::default(), BTreeMap::new(), BTreeMap::new(), [(id, order)].into())
}

fn learn<E: Event<Key = OrderId>>(desk: &mut Desk, emit: &mut Emit, event: E)
where
    Desk: Decide<E>,
{
    desk.decide(&envelope(event), emit).unwrap();
}

/// The n-th of the facts an order can meet, and the deadline as the last.
fn happens(n: usize, desk: &mut Desk, emit: &mut Emit) {
    let (order_id, customer_id, store_id) = ids();
    let (total, amount, sale_id, lines) = (total(), total(), SaleId::of(order_id), vec![]);
    let reason = RefusalReason::InsufficientFunds;
    match n {
        0 => learn(desk, emit, StockReserved { order_id, customer_id, store_id, lines, total }),
        1 => learn(desk, emit, PaymentAccepted { order_id, customer_id, store_id, lines, amount }),
        2 => learn(desk, emit, SaleConfirmed { order_id, sale_id, customer_id, store_id, total }),
        3 => learn(desk, emit, StockUnavailable { order_id, store_id, missing: missing() }),
        4 => learn(desk, emit, PaymentRefused { order_id, customer_id, store_id, amount, reason }),
        5 => learn(desk, emit, StockReleased { order_id, store_id, lines: vec![] }),
        6 => learn(desk, emit, PaymentRefunded { order_id, customer_id, store_id, amount }),
        7 => learn(desk, emit, SaleCancelled { order_id, sale_id, store_id, total }),
        _ => desk.sweep(emit).unwrap(),
    }
}

fn missing() -> Vec<ShortLine> {
    vec![ShortLine { sku: Sku::new("apple").unwrap(), wanted: 2, available: 1 }]
}

proptest! {
    #[test]
    fn any_interleaving_announces_at_most_one_end(
        story in prop::collection::vec(0..9_usize, 0..30),
    ) {
        let (mut desk, mut emit) = (desk(), pen(at(1000)));
        story.iter().for_each(|n| happens(*n, &mut desk, &mut emit));
        let ended = desk.order(order_id()).unwrap().status.is_end();
        prop_assert_eq!(emit.announced().count(), usize::from(ended));
        prop_assert!(ended || !story.iter().any(|n| [2, 3, 4].contains(n)));
    }
}

#[test]
fn each_end_says_what_led_to_it() {
    let (order_id, customer_id, store_id) = ids();
    let ids = || (customer_id.clone(), store_id.clone());
    let end_of = |n| {
        let mut emit = pen(at(1));
        happens(n, &mut desk(), &mut emit);
        emit
    };
    let ((customer_id, store_id), sale_id) = (ids(), SaleId::of(order_id));
    let confirmed = OrderConfirmed { order_id, customer_id, store_id, sale_id, total: total() };
    assert_eq!(end_of(2).facts::<OrderConfirmed>(), [confirmed]);
    let ((customer_id, store_id), missing) = (ids(), missing());
    let rejected = OrderRejected { order_id, customer_id, store_id, missing };
    assert_eq!(end_of(3).facts::<OrderRejected>(), [rejected]);
    let ((customer_id, store_id), reason) = (ids(), RefusalReason::InsufficientFunds);
    let refused = OrderRefused { order_id, customer_id, store_id, reason };
    assert_eq!(end_of(4).facts::<OrderRefused>(), [refused]);
}

#[test]
fn a_sweep_ends_what_is_due_and_nothing_else() {
    let (mut desk, mut emit) = (desk(), pen(at(29)));
    desk.sweep(&mut emit).unwrap();
    assert_eq!(emit.announced().count(), 0);
    let mut emit = pen(at(30));
    desk.sweep(&mut emit).unwrap();
    assert_eq!(emit.facts::<OrderCancelled>()[0].by, CancelledBy::Deadline);
}

#[test]
fn a_sale_that_reaches_a_cancelled_order_changes_only_what_is_known_of_the_step() {
    let (mut desk, mut emit) = (desk(), pen(at(1)));
    desk.cancel(order_id(), None, at(1)).unwrap();
    happens(2, &mut desk, &mut emit);
    assert_eq!(desk.order(order_id()).unwrap().status, Status::Cancelled);
    assert_eq!(emit.announced().count(), 0);
}
