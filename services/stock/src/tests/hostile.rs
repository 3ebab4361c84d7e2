//! Orders that can be read and that no shop can have: refused as the data they are, or answered,
//! and a refusal leaves every row as it was.

use proptest::prelude::*;

use super::*;

/// Numbers at which arithmetic ends.
const NUMBERS: [i64; 10] =
    [i64::MIN, i64::MIN + 1, -1_000_000, -1, 0, 1, 2, 1_000_000, i64::MAX - 1, i64::MAX];

fn order(lines: Vec<(usize, i64, i64)>, total: Option<i64>) -> OrderPlaced {
    let currency = "CAD".parse().unwrap();
    let line = |(sku, quantity, price): &(usize, i64, i64)| OrderLine {
        sku: Sku::new(["apple", "bread"][*sku]).unwrap(),
        quantity: *quantity,
        unit_price: Money::new(*price, currency),
    };
    let sum = lines.iter().fold(0, |sum: i64, it| sum.wrapping_add(it.1.wrapping_mul(it.2)));
    let total = Money::new(total.unwrap_or(sum), currency);
    OrderPlaced { lines: lines.iter().map(line).collect(), total, ..placed(1) }
}

fn orders() -> impl Strategy<Value = OrderPlaced> {
    let number = || prop::sample::select(NUMBERS.to_vec());
    let lines = prop::collection::vec((0..2_usize, number(), number()), 0..6);
    (lines, prop::option::of(number())).prop_map(|(lines, total)| order(lines, total))
}

/// Whether stock takes an order for one that a shop can have; checks what it does to the rows.
fn taken(placed: &OrderPlaced) -> bool {
    let (mut shelf, mut emit) = (shelf(placed), pen());
    let before = format!("{shelf:?}");
    let decided = shelf.decide(&envelope(placed.clone()), &mut emit);
    let said = emit.announced().count();
    match decided {
        Err(_) => {
            assert_eq!((format!("{shelf:?}"), said), (before, 0), "a refusal changed something");
            false
        }
        Ok(()) => {
            assert_eq!(said, 1);
            let sound =
                |(_, level): (_, Level)| 0 <= level.reserved && level.reserved <= level.on_hand;
            assert!(shelf.changed_levels().all(sound), "{shelf:?}");
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn an_order_that_no_shop_can_have_is_refused_and_changes_nothing(placed in orders()) {
        let lines = &placed.lines;
        let amount =
            |line: &OrderLine| i128::from(line.quantity) * i128::from(line.unit_price.minor());
        let sum = lines.iter().map(amount).fold(0, i128::saturating_add);
        let sound = |line: &OrderLine| line.quantity > 0 && line.unit_price.minor() >= 0;
        let counted = lines.iter().map(|line| i128::from(line.quantity)).sum::<i128>() <= i64::MAX.into();
        let possible = !lines.is_empty()
            && lines.iter().all(sound)
            && sum == i128::from(placed.total.minor());
        let taken = taken(&placed);
        prop_assert!(possible || !taken, "{:?}", placed);
        prop_assert!(!possible || taken || !counted, "{:?}", placed);
    }
}

#[test]
fn the_bad_orders_of_the_catalogue_are_refused() {
    for (what, lines, total) in [
        ("nothing", vec![], None),
        ("no pieces", vec![(0, 0, 100)], None),
        ("less than no pieces", vec![(0, -1, 100)], None),
        ("a negative price", vec![(0, 1, -100)], None),
        ("another total", vec![(0, 2, 100)], Some(199)),
        ("a total that wraps", vec![(0, 2, i64::MAX)], None),
        ("quantities that wrap", vec![(0, i64::MAX, 0), (0, 1, 0)], None),
    ] {
        assert!(!taken(&order(lines, total)), "{what}");
    }
    assert!(taken(&order(vec![(0, i64::MAX, 0)], None)), "too many pieces are short, not wrong");
    assert!(taken(&order(vec![(0, 2, 100), (1, 1, 0)], None)));
}

#[test]
fn an_order_in_two_currencies_is_refused() {
    let mut mixed = order(vec![(0, 1, 100), (1, 1, 100)], None);
    mixed.lines[1].unit_price = Money::new(100, "EUR".parse().unwrap());
    assert!(!taken(&mixed));
}

#[test]
fn an_order_may_come_from_any_year() {
    for micros in [-62_135_596_800_000_000, 253_402_300_799_999_999] {
        let fact = envelope(order(vec![(0, 2, 100)], None));
        let fact = Envelope { occurred_at: Timestamp::from_micros(micros).unwrap(), ..fact };
        let (mut shelf, mut emit) = (shelf(&fact.event), pen());
        shelf.decide(&fact, &mut emit).unwrap();
        assert_eq!(emit.facts::<StockReserved>().len(), 1);
    }
}

#[test]
fn an_order_of_more_lines_than_a_datum_may_have_cannot_be_read() {
    let many = order(vec![(0, 1, 1); 10_001], None);
    assert!(OrderPlaced::from_datum(&many.to_datum()).is_err());
}
