//! Whatever comes, in whatever order and however often: an order is sold at most once, and a
//! cancelled one is not sold in the end.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::{CancelledBy, Sku};
use uuid::Uuid;

use super::*;

fn order_id(n: usize) -> OrderId {
    OrderId::new(Uuid::from_u128(n as u128 + 1))
}

fn at(n: usize) -> Timestamp {
    Timestamp::from_micros(n as i64).unwrap()
}

fn paid(order: usize) -> PaymentAccepted {
    let price = Money::new(100 + order as i64, "CAD".parse().unwrap());
    PaymentAccepted {
        order_id: order_id(order),
        customer_id: CustomerId::new("anna").unwrap(),
        store_id: StoreId::new("north").unwrap(),
        lines: vec![OrderLine { sku: Sku::new("apple").unwrap(), quantity: 1, unit_price: price }],
        amount: price,
    }
}

fn cancelled(order: usize) -> OrderCancelled {
    OrderCancelled {
        order_id: order_id(order),
        customer_id: CustomerId::new("anna").unwrap(),
        store_id: StoreId::new("north").unwrap(),
        by: CancelledBy::Customer,
        reason: None,
    }
}

proptest! {
    #[test]
    fn an_order_is_sold_at_most_once_and_not_when_cancelled(
        story in prop::collection::vec((0..5_usize, any::<bool>()), 0..40),
    ) {
        let mut sales = Sales::default();
        let mut confirmed = BTreeMap::<usize, usize>::new();
        let mut taken_back = BTreeMap::<usize, usize>::new();
        for (n, (order, is_paid)) in story.iter().enumerate() {
            if *is_paid {
                let sold = sales.confirm(&paid(*order), at(n)).unwrap();
                prop_assert!(sold.is_none_or(|id| id == SaleId::of(order_id(*order))));
                *confirmed.entry(*order).or_default() += usize::from(sold.is_some());
            } else if let Some(total) = sales.cancel(&cancelled(*order), at(n)) {
                prop_assert_eq!(total, paid(*order).amount);
                *taken_back.entry(*order).or_default() += 1;
            }
        }
        for (order, _) in &story {
            let was_cancelled = story.contains(&(*order, false));
            let sold = confirmed.get(order).copied().unwrap_or_default();
            let back = taken_back.get(order).copied().unwrap_or_default();
            prop_assert!(sold <= 1);
            prop_assert_eq!(back, if was_cancelled { sold } else { 0 });
        }
    }
}

#[test]
fn a_late_sale_after_its_cancellation_is_not_recorded() {
    let mut sales = Sales::default();
    assert_eq!(sales.cancel(&cancelled(0), at(1)), None);
    assert_eq!(sales.confirm(&paid(0), at(2)), Ok(None));
    assert_eq!(sales.of(order_id(0)).map(|sale| &sale.state), Some(&State::Tombstone));
}

#[test]
fn a_cancelled_sale_keeps_what_was_sold_and_when() {
    let mut sales = Sales::default();
    sales.confirm(&paid(0), at(1)).unwrap();
    assert_eq!(sales.cancel(&cancelled(0), at(2)), Some(paid(0).amount));
    let state = &sales.of(order_id(0)).unwrap().state;
    assert_eq!(state.sold().map(|sold| sold.at), Some(at(1)));
    assert_eq!(state.cancelled_at(), Some(at(2)));
}
