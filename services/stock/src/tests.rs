//! What stock says when it learns of facts, through the same door as in production.

mod hostile;

use millrace::{Cause, Decide, Emit, Envelope, Event, EventId, Position, Timestamp};
use schemas::{
    CancelledBy, CustomerId, Money, OrderCancelled, OrderId, OrderLine, OrderPlaced,
    PaymentRefused, RefusalReason, ShortLine, Sku, StockReleased, StockReserved, StockUnavailable,
    StoreId,
};
use uuid::Uuid;

use crate::domain::{Level, Shelf};
use crate::store::Keys;

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
    let declared = [StockReserved::NAME, StockUnavailable::NAME, StockReleased::NAME];
    Emit::for_test(Timestamp::default(), &declared)
}

fn placed(quantity: i64) -> OrderPlaced {
    let price = Money::new(100, "CAD".parse().unwrap());
    let line = OrderLine { sku: Sku::new("apple").unwrap(), quantity, unit_price: price };
    OrderPlaced {
        order_id: OrderId::new(Uuid::from_u128(1)),
        customer_id: CustomerId::new("anna").unwrap(),
        store_id: StoreId::new("north").unwrap(),
        lines: vec![line],
        total: price.times(quantity).unwrap(),
    }
}

fn refused() -> PaymentRefused {
    let OrderPlaced { order_id, customer_id, store_id, total: amount, .. } = placed(2);
    let reason = RefusalReason::InsufficientFunds;
    PaymentRefused { order_id, customer_id, store_id, amount, reason }
}

fn cancelled() -> OrderCancelled {
    let OrderPlaced { order_id, customer_id, store_id, .. } = placed(2);
    OrderCancelled { order_id, customer_id, store_id, by: CancelledBy::Deadline, reason: None }
}

/// Five apples in the north, loaded by the keys that the fact asks for.
fn shelf(placed: &OrderPlaced) -> Shelf {
    let mut keys = Keys::default();
    <Shelf as Decide<OrderPlaced>>::keys(&envelope(placed.clone()), &mut keys);
    let level = Level { on_hand: 5, reserved: 0 };
    Shelf::new(keys.places.into_iter().map(|place| (place, level)).collect(), [].into())
}

fn learn<E: Event<Key = OrderId>>(shelf: &mut Shelf, emit: &mut Emit, event: E)
where
    Shelf: Decide<E>,
{
    shelf.decide(&envelope(event), emit).unwrap();
}

#[test]
fn a_placed_order_is_reserved_with_all_that_payments_needs() {
    let (placed, mut emit) = (placed(2), pen());
    learn(&mut shelf(&placed), &mut emit, placed.clone());
    let OrderPlaced { order_id, customer_id, store_id, lines, total } = placed;
    let reserved = StockReserved { order_id, customer_id, store_id, lines, total };
    assert_eq!(emit.facts::<StockReserved>(), [reserved]);
}

#[test]
fn a_short_order_is_told_what_is_missing() {
    let (placed, mut emit) = (placed(6), pen());
    learn(&mut shelf(&placed), &mut emit, placed.clone());
    let missing = ShortLine { sku: placed.lines[0].sku.clone(), wanted: 6, available: 5 };
    assert_eq!(emit.facts::<StockUnavailable>()[0].missing, [missing]);
    assert_eq!(emit.announced().count(), 1);
}

#[test]
fn a_reservation_is_released_once_however_often_it_is_undone() {
    let (placed, mut emit) = (placed(2), pen());
    let mut shelf = shelf(&placed);
    learn(&mut shelf, &mut emit, placed.clone());
    learn(&mut shelf, &mut emit, refused());
    learn(&mut shelf, &mut emit, cancelled());
    learn(&mut shelf, &mut emit, refused());
    learn(&mut shelf, &mut emit, placed);
    let said: Vec<_> = emit.announced().collect();
    assert_eq!(said, [StockReserved::NAME, StockReleased::NAME]);
    assert_eq!(emit.facts::<StockReleased>()[0].lines[0].quantity, 2);
}

#[test]
fn an_order_that_is_cancelled_before_it_is_heard_of_is_never_mentioned() {
    let (placed, mut emit) = (placed(2), pen());
    let mut shelf = shelf(&placed);
    learn(&mut shelf, &mut emit, cancelled());
    learn(&mut shelf, &mut emit, placed);
    assert_eq!(emit.announced().count(), 0);
}

#[test]
fn an_order_that_makes_no_sense_is_refused_and_leaves_no_trace() {
    let (placed, mut emit) = (placed(0), pen());
    let mut shelf = shelf(&placed);
    assert!(shelf.decide(&envelope(placed), &mut emit).is_err());
    assert_eq!(emit.announced().count(), 0);
    assert_eq!(shelf.changed_reservations().count(), 0);
    assert_eq!(shelf.entries(), []);
}
