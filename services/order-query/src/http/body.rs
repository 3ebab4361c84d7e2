//! The JSON that goes out of the front door. It decides nothing.

use schemas::{
    CustomerId, Money, OrderId, OrderLine, OrderState, ShortLine, StoreId, Timestamp,
    history::Status,
};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// Null when this service is older than the status.
    #[schema(value_type = Option<String>)]
    status: Option<Status>,
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
    /// How many facts are known; give it as `version` to any replica and never see less.
    version: i64,
    /// Why the latest state of the order cannot be read, so that this one may be an earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<String>,
}

/// A page of orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrdersPage {
    /// At most as many as were asked for. There may be fewer although there is a next page.
    items: Vec<OrderBody>,
    /// The `cursor` of the next page; null on the last one.
    next_cursor: Option<String>,
}

/// The order of an event that tells of its end.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErasedBody {
    #[schema(value_type = Uuid)]
    pub(super) order_id: OrderId,
}

impl OrderBody {
    pub(super) fn of(state: OrderState, stale: Option<String>) -> Self {
        Self {
            order_id: state.order_id,
            status: Status::of(state.status),
            customer_id: state.customer_id,
            store_id: state.store_id,
            lines: state.lines,
            total: state.total,
            placed_at: state.placed_at,
            closed_at: state.closed_at,
            updated_at: state.updated_at,
            missing: state.missing,
            reason: state.reason,
            settled: state.settled,
            version: state.version,
            stale,
        }
    }
}

impl OrdersPage {
    pub(super) fn of(states: Vec<OrderState>, next_cursor: Option<String>) -> Self {
        let items = states.into_iter().map(|state| OrderBody::of(state, None)).collect();
        Self { items, next_cursor }
    }
}
