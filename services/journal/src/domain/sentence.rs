//! What a fact says, as a sentence for people.

use schemas::history::What;
use schemas::{OrderLine, ReleasedLine, ShortLine};

/// What a fact says.
pub(super) fn sentence(what: &What) -> String {
    match what {
        What::OrderPlaced(it) => format!(
            "customer {} ordered {} for {} in store {}",
            it.customer_id,
            lines(&it.lines),
            it.total,
            it.store_id
        ),
        What::StockReserved(it) => format!("{} reserved", lines(&it.lines)),
        What::StockUnavailable(it) => format!("too little in stock: {}", missing(&it.missing)),
        What::StockReleased(it) => format!("{} released", released(&it.lines)),
        What::PaymentAccepted(it) => format!("payment of {} accepted", it.amount),
        What::PaymentRefused(it) => {
            format!("payment of {} refused, {}", it.amount, it.reason.as_str())
        }
        What::PaymentRefunded(it) => format!("payment of {} refunded", it.amount),
        What::SaleConfirmed(it) => format!("sale {} of {} recorded", it.sale_id, it.total),
        What::SaleCancelled(it) => format!("sale {} cancelled", it.sale_id),
        What::OrderConfirmed(it) => format!("order confirmed for {}", it.total),
        What::OrderRejected(it) => format!("order rejected, short of {}", missing(&it.missing)),
        What::OrderRefused(it) => format!("order refused, {}", it.reason.as_str()),
        What::OrderCancelled(it) => {
            let reason = it.reason.as_ref().map(|reason| format!(": {reason}"));
            format!("order cancelled by {}{}", it.by.as_str(), reason.unwrap_or_default())
        }
    }
}

fn lines(lines: &[OrderLine]) -> String {
    joined(lines.iter().map(|line| format!("{} x {}", line.quantity, line.sku)))
}

fn released(lines: &[ReleasedLine]) -> String {
    joined(lines.iter().map(|line| format!("{} x {}", line.quantity, line.sku)))
}

fn missing(lines: &[ShortLine]) -> String {
    let short = |line: &ShortLine| format!("{} ({} of {})", line.sku, line.available, line.wanted);
    joined(lines.iter().map(short))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
