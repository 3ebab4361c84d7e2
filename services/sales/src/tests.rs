//! What sales says when it learns of facts, through the same door as in production: payments for
//! what no order can have are refused, and leave every row as it was.

use millrace::{Cause, Decide, Emit, Envelope, Event, EventId, Position, Timestamp};
use proptest::prelude::*;
use schemas::{
    CancelledBy, CustomerId, Money, OrderCancelled, OrderId, OrderLine, PaymentAccepted,
    SaleCancelled, SaleConfirmed, Sku, StoreId,
};
use uuid::Uuid;

use crate::domain::Sales;

/// Numbers at which arithmetic ends.
const NUMBERS: [i64; 9] = [i64::MIN, -1_000_000, -1, 0, 1, 2, 1_000_000, i64::MAX - 1, i64::MAX];

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
    Emit::for_test(Timestamp::default(), &[SaleConfirmed::NAME, SaleCancelled::NAME])
}

fn paid(lines: &[(i64, i64)], amount: Option<i64>) -> PaymentAccepted {
    let currency = "CAD".parse().unwrap();
    let line = |(quantity, price): &(i64, i64)| OrderLine {
        sku: Sku::new("apple").unwrap(),
        quantity: *quantity,
        unit_price: Money::new(*price, currency),
    };
    let sum = lines.iter().fold(0, |sum: i64, it| sum.wrapping_add(it.0.wrapping_mul(it.1)));
    PaymentAccepted {
        order_id: OrderId::new(Uuid::from_u128(1)),
        customer_id: CustomerId::new("anna").unwrap(),
        store_id: StoreId::new("north").unwrap(),
        lines: lines.iter().map(line).collect(),
        amount: Money::new(amount.unwrap_or(sum), currency),
    }
}

/// Whether sales records it; checks what it does to the rows.
fn recorded(paid: &PaymentAccepted) -> bool {
    let (mut sales, mut emit) = (Sales::default(), pen());
    let decided = sales.decide(&envelope(paid.clone()), &mut emit);
    let changed = sales.changed().count() + emit.announced().count();
    assert_eq!(changed, if decided.is_ok() { 2 } else { 0 }, "{decided:?}");
    decided.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_payment_for_what_no_order_can_have_is_refused_and_changes_nothing(
        lines in prop::collection::vec(
            (prop::sample::select(NUMBERS.to_vec()), prop::sample::select(NUMBERS.to_vec())),
            0..5,
        ),
        amount in prop::option::of(prop::sample::select(NUMBERS.to_vec())),
    ) {
        let paid = paid(&lines, amount);
        let amounts = lines.iter().map(|it| i128::from(it.0) * i128::from(it.1));
        let sum = amounts.fold(0, i128::saturating_add);
        let possible = !lines.is_empty()
            && lines.iter().all(|it| it.0 > 0 && it.1 >= 0)
            && sum == i128::from(paid.amount.minor());
        prop_assert_eq!(recorded(&paid), possible, "{:?}", paid);
    }
}

#[test]
fn the_bad_payments_of_the_catalogue_are_refused() {
    assert!(recorded(&paid(&[(2, 100), (1, 0)], None)));
    for (what, lines, amount) in [
        ("for nothing", &[][..], None),
        ("for no pieces", &[(0, 100)], None),
        ("of a negative price", &[(1, -100)], None),
        ("of another amount", &[(2, 100)], Some(199)),
        ("that wraps", &[(2, i64::MAX)], None),
    ] {
        assert!(!recorded(&paid(lines, amount)), "{what}");
    }
}

#[test]
fn a_bad_payment_after_the_decision_changes_nothing_and_is_no_fault() {
    let (mut sales, mut emit) = (Sales::default(), pen());
    sales.decide(&envelope(paid(&[(2, 100)], None)), &mut emit).unwrap();
    let before = format!("{sales:?}");
    sales.decide(&envelope(paid(&[], Some(-1))), &mut emit).unwrap();
    assert_eq!(format!("{sales:?}"), before);
    let PaymentAccepted { order_id, customer_id, store_id, .. } = paid(&[], None);
    let by = CancelledBy::Other;
    let cancelled = OrderCancelled { order_id, customer_id, store_id, by, reason: None };
    sales.decide(&envelope(cancelled), &mut emit).unwrap();
    assert_eq!(emit.facts::<SaleCancelled>()[0].total.minor(), 200);
}
