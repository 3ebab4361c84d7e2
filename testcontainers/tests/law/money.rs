//! I8 and I15: money is neither made nor lost. Every movement balances, an order has taken its
//! total if it was confirmed and nothing otherwise, and a partner did each thing once.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::{Index, Report};
use millrace::Event;
use schemas::{OrderConfirmed, PaymentAccepted, PaymentRefunded, SaleConfirmed};
use serde::Deserialize;
use serde_json::Value;

use super::{Life, rows};

#[derive(Deserialize)]
struct Entry {
    cause: String,
    account: String,
    kind: String,
    order_id: Option<String>,
    amount: i64,
}

#[derive(Deserialize)]
struct Account {
    customer_id: String,
    balance: i64,
}

#[derive(Deserialize)]
struct Sale {
    order_id: String,
    state: String,
    total: Option<i64>,
}

/// Both sides of every movement, balances, charges, refunds and sales, and the partner's ledger.
pub(super) fn money(index: &Index<'_>, report: &mut Report) {
    let entries: Vec<Entry> = rows(index, "payments", "money_ledger");
    balanced(&entries, report);
    balances(index, &entries, report);
    let sales: Vec<Sale> = rows(index, "sales", "sale");
    let sales: BTreeMap<&str, &Sale> =
        sales.iter().map(|row| (row.order_id.as_str(), row)).collect();
    let mut own: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let customers = entries.iter().filter(|entry| entry.account.starts_with("customer:"));
    for entry in customers {
        let order = entry.order_id.as_deref().unwrap_or_default();
        *own.entry((order, &entry.kind)).or_default() += entry.amount;
    }
    let partner = partner(index);
    for life in Life::all(index) {
        let sum = |kind| own.get(&(life.order, kind)).copied().unwrap_or_default();
        let outside = |purpose| partner.get(&(life.order, purpose)).copied().unwrap_or_default();
        let taken = outside("charge") - sum("charge");
        let given = outside("refund") + sum("refund");
        charged(&life, taken, given, report);
        sold(&life, sales.get(life.order).copied(), report);
    }
}

fn balanced(entries: &[Entry], report: &mut Report) {
    let mut sums: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
    for entry in entries {
        let sum = sums.entry(&entry.cause).or_default();
        *sum = (sum.0 + entry.amount, entry.order_id.as_deref().unwrap_or_default());
    }
    for (cause, (sum, order)) in sums {
        report.expect(sum == 0, order, || format!("the entries of {cause} add up to {sum}"));
    }
}

fn balances(index: &Index<'_>, entries: &[Entry], report: &mut Report) {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in entries {
        if let Some(customer) = entry.account.strip_prefix("customer:") {
            *sums.entry(customer).or_default() += entry.amount;
        }
    }
    for Account { customer_id, balance } in &rows::<Account>(index, "payments", "account") {
        let sum = sums.remove(customer_id.as_str()).unwrap_or_default();
        report.expect(sum == *balance && *balance >= 0, "", || {
            format!("the account of {customer_id} has {balance}, its ledger says {sum}")
        });
    }
    for (customer, sum) in sums {
        report.expect(sum == 0, "", || format!("{customer} has movements and no account"));
    }
}

/// What the partner took and gave for each order, by purpose.
fn partner<'a>(index: &Index<'a>) -> BTreeMap<(&'a str, &'a str), i64> {
    let mut sums = BTreeMap::new();
    for call in index.evidence.partner.iter().filter(|call| call.effective) {
        *sums.entry((call.subject.as_str(), call.purpose.as_str())).or_default() += call.amount;
    }
    sums
}

fn charged(life: &Life<'_>, taken: i64, given: i64, report: &mut Report) {
    let amount = |name| life.field(name, &["amount", "amount"]).and_then(Value::as_i64);
    for (what, moved, name) in
        [("took", taken, PaymentAccepted::NAME), ("gave back", given, PaymentRefunded::NAME)]
    {
        let said = amount(name).unwrap_or_default();
        report.expect(moved == said, life.order, || {
            format!("the books {what} {moved}, {name} says {said}")
        });
    }
    let wanted = if life.confirmed() { life.total() } else { Some(0) };
    report.expect(Some(taken - given) == wanted, life.order, || {
        format!("the order has taken {} and should have taken {wanted:?}", taken - given)
    });
}

fn sold(life: &Life<'_>, sale: Option<&Sale>, report: &mut Report) {
    let total = |name| life.field(name, &["total", "amount"]).and_then(Value::as_i64);
    for name in [OrderConfirmed::NAME, SaleConfirmed::NAME] {
        report.expect(!life.has(name) || total(name) == life.total(), life.order, || {
            format!("{name} says {:?}, the order costs {:?}", total(name), life.total())
        });
    }
    let counts = sale.is_some_and(|sale| sale.state == "confirmed");
    report.expect(counts == life.confirmed(), life.order, || {
        let state = sale.map_or("not there", |sale| &sale.state);
        format!("the sale is {state}, and confirmed is {}", life.confirmed())
    });
    let booked = sale.filter(|sale| sale.state != "tombstone").map(|sale| sale.total);
    report.expect(booked.is_none_or(|booked| booked == life.total()), life.order, || {
        format!("the sale amounts to {booked:?}, the order to {:?}", life.total())
    });
}

/// A partner acted at most once for each order and purpose, and was asked under one key.
pub(super) fn partner_once(index: &Index<'_>, report: &mut Report) {
    let mut acted: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut keys: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for call in &index.evidence.partner {
        let about = (call.subject.as_str(), call.purpose.as_str());
        *acted.entry(about).or_default() += usize::from(call.effective);
        keys.entry(about).or_default().insert(&call.key);
    }
    for ((order, purpose), times) in acted {
        report.expect(times <= 1, order, || format!("the partner did the {purpose} {times} times"));
        let keys = keys[&(order, purpose)].len();
        report.expect(keys <= 1, order, || format!("the {purpose} was asked under {keys} keys"));
    }
}
