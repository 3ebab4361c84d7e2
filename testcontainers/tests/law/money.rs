//! I8 and I15: money is neither made nor lost. Every movement balances, an order has taken its
//! total if it was confirmed and nothing otherwise, and a partner did each thing once.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::{Index, Report};
use millrace::Event;
use schemas::{OrderConfirmed, PaymentAccepted, PaymentRefunded, SaleConfirmed};
use serde::Deserialize;
use serde_json::Value;

use super::{Life, rows};

/// The account by which our books know the partner.
const PROVIDER: &str = "provider";

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
    let mut outside: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for entry in &entries {
        let about = (entry.order_id.as_deref().unwrap_or_default(), entry.kind.as_str());
        if entry.account == PROVIDER {
            *outside.entry(about).or_default() += entry.amount;
        }
        if entry.account == PROVIDER || entry.account.starts_with("customer:") {
            *own.entry(about).or_default() += entry.amount;
        }
    }
    for life in Life::all(index) {
        let moved = |kind| own.get(&(life.order, kind)).copied().unwrap_or_default();
        charged(&life, -moved("charge"), moved("refund"), report);
        sold(&life, sales.get(life.order).copied(), report);
    }
    agreed(index, &outside, report);
}

/// The partner's ledger and ours say the same of each order, if anybody asked the partner.
fn agreed(index: &Index<'_>, own: &BTreeMap<(&str, &str), i64>, report: &mut Report) {
    let calls = &index.evidence.partner;
    let acted = calls.iter().filter(|call| call.effective);
    let mut theirs: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for call in acted {
        *theirs.entry((&call.subject, &call.purpose)).or_default() += call.amount;
    }
    for ((order, purpose), sum) in &theirs {
        let ours = own.get(&(*order, *purpose)).copied().unwrap_or_default().abs();
        report.expect(*sum == ours, order, || {
            format!("the partner's {purpose} amounts to {sum}, our books say {ours}")
        });
    }
    let mut unknown: Vec<_> = own.keys().filter(|about| !theirs.contains_key(*about)).collect();
    unknown.retain(|_| !calls.is_empty());
    for (order, purpose) in unknown {
        report.found(
            *order,
            format!("our books have a {purpose} of which the partner knows nothing"),
        );
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
