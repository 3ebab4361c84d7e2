//! I7: goods are neither made nor lost. The ledger adds up to the levels, and an order holds what
//! it ordered if it was confirmed, and nothing otherwise.

use std::collections::BTreeMap;

use harness::check::{Index, Report};
use millrace::Event;
use schemas::{OrderPlaced, StockReleased, StockReserved};
use serde::Deserialize;

use super::{Life, rows};

#[derive(Deserialize)]
struct Level {
    store_id: String,
    sku: String,
    on_hand: i64,
    reserved: i64,
}

#[derive(Deserialize)]
struct Entry {
    store_id: String,
    sku: String,
    kind: String,
    order_id: Option<String>,
    on_hand: i64,
    reserved: i64,
}

#[derive(Deserialize)]
struct Reservation {
    order_id: String,
    state: String,
}

/// Levels against ledger, ledger against facts, facts against what became of the order.
pub(super) fn stock(index: &Index<'_>, report: &mut Report) {
    let entries: Vec<Entry> = rows(index, "stock", "stock_ledger");
    levels(index, &entries, report);
    let states: Vec<Reservation> = rows(index, "stock", "reservation");
    let states: BTreeMap<&str, &str> =
        states.iter().map(|row| (row.order_id.as_str(), row.state.as_str())).collect();
    let mut by_order: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &entries {
        by_order.entry(entry.order_id.as_deref().unwrap_or_default()).or_default().push(entry);
    }
    let lives = Life::all(index);
    for life in &lives {
        let entries = by_order.remove(life.order).unwrap_or_default();
        order(life, &entries, report);
        let held = states.get(life.order) == Some(&"reserved");
        report.expect(held == life.confirmed(), life.order, || {
            let state = states.get(life.order).copied().unwrap_or("not there");
            format!("the reservation is {state}, and confirmed is {}", life.confirmed())
        });
    }
    for (stranger, entries) in by_order.into_iter().filter(|(order, _)| !order.is_empty()) {
        let count = entries.len();
        report.found(stranger, format!("{count} movements of goods for an order nobody knows"));
    }
}

fn levels(index: &Index<'_>, entries: &[Entry], report: &mut Report) {
    let mut sums: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
    for entry in entries {
        let sum = sums.entry((&entry.store_id, &entry.sku)).or_default();
        *sum = (sum.0 + entry.on_hand, sum.1 + entry.reserved);
    }
    let levels: Vec<Level> = rows(index, "stock", "level");
    for level in &levels {
        let Level { store_id, sku, on_hand, reserved } = level;
        let sum = sums.remove(&(store_id.as_str(), sku.as_str())).unwrap_or_default();
        report.expect(sum == (*on_hand, *reserved), "", || {
            let (ledger_hand, ledger_reserved) = sum;
            format!(
                "{store_id}/{sku} has {on_hand} and {reserved} reserved, its ledger says \
                 {ledger_hand} and {ledger_reserved}"
            )
        });
        report.expect((0..=*on_hand).contains(reserved), "", || {
            format!("{store_id}/{sku} promises {reserved} of {on_hand}")
        });
    }
    for ((store, sku), _) in sums {
        report.found("", format!("{store}/{sku} has movements and no level"));
    }
}

fn order(life: &Life<'_>, entries: &[&Entry], report: &mut Report) {
    let moved = |kind: &str, sign: i64| {
        let mut moved: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.kind == kind) {
            *moved.entry(&entry.sku).or_default() += sign * entry.reserved;
        }
        moved
    };
    let (reserved, released) = (moved("reserve", 1), moved("release", -1));
    for (what, moved, said) in [
        ("reserved", &reserved, life.lines(StockReserved::NAME)),
        ("released", &released, life.lines(StockReleased::NAME)),
    ] {
        report.expect(*moved == said, life.order, || {
            format!("the ledger {what} {moved:?}, the fact says {said:?}")
        });
    }
    let kept: BTreeMap<&str, i64> = reserved
        .iter()
        .map(|(sku, taken)| (*sku, taken - released.get(sku).copied().unwrap_or_default()))
        .filter(|(_, kept)| *kept != 0)
        .collect();
    let wanted = if life.confirmed() { life.lines(OrderPlaced::NAME) } else { BTreeMap::new() };
    report.expect(kept == wanted, life.order, || {
        format!("the order holds {kept:?}, and should hold {wanted:?}")
    });
}
