//! What payments says when it learns of facts, through the same door as in production.

use millrace::{Cause, Decide, Emit, Envelope, Event, EventId, Position, Timestamp};
use schemas::{
    CancelledBy, CustomerId, Money, OrderCancelled, OrderId, PaymentAccepted, PaymentRefunded,
    PaymentRefused, RefusalReason, StockReserved, StoreId,
};
use uuid::Uuid;

use crate::domain::Till;

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

fn pen() -> Emit {
    let declared = [PaymentAccepted::NAME, PaymentRefused::NAME, PaymentRefunded::NAME];
    Emit::for_test(Timestamp::default(), &declared)
}

fn cad(minor: i64) -> Money {
    Money::new(minor, "CAD".parse().unwrap())
}

fn reserved(total: i64) -> StockReserved {
    StockReserved {
        order_id: OrderId::new(Uuid::from_u128(1)),
        customer_id: CustomerId::new("anna").unwrap(),
        store_id: StoreId::new("north").unwrap(),
        lines: vec![],
        total: cad(total),
    }
}

fn cancelled() -> OrderCancelled {
    let StockReserved { order_id, customer_id, store_id, .. } = reserved(0);
    OrderCancelled { order_id, customer_id, store_id, by: CancelledBy::Customer, reason: None }
}

/// Anna has five dollars.
fn till() -> Till {
    Till::new([(CustomerId::new("anna").unwrap(), cad(500))].into(), [].into())
}

fn learn<E: Event<Key = OrderId>>(till: &mut Till, emit: &mut Emit, event: E)
where
    Till: Decide<E>,
{
    till.decide(&envelope(event), emit).unwrap();
}

#[test]
fn a_reserved_order_is_charged_with_all_that_sales_needs() {
    let mut emit = pen();
    learn(&mut till(), &mut emit, reserved(500));
    let StockReserved { order_id, customer_id, store_id, lines, total: amount } = reserved(500);
    let accepted = PaymentAccepted { order_id, customer_id, store_id, lines, amount };
    assert_eq!(emit.facts::<PaymentAccepted>(), [accepted]);
}

#[test]
fn an_order_that_is_too_dear_is_refused_and_never_refunded() {
    let (mut till, mut emit) = (till(), pen());
    learn(&mut till, &mut emit, reserved(501));
    learn(&mut till, &mut emit, cancelled());
    assert_eq!(emit.facts::<PaymentRefused>()[0].reason, RefusalReason::InsufficientFunds);
    assert_eq!(emit.announced().count(), 1);
}

#[test]
fn a_charge_is_refunded_once_however_often_it_is_undone() {
    let (mut till, mut emit) = (till(), pen());
    learn(&mut till, &mut emit, reserved(300));
    learn(&mut till, &mut emit, cancelled());
    learn(&mut till, &mut emit, cancelled());
    learn(&mut till, &mut emit, reserved(300));
    let said: Vec<_> = emit.announced().collect();
    assert_eq!(said, [PaymentAccepted::NAME, PaymentRefunded::NAME]);
    assert_eq!(emit.facts::<PaymentRefunded>()[0].amount, cad(300));
}

#[test]
fn an_order_that_is_cancelled_before_it_is_heard_of_is_never_mentioned() {
    let (mut till, mut emit) = (till(), pen());
    learn(&mut till, &mut emit, cancelled());
    learn(&mut till, &mut emit, reserved(300));
    assert_eq!(emit.announced().count(), 0);
}

#[test]
fn an_order_that_makes_no_sense_is_refused_and_leaves_no_trace() {
    let (mut till, mut emit) = (till(), pen());
    assert!(till.decide(&envelope(reserved(0)), &mut emit).is_err());
    assert_eq!(emit.announced().count(), 0);
    assert_eq!(till.changed_charges().count(), 0);
}
