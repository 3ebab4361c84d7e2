//! The JSON that goes out of the front door. It decides nothing.

use std::collections::HashMap;

use millrace::Fault;
use schemas::history::{Fact, Facts, Status, Summary};
use schemas::{CustomerId, Money, OrderId, OrderLine, ShortLine, StoreId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Listed;

/// An amount of money: `{"amount":"19.90","currency":"CAD"}`.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "it describes the JSON form of `Money` and is never made")]
pub(super) struct MoneyBody {
    /// A decimal number with as many digits after the point as the currency has.
    amount: String,
    /// Three letters of ISO 4217.
    currency: String,
}

/// An article of an order.
#[derive(ToSchema)]
#[schema(as = OrderLine)]
#[expect(dead_code, reason = "it describes the JSON form of `OrderLine` and is never made")]
pub(super) struct LineBody {
    sku: String,
    quantity: i64,
    unit_price: MoneyBody,
}

/// An article of which the store had too little.
#[derive(ToSchema)]
#[schema(as = ShortLine)]
#[expect(dead_code, reason = "it describes the JSON form of `ShortLine` and is never made")]
pub(super) struct ShortBody {
    sku: String,
    wanted: i64,
    available: i64,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderBody {
    #[schema(value_type = Uuid)]
    order_id: OrderId,
    #[schema(value_type = String)]
    status: Status,
    #[schema(value_type = Option<String>)]
    customer_id: Option<CustomerId>,
    #[schema(value_type = Option<String>)]
    store_id: Option<StoreId>,
    #[schema(value_type = Vec<LineBody>)]
    lines: Vec<OrderLine>,
    #[schema(value_type = Option<MoneyBody>)]
    total: Option<Money>,
    #[schema(value_type = Option<String>, format = DateTime)]
    placed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Articles of which the store had too little.
    #[schema(value_type = Vec<ShortBody>)]
    missing: Vec<ShortLine>,
    /// Why it ended, when somebody said so.
    reason: Option<String>,
    /// It has ended, and nothing that was done for it is still to be undone.
    settled: bool,
    /// How many facts are known; give it as `version` to wait for more.
    version: usize,
    /// Why what was said last is not folded: this is how the order stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<String>,
    /// What was said, causes before effects.
    history: Vec<FactBody>,
}

/// Something that was said about an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FactBody {
    /// For example `StockReserved`.
    fact: &'static str,
    /// The service that said it.
    producer: String,
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    /// Its place among the facts of this order from this service, from 1.
    version: u64,
    /// The topic it was read from.
    topic: String,
    /// Its partition there.
    partition: i32,
    /// Its offset there.
    offset: i64,
}

/// An order as it is listed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedBody {
    #[schema(value_type = Uuid)]
    order_id: OrderId,
    status: String,
    customer_id: Option<String>,
    store_id: Option<String>,
    #[schema(value_type = Option<MoneyBody>)]
    total: Option<Money>,
    #[schema(value_type = Option<String>, format = DateTime)]
    placed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    closed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// How many facts are known.
    version: i64,
    /// Why what was said last is not folded: this is how the order stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<String>,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrdersPage {
    items: Vec<ListedBody>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(value_type = Option<Uuid>)]
    next_cursor: Option<OrderId>,
}

impl OrderBody {
    pub(super) fn of(order_id: OrderId, facts: &Facts, stale: Option<String>) -> Self {
        let summary = facts.summary();
        let Summary { status, customer, store, lines, total, missing, reason, settled, .. } =
            summary;
        Self {
            order_id,
            status,
            customer_id: customer,
            store_id: store,
            lines,
            total,
            placed_at: summary.placed_at,
            closed_at: summary.closed_at,
            updated_at: summary.updated_at,
            missing,
            reason,
            settled,
            version: facts.iter().len(),
            stale,
            history: facts.iter().map(FactBody::of).collect(),
        }
    }
}

impl FactBody {
    fn of(fact: &Fact) -> Self {
        Self {
            fact: fact.what.name(),
            producer: fact.producer.clone(),
            occurred_at: fact.occurred_at,
            version: fact.version,
            topic: fact.topic.clone(),
            partition: fact.partition,
            offset: fact.offset,
        }
    }
}

impl OrdersPage {
    pub(super) fn of(
        listed: Vec<Listed>,
        mut stale: HashMap<String, String>,
        limit: usize,
    ) -> Result<Self, Fault> {
        let last = listed.last().filter(|_| listed.len() == limit);
        let next_cursor = last.map(|listed| OrderId::new(listed.order_id));
        let item = |listed: Listed| {
            let stale = stale.remove(&listed.order_id.to_string());
            ListedBody::of(listed, stale)
        };
        let items = listed.into_iter().map(item).collect::<Result<_, _>>()?;
        Ok(Self { items, next_cursor })
    }
}

impl ListedBody {
    fn of(listed: Listed, stale: Option<String>) -> Result<Self, Fault> {
        Ok(Self {
            order_id: OrderId::new(listed.order_id),
            total: listed.total()?,
            placed_at: listed.placed_at(),
            closed_at: listed.closed_at(),
            updated_at: listed.updated_at(),
            version: listed.version(),
            stale,
            status: listed.status,
            customer_id: listed.customer_id,
            store_id: listed.store_id,
        })
    }
}
