//! The story of an order in sentences, one for each fact. Pure.

use schemas::Timestamp;
use serde::Serialize;

use super::{Owed, Why};
use crate::{Happened, OrderView};

/// One step of an order in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// When it happened; for what is owed, since when.
    pub at: Timestamp,
    /// Milliseconds after the fact before it.
    pub after_ms: i64,
    /// What happened.
    pub text: String,
    /// The fact; none when it is still owed.
    pub fact: Option<String>,
}

/// Everything that happened to an order, and then what is owed and why.
pub fn explain(order: &OrderView, owed: &[(Owed, Why)], now: Timestamp) -> Vec<Sentence> {
    let mut before = None;
    let mut sentences: Vec<Sentence> = order
        .history
        .iter()
        .map(|happened| {
            let at = happened.occurred_at;
            let after_ms = at.millis() - before.replace(at).unwrap_or(at).millis();
            let fact = Some(happened.fact.clone());
            Sentence { at, after_ms, text: told(order, happened), fact }
        })
        .collect();
    sentences.extend(owed.iter().map(|(owed, why)| Sentence {
        at: owed.since(),
        after_ms: now.millis() - owed.since().millis(),
        text: format!("{}: {}", owed.sentence(now), why.sentence(now)),
        fact: None,
    }));
    sentences
}

fn told(order: &OrderView, happened: &Happened) -> String {
    let total = order.total.map_or_else(|| "the total".to_owned(), |total| total.to_string());
    let reason = || order.reason.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match happened.fact.as_str() {
        "OrderPlaced" => placed(order, &total),
        "StockReserved" => "stock reserved every line".to_owned(),
        "StockUnavailable" => {
            let short = order
                .missing
                .iter()
                .map(|line| format!("{} of {} {}", line.available, line.wanted, line.sku));
            let short = short.collect::<Vec<_>>().join(", ");
            let short = if short.is_empty() { String::new() } else { format!(": only {short}") };
            format!("stock has too little and reserved nothing{short}")
        }
        "PaymentAccepted" => format!("payments charged {total}"),
        "PaymentRefused" => format!("payments charged nothing{}", reason()),
        "SaleConfirmed" => "sales recorded the sale".to_owned(),
        "OrderConfirmed" => "the order ended as confirmed".to_owned(),
        "OrderRejected" => "the order ended as rejected: the store has too little".to_owned(),
        "OrderRefused" => format!("the order ended as refused{}", reason()),
        "OrderCancelled" if order.status == "expired" => {
            "the order expired: a step took too long".to_owned()
        }
        "OrderCancelled" => format!("the order was cancelled{}", reason()),
        "StockReleased" => "stock gave back what it had reserved".to_owned(),
        "PaymentRefunded" => "payments gave the money back".to_owned(),
        "SaleCancelled" => "sales took the sale back".to_owned(),
        other => format!("{} said {other}", happened.producer),
    }
}

fn placed(order: &OrderView, total: &str) -> String {
    let name = |id: Option<String>| id.unwrap_or_else(|| "?".to_owned());
    let customer = name(order.customer_id.as_ref().map(ToString::to_string));
    let store = name(order.store_id.as_ref().map(ToString::to_string));
    let lines = order.lines.iter().map(|line| format!("{} x {}", line.quantity, line.sku));
    let lines = lines.collect::<Vec<_>>().join(", ");
    format!("customer {customer} ordered {lines} for {total} in store {store}")
}
