//! Facts that can be read and cannot be true: each is refused and leaves every row as it was, or
//! changes only what is known of a step.

use schemas::ProductState;

use super::*;

/// What a fact may say that an order of 19.90 costs.
const AMOUNTS: [i64; 7] = [i64::MIN, -1990, -1, 0, 1989, 1991, i64::MAX];

fn refuses<E: Event<Key = OrderId>>(event: E)
where
    Desk: Decide<E>,
{
    let (mut desk, mut emit) = (desk(), pen(at(1)));
    let before = format!("{desk:?}");
    desk.decide(&envelope(event), &mut emit).unwrap_err();
    assert_eq!((format!("{desk:?}"), emit.announced().count()), (before, 0), "{}", E::NAME);
}

/// Every fact about an order that names an amount.
fn all_refuse(order_id: OrderId, amount: Money) {
    let (_, customer_id, store_id) = ids();
    let ids = || (customer_id.clone(), store_id.clone());
    let (lines, sale_id, total) = (vec![], SaleId::of(order_id), amount);
    let (customer_id, store_id) = ids();
    refuses(StockReserved { order_id, customer_id, store_id, lines: lines.clone(), total });
    let (customer_id, store_id) = ids();
    refuses(PaymentAccepted { order_id, customer_id, store_id, lines, amount });
    let ((customer_id, store_id), reason) = (ids(), RefusalReason::Other);
    refuses(PaymentRefused { order_id, customer_id, store_id, amount, reason });
    let (customer_id, store_id) = ids();
    refuses(PaymentRefunded { order_id, customer_id, store_id, amount });
    let (customer_id, store_id) = ids();
    refuses(SaleConfirmed { order_id, sale_id, customer_id, store_id, total });
    let (_, store_id) = ids();
    refuses(SaleCancelled { order_id, sale_id, store_id, total });
}

#[test]
fn a_fact_that_names_another_amount_is_refused_and_changes_nothing() {
    for minor in AMOUNTS {
        all_refuse(order_id(), Money::new(minor, "CAD".parse().unwrap()));
    }
    all_refuse(order_id(), Money::new(1990, "EUR".parse().unwrap()));
}

#[test]
fn a_fact_about_an_order_nobody_placed_is_refused_and_changes_nothing() {
    let order_id = OrderId::new(Uuid::from_u128(2));
    let (_, _, store_id) = ids();
    all_refuse(order_id, total());
    refuses(StockReleased { order_id, store_id: store_id.clone(), lines: vec![] });
    refuses(StockUnavailable { order_id, store_id, missing: missing() });
}

#[test]
fn an_article_without_a_positive_price_is_refused_and_not_sold() {
    for price in [i64::MIN, -1, 0] {
        let (mut desk, mut emit) = (desk(), pen(at(1)));
        let before = format!("{desk:?}");
        let sku = Sku::new("apple").unwrap();
        let price = Money::new(price, "CAD".parse().unwrap());
        let (key, name, category) = (sku.clone(), "apple".into(), "fruit".into());
        let event = ProductState { sku, name, price, category, withdrawn: false };
        let state = Envelope {
            id: EventId::new(Uuid::now_v7()).unwrap(),
            key,
            version: 1,
            producer: "catalogue".into(),
            cause: Cause::default(),
            occurred_at: at(1),
            position: Position { topic: ProductState::TOPIC.name, partition: 0, offset: 0 },
            event,
        };
        desk.decide(&state, &mut emit).unwrap_err();
        assert_eq!(format!("{desk:?}"), before);
    }
}

#[test]
fn shortages_that_make_no_sense_end_the_order_and_nothing_else() {
    for (wanted, available) in [(i64::MIN, i64::MAX), (0, 0), (-1, 1), (i64::MAX, i64::MIN)] {
        let (mut desk, mut emit) = (desk(), pen(at(1)));
        let (order_id, _, store_id) = ids();
        let missing = vec![ShortLine { sku: Sku::new("apple").unwrap(), wanted, available }];
        learn(&mut desk, &mut emit, StockUnavailable { order_id, store_id, missing });
        assert_eq!(desk.order(order_id).unwrap().status, Status::Rejected);
    }
}

#[test]
fn a_fact_may_come_from_any_year_and_at_any() {
    for now in [-62_135_596_800_000_000, 253_402_300_799_999_999] {
        let now = Timestamp::from_micros(now).unwrap();
        for n in 0..9 {
            let (mut desk, mut emit) = (desk(), pen(now));
            happens(n, &mut desk, &mut emit);
        }
    }
}
