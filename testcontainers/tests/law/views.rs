//! I10: whatever is a function of facts is that function of exactly the facts in the topics: the
//! order view, what `orders` knows of each step, and every copy of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use harness::check::{Index, Report};
use millrace::Event;
use schemas::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefused, OrderRejected, PaymentAccepted,
    PaymentRefunded, PaymentRefused, ProductState, SaleCancelled, SaleConfirmed, StockReleased,
    StockReserved, StockUnavailable,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Life, rows, text};

#[derive(Deserialize)]
struct Viewed {
    order_id: String,
    status: String,
    customer_id: Option<String>,
    store_id: Option<String>,
    total: Option<i64>,
    version: i64,
}

#[derive(Deserialize)]
struct Known {
    order_id: String,
    status: String,
    stock: String,
    payment: String,
    sale: String,
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Article {
    sku: String,
    name: String,
    price: i64,
    currency: String,
    withdrawn: bool,
}

/// Folds the topics anew and compares.
pub(super) fn projection(index: &Index<'_>, report: &mut Report) {
    let lives = Life::all(index);
    viewed(index, &lives, report);
    known(index, &lives, report);
    articles(index, report);
}

fn viewed(index: &Index<'_>, lives: &[Life<'_>], report: &mut Report) {
    let rows: Vec<Viewed> = rows(index, "order-view", "order_view");
    let mut rows: BTreeMap<&str, &Viewed> =
        rows.iter().map(|row| (row.order_id.as_str(), row)).collect();
    for life in lives {
        let Some(row) = rows.remove(life.order) else {
            report.found(life.order, "the order view does not know the order");
            continue;
        };
        let told = |name| life.field(OrderPlaced::NAME, &[name]).and_then(Value::as_str);
        let wanted = (status(life), life.facts.len() as i64, told("customer_id"), told("store_id"));
        let found =
            (row.status.as_str(), row.version, row.customer_id.as_deref(), row.store_id.as_deref());
        report.expect(wanted == found && row.total == life.total(), life.order, || {
            format!(
                "the view says {found:?} {:?}, its facts {wanted:?} {:?}",
                row.total,
                life.total()
            )
        });
    }
    for stranger in rows.into_keys() {
        report.found(stranger, "the order view knows an order of which there is no fact");
    }
}

/// Where an order stands by its facts.
fn status(life: &Life<'_>) -> &'static str {
    let by = life.field(OrderCancelled::NAME, &["by"]).and_then(Value::as_str);
    let ladder = [
        (OrderConfirmed::NAME, "confirmed"),
        (OrderRejected::NAME, "rejected"),
        (OrderRefused::NAME, "refused"),
        (OrderCancelled::NAME, if by == Some("DEADLINE") { "expired" } else { "cancelled" }),
        (PaymentAccepted::NAME, "paid"),
        (StockReserved::NAME, "reserved"),
    ];
    ladder.iter().find(|(name, _)| life.has(name)).map_or("placed", |(_, status)| status)
}

fn known(index: &Index<'_>, lives: &[Life<'_>], report: &mut Report) {
    let rows: Vec<Known> = rows(index, "orders", "orders");
    let mut rows: BTreeMap<&str, &Known> =
        rows.iter().map(|row| (row.order_id.as_str(), row)).collect();
    for life in lives {
        let Some(row) = rows.remove(life.order) else {
            report.found(life.order, "orders does not know the order");
            continue;
        };
        let found = [&row.status, &row.stock, &row.payment, &row.sale].map(String::as_str);
        let wanted = [
            status(life),
            step(life, StockReserved::NAME, Some(StockUnavailable::NAME), StockReleased::NAME),
            step(life, PaymentAccepted::NAME, Some(PaymentRefused::NAME), PaymentRefunded::NAME),
            step(life, SaleConfirmed::NAME, None, SaleCancelled::NAME),
        ];
        report.expect(found == wanted, life.order, || {
            format!("orders says {found:?}, its facts {wanted:?}")
        });
    }
    for stranger in rows.into_keys() {
        report.found(stranger, "orders knows an order of which there is no fact");
    }
}

fn step(life: &Life<'_>, done: &str, failed: Option<&str>, undone: &str) -> &'static str {
    match () {
        () if life.has(undone) => "undone",
        () if failed.is_some_and(|failed| life.has(failed)) => "failed",
        () if life.has(done) => "done",
        () => "pending",
    }
}

/// The latest state of each article is what the catalogue and its copies have.
fn articles(index: &Index<'_>, report: &mut Report) {
    let mut latest: BTreeMap<&str, Article> = BTreeMap::new();
    for fact in index.once().filter(|fact| fact.name == ProductState::NAME) {
        let field = |name| fact.record.field(name);
        let word = |name| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let price = field("price");
        let article = Article {
            sku: fact.key.to_owned(),
            name: word("name"),
            price: price.and_then(|it| it.get("amount")?.as_i64()).unwrap_or_default(),
            currency: price.and_then(|it| text(it, "currency")).unwrap_or_default().to_owned(),
            withdrawn: field("withdrawn").and_then(Value::as_bool).unwrap_or_default(),
        };
        latest.insert(fact.key, article);
    }
    let wanted: BTreeSet<&Article> = latest.values().collect();
    for service in ["catalogue", "orders"] {
        let rows: Vec<Article> = rows(index, service, "product");
        let found: BTreeSet<&Article> = rows.iter().collect();
        for differs in wanted.symmetric_difference(&found) {
            report.found(&differs.sku, format!("{service} and the topic differ: {differs:?}"));
        }
        report.looked(found.len());
    }
}
