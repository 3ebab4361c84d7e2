//! Facts that can be read and cannot be true are folded as they were told: nothing is counted, so
//! nothing wraps, and what is kept reads back as it was.

use super::*;

const NUMBERS: [i64; 8] = [i64::MIN, -1_000_000, -1, 0, 1, 1_000_000, i64::MAX - 1, i64::MAX];
/// The first and the last moment there is.
const MOMENTS: [i64; 2] = [-62_135_596_800_000_000, 253_402_300_799_999_999];

fn told(n: usize, number: i64, text: &str) -> What {
    let (order_id, customer_id, store_id) = (order_id(), customer_id(), store_id());
    let money = Money::new(number, "KWD".parse().unwrap());
    let sku = Sku::new("apple").unwrap();
    let line = OrderLine { sku: sku.clone(), quantity: number, unit_price: money };
    let (lines, total, amount) = (vec![line; 3], money, money);
    let sale_id = SaleId::of(order_id);
    match n {
        0 => OrderPlaced { order_id, customer_id, store_id, lines, total }.into(),
        1 => StockReserved { order_id, customer_id, store_id, lines, total }.into(),
        2 => PaymentAccepted { order_id, customer_id, store_id, lines: vec![], amount }.into(),
        3 => SaleConfirmed { order_id, sale_id, customer_id, store_id, total }.into(),
        4 => {
            let missing = vec![ShortLine { sku, wanted: number, available: number }];
            OrderRejected { order_id, customer_id, store_id, missing }.into()
        }
        5 => PaymentRefunded { order_id, customer_id, store_id, amount }.into(),
        _ => {
            let reason = Some(text.to_owned());
            let by = CancelledBy::Other;
            OrderCancelled { order_id, customer_id, store_id, by, reason }.into()
        }
    }
}

proptest! {
    #[test]
    fn whatever_can_be_read_is_folded_and_kept_as_it_was(
        story in prop::collection::vec(
            (0..7_usize, prop::sample::select(NUMBERS.to_vec()), ".{0,40}", 0..2_usize),
            1..12,
        ),
    ) {
        let mut orders = Orders::default();
        for (n, (what, number, text, moment)) in story.iter().enumerate() {
            let mut told = fact(n as i64, ORDERS, told(*what, *number, text));
            told.version = *number as u64;
            told.occurred_at = Timestamp::from_micros(MOMENTS[*moment]).unwrap();
            orders.fold(order_id(), told);
        }
        let facts = orders.facts(order_id()).unwrap();
        prop_assert_eq!(facts.iter().len(), story.len());
        let summary = facts.summary();
        prop_assert!(MOMENTS.contains(&summary.updated_at.micros()));
        let kept = serde_json::to_string(facts.as_slice()).unwrap();
        let back: Vec<Fact> = serde_json::from_str(&kept).unwrap();
        prop_assert_eq!(back.as_slice(), facts.as_slice());
    }
}
