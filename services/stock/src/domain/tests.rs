//! Whatever comes, in whatever order and however often: no unit is lost, none is promised twice,
//! and what is given back is what was held.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::{CustomerId, Money};

use super::*;

const SKUS: [&str; 3] = ["apple", "bread", "cheese"];
const STORES: [&str; 2] = ["north", "south"];

/// Something that stock learns.
#[derive(Debug, Clone)]
enum Happens {
    Receipt { place: usize, quantity: i64 },
    Placed { order: usize },
    Undone { order: usize },
}

#[derive(Debug, Clone)]
struct Asked {
    store: usize,
    lines: Vec<(usize, i64)>,
}

fn place(n: usize) -> Place {
    let store = StoreId::new(STORES[n % STORES.len()]).unwrap();
    (store, Sku::new(SKUS[n % SKUS.len()]).unwrap())
}

fn order_id(n: usize) -> OrderId {
    OrderId::new(Uuid::from_u128(n as u128 + 1))
}

fn placed(n: usize, asked: &Asked) -> OrderPlaced {
    let currency = "CAD".parse().unwrap();
    let line = |(sku, quantity): &(usize, i64)| OrderLine {
        sku: Sku::new(SKUS[*sku]).unwrap(),
        quantity: *quantity,
        unit_price: Money::new(100, currency),
    };
    OrderPlaced {
        order_id: order_id(n),
        customer_id: CustomerId::new("anna").unwrap(),
        store_id: StoreId::new(STORES[asked.store]).unwrap(),
        lines: asked.lines.iter().map(line).collect(),
        total: Money::new(
            asked.lines.iter().fold(0, |sum, it| it.1.wrapping_mul(100).wrapping_add(sum)),
            currency,
        ),
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let lines = prop::collection::vec((0..SKUS.len(), 1_i64..8), 1..5);
    (0..STORES.len(), lines).prop_map(|(store, lines)| Asked { store, lines })
}

/// Orders, and any interleaving of what happens to them, with repetitions.
fn stories() -> impl Strategy<Value = (Vec<Asked>, Vec<Happens>)> {
    prop::collection::vec(asked(), 1..8).prop_flat_map(|orders| {
        let count = orders.len();
        let happens = prop_oneof![
            (0..6_usize, 1_i64..15)
                .prop_map(|(place, quantity)| Happens::Receipt { place, quantity }),
            (0..count).prop_map(|order| Happens::Placed { order }),
            (0..count).prop_map(|order| Happens::Undone { order }),
        ];
        (Just(orders), prop::collection::vec(happens, 0..60))
    })
}

fn check_sums(shelf: &Shelf) -> Result<(), TestCaseError> {
    let mut ledger = BTreeMap::<Place, Level>::new();
    for entry in shelf.entries() {
        let level = ledger.entry(entry.place.clone()).or_default();
        level.on_hand += entry.on_hand;
        level.reserved += entry.reserved;
        prop_assert!(0 <= level.reserved && level.reserved <= level.on_hand);
    }
    let mut held = BTreeMap::<Place, i64>::new();
    for (_, reservation) in shelf.changed_reservations() {
        for line in reservation.lines.iter().filter(|_| reservation.state == State::Reserved) {
            let place = (reservation.store.clone(), line.sku.clone());
            *held.entry(place).or_default() += line.quantity;
        }
    }
    for (place, level) in &shelf.levels {
        prop_assert_eq!(ledger.get(place).copied().unwrap_or_default(), *level);
        prop_assert_eq!(held.get(place).copied().unwrap_or_default(), level.reserved);
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_unit_is_lost_or_promised_twice((orders, story) in stories()) {
        let mut shelf = Shelf::default();
        let mut answered = BTreeMap::<OrderId, usize>::new();
        let mut held = BTreeMap::<OrderId, BTreeMap<Sku, i64>>::new();
        for (n, happens) in story.into_iter().enumerate() {
            let cause = Uuid::from_u128(n as u128);
            match happens {
                Happens::Receipt { place: at, quantity } => {
                    let before = shelf.level(&place(at)).on_hand;
                    shelf.receive(cause, &place(at), quantity).unwrap();
                    prop_assert_eq!(shelf.level(&place(at)).on_hand, before + quantity);
                }
                Happens::Placed { order } => {
                    let placed = placed(order, &orders[order]);
                    match shelf.reserve(cause, &placed).unwrap() {
                        Reserved::All => {
                            *answered.entry(placed.order_id).or_default() += 1;
                            held.insert(placed.order_id, quantities(&placed.lines).unwrap());
                        }
                        Reserved::Short(missing) => {
                            *answered.entry(placed.order_id).or_default() += 1;
                            prop_assert!(missing.iter().all(|line| line.available < line.wanted));
                            prop_assert!(!missing.is_empty());
                        }
                        Reserved::Before => {}
                    }
                }
                Happens::Undone { order } => {
                    let store = StoreId::new(STORES[orders[order].store]).unwrap();
                    if let Some((_, lines)) = shelf.release(cause, order_id(order), &store) {
                        let lines = lines.into_iter().map(|line| (line.sku, line.quantity));
                        prop_assert_eq!(held.remove(&order_id(order)), Some(lines.collect()));
                    }
                }
            }
            check_sums(&shelf)?;
        }
        prop_assert!(answered.values().all(|times| *times == 1));
    }
}

fn shelf_with(quantity: i64) -> Shelf {
    let mut shelf = Shelf::default();
    shelf.receive(Uuid::max(), &place(0), quantity).unwrap();
    shelf
}

fn apples(quantity: i64) -> OrderPlaced {
    placed(0, &Asked { store: 0, lines: vec![(0, quantity)] })
}

#[test]
fn a_late_order_after_its_release_holds_nothing() {
    let mut shelf = shelf_with(5);
    let store = place(0).0;
    assert_eq!(shelf.release(Uuid::nil(), order_id(0), &store), None);
    assert_eq!(shelf.reserve(Uuid::nil(), &apples(3)), Ok(Reserved::Before));
    assert_eq!(shelf.level(&place(0)), Level { on_hand: 5, reserved: 0 });
}

#[test]
fn one_short_line_holds_nothing_of_the_others() {
    let mut shelf = shelf_with(5);
    let order = placed(0, &Asked { store: 0, lines: vec![(0, 5), (1, 1)] });
    let bread = ShortLine { sku: Sku::new("bread").unwrap(), wanted: 1, available: 0 };
    assert_eq!(shelf.reserve(Uuid::nil(), &order), Ok(Reserved::Short(vec![bread])));
    assert_eq!(shelf.level(&place(0)).reserved, 0);
}

#[test]
fn the_last_unit_goes_to_one_order() {
    let mut shelf = shelf_with(1);
    assert_eq!(shelf.reserve(Uuid::nil(), &apples(1)), Ok(Reserved::All));
    let second = OrderPlaced { order_id: order_id(1), ..apples(1) };
    assert!(matches!(shelf.reserve(Uuid::nil(), &second), Ok(Reserved::Short(_))));
}

#[test]
fn quantities_that_no_cart_has_are_refused_and_change_nothing() {
    for quantity in [0, -1, i64::MIN] {
        let mut shelf = shelf_with(5);
        assert_eq!(shelf.reserve(Uuid::nil(), &apples(quantity)), Err(Invalid(order_id(0))));
        assert_eq!(shelf.level(&place(0)), Level { on_hand: 5, reserved: 0 });
        assert_eq!(shelf.reservation(order_id(0)), None);
    }
    let twice = Asked { store: 0, lines: vec![(0, i64::MAX), (0, 1)] };
    assert!(shelf_with(5).reserve(Uuid::nil(), &placed(0, &twice)).is_err());
}

#[test]
fn receipts_out_of_bounds_are_refused() {
    let mut shelf = shelf_with(5);
    for quantity in [0, -1, RECEIPT_QUANTITY_MAX + 1, i64::MAX, i64::MIN] {
        assert_eq!(shelf.receive(Uuid::nil(), &place(0), quantity), Err(Refusal::Quantity));
    }
    let full = Level { on_hand: ON_HAND_MAX, reserved: 0 };
    let mut shelf = Shelf::new([(place(0), full)].into(), BTreeMap::new());
    assert_eq!(shelf.receive(Uuid::nil(), &place(0), 1), Err(Refusal::TooMuch));
}

#[test]
fn a_state_is_known_by_its_name() {
    for state in [State::Reserved, State::Unavailable, State::Released, State::Tombstone] {
        assert_eq!(State::named(state.as_str()), Some(state));
    }
    assert_eq!(State::named("sold"), None);
}
