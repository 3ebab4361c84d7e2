//! What payments says when it learns of facts, through the same door as in production.

use millrace::{Ask, Cause, Decide, Emit, Envelope, Event, EventId, Position, Settle, Timestamp};
use schemas::{
    CancelledBy, CustomerId, Money, OrderCancelled, OrderId, PaymentAccepted, PaymentRefunded,
    PaymentRefused, RefusalReason, StockReserved, StoreId,
};
use uuid::Uuid;

use crate::domain::{Purse, Till};
use crate::provider::{ChargeAnswer, ChargeAsk, RefundAnswer, RefundAsk};

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
    let facts = [PaymentAccepted::NAME, PaymentRefused::NAME, PaymentRefunded::NAME];
    let declared = [&facts[..], &[ChargeAsk::NAME, RefundAsk::NAME]].concat();
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

#[test]
fn the_provider_is_asked_and_what_it_says_is_told() {
    let (mut till, mut emit) = (till().paid_by(Purse::Provider), pen());
    learn(&mut till, &mut emit, reserved(700));
    let [charge] = &emit.asks::<ChargeAsk>()[..] else { panic!("one charge") };
    assert_eq!(charge.key(), format!("charge-{}", charge.order_id));
    assert_eq!(emit.announced().count(), 0);
    till.settle(charge, &ChargeAnswer::Accepted(cad(700)), &mut emit).unwrap();
    till.settle(charge, &ChargeAnswer::Accepted(cad(700)), &mut emit).unwrap();
    let StockReserved { order_id, customer_id, store_id, lines, total: amount } = reserved(700);
    let accepted = PaymentAccepted { order_id, customer_id, store_id, lines, amount };
    assert_eq!(emit.facts::<PaymentAccepted>(), [accepted]);
    learn(&mut till, &mut emit, cancelled());
    let [refund] = &emit.asks::<RefundAsk>()[..] else { panic!("one refund") };
    till.settle(refund, &RefundAnswer(cad(700)), &mut emit).unwrap();
    let said: Vec<_> = emit.announced().collect();
    assert_eq!(said, [PaymentAccepted::NAME, PaymentRefunded::NAME]);
}

#[test]
fn a_charge_that_is_taken_after_the_cancellation_is_asked_back() {
    let (mut till, mut emit) = (till().paid_by(Purse::Provider), pen());
    learn(&mut till, &mut emit, reserved(700));
    learn(&mut till, &mut emit, cancelled());
    let charge = emit.asks::<ChargeAsk>().remove(0);
    assert_eq!(emit.withdrawn::<ChargeAsk>(), [charge.key()]);
    assert!(emit.asks::<RefundAsk>().is_empty());
    till.settle(&charge, &ChargeAnswer::Accepted(cad(700)), &mut emit).unwrap();
    assert_eq!(emit.asks::<RefundAsk>().len(), 1);
    assert_eq!(emit.announced().collect::<Vec<_>>(), [PaymentAccepted::NAME]);
}

#[test]
fn a_refusal_of_the_provider_is_told_with_its_reason() {
    let (mut till, mut emit) = (till().paid_by(Purse::Provider), pen());
    learn(&mut till, &mut emit, reserved(700));
    let charge = emit.asks::<ChargeAsk>().remove(0);
    let reason = RefusalReason::InsufficientFunds;
    till.settle(&charge, &ChargeAnswer::Refused(reason), &mut emit).unwrap();
    learn(&mut till, &mut emit, cancelled());
    assert_eq!(emit.facts::<PaymentRefused>()[0].reason, reason);
    assert_eq!((emit.announced().count(), emit.asks::<RefundAsk>().len()), (1, 0));
}
