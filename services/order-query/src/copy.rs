//! What is kept of an order, and under what it is found. Pure.

use millrace::replica::{Entries, Replica};
use schemas::history::Status;
use schemas::{CustomerId, OrderId, OrderState, Sku, StoreId, Timestamp};

/// The copy of the states of all orders.
pub struct Orders;

const ALL: u8 = 0;
const STATUS: u8 = 1;
const STORE: u8 = 2;
const CUSTOMER: u8 = 3;
const SKU: u8 = 4;

/// Which orders are listed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) status: Option<Status>,
    pub(crate) store: Option<StoreId>,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) sku: Option<Sku>,
    pub(crate) placed_after: Option<Timestamp>,
    pub(crate) placed_before: Option<Timestamp>,
    /// In lower case; each has to be in the order somewhere.
    pub(crate) words: Vec<String>,
}

impl Replica for Orders {
    type State = OrderState;

    const FORM: u32 = 1;

    fn row(order: &OrderId) -> Vec<u8> {
        order.uuid().as_bytes().to_vec()
    }

    fn sorted_by(state: &OrderState) -> Timestamp {
        state.placed_at.unwrap_or(state.updated_at)
    }

    fn entries(state: &OrderState, entries: &mut Entries) {
        entries.add(ALL, "");
        entries.add(STATUS, state.status.as_str());
        if let Some(store) = &state.store_id {
            entries.add(STORE, store.as_str());
        }
        if let Some(customer) = &state.customer_id {
            entries.add(CUSTOMER, customer.as_str());
        }
        for line in &state.lines {
            entries.add(SKU, line.sku.as_str());
        }
    }
}

impl Filter {
    /// The index with the fewest orders to look at, and the value in it.
    pub(crate) fn index(&self) -> (u8, String) {
        if let Some(customer) = &self.customer {
            return (CUSTOMER, customer.to_string());
        }
        if let Some(sku) = &self.sku {
            return (SKU, sku.to_string());
        }
        if let Some(store) = &self.store {
            return (STORE, store.to_string());
        }
        match self.status {
            Some(status) => (STATUS, schemas::OrderStatus::from(status).as_str().to_owned()),
            None => (ALL, String::new()),
        }
    }

    /// Whether an order is listed.
    pub(crate) fn fits(&self, state: &OrderState) -> bool {
        let Self { status, store, customer, sku, placed_after, placed_before, words } = self;
        status.is_none_or(|status| state.status == status.into())
            && (store.is_none() || *store == state.store_id)
            && (customer.is_none() || *customer == state.customer_id)
            && sku.as_ref().is_none_or(|sku| state.lines.iter().any(|line| line.sku == *sku))
            && placed_after.is_none_or(|after| state.placed_at.is_some_and(|at| at >= after))
            && placed_before.is_none_or(|before| state.placed_at.is_some_and(|at| at < before))
            && (words.is_empty() || has_all(state, words))
    }
}

fn has_all(state: &OrderState, words: &[String]) -> bool {
    let mut text = format!("{}\n{}\n", state.order_id, state.status.as_str());
    let named = [
        state.customer_id.as_ref().map(CustomerId::as_str),
        state.store_id.as_ref().map(StoreId::as_str),
        state.reason.as_deref(),
    ];
    for part in named.into_iter().flatten().chain(state.lines.iter().map(|line| line.sku.as_str()))
    {
        text.push_str(part);
        text.push('\n');
    }
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::{Money, OrderLine, OrderStatus};
    use uuid::Uuid;

    fn order() -> OrderState {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let unit_price = Money::new(1990, "CAD".parse().unwrap());
        let line = OrderLine { sku: Sku::new("Mug.3").unwrap(), quantity: 1, unit_price };
        OrderState {
            order_id: OrderId::new(Uuid::from_u128(0xabc)),
            version: 3,
            status: OrderStatus::Paid,
            settled: false,
            customer_id: Some(CustomerId::new("anna").unwrap()),
            store_id: Some(StoreId::new("north").unwrap()),
            lines: vec![line],
            total: Some(unit_price),
            placed_at: Some(at("2026-11-21T10:00:00Z")),
            closed_at: None,
            updated_at: at("2026-11-21T10:00:01Z"),
            missing: vec![],
            reason: None,
        }
    }

    fn words(text: &str) -> Filter {
        Filter { words: text.split(' ').map(str::to_owned).collect(), ..Filter::default() }
    }

    #[test]
    fn an_order_is_listed_when_all_that_is_said_fits() {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let none = Filter::default();
        let cases = [
            (none.clone(), true),
            (Filter { status: Some(Status::Paid), ..none.clone() }, true),
            (Filter { status: Some(Status::Placed), ..none.clone() }, false),
            (Filter { store: StoreId::new("south").ok(), ..none.clone() }, false),
            (Filter { customer: CustomerId::new("anna").ok(), ..none.clone() }, true),
            (Filter { sku: Sku::new("Mug.3").ok(), ..none.clone() }, true),
            (Filter { sku: Sku::new("mug.3").ok(), ..none.clone() }, false),
            (Filter { placed_after: at("2026-11-21T10:00:00Z"), ..none.clone() }, true),
            (Filter { placed_before: at("2026-11-21T10:00:00Z"), ..none }, false),
            (words("mug north"), true),
            (words("0abc paid"), true),
            (words("mug south"), false),
        ];
        for (filter, wanted) in cases {
            assert_eq!(filter.fits(&order()), wanted, "{filter:?}");
        }
    }

    #[test]
    fn every_filter_looks_where_its_orders_are() {
        let mut entries = Entries::default();
        Orders::entries(&order(), &mut entries);
        let told = format!("{entries:?}");
        let filters = [
            Filter::default(),
            Filter { status: Some(Status::Paid), ..Filter::default() },
            Filter { store: order().store_id, ..Filter::default() },
            Filter { customer: order().customer_id, ..Filter::default() },
            Filter { sku: Some(order().lines[0].sku.clone()), ..Filter::default() },
        ];
        for filter in filters {
            let (index, value) = filter.index();
            let mut one = Entries::default();
            one.add(index, &value);
            let one = format!("{one:?}");
            let inner = one.trim_start_matches("Entries([").trim_end_matches("])");
            assert!(told.contains(inner), "{inner} in {told}");
        }
    }
}
