//! The JSON that goes in and out of the front door. It decides nothing.

use schemas::{CustomerId, Money, OrderId, Sku, StoreId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{Desk, Refusal};

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

/// Whose cart it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCart {
    #[schema(value_type = String)]
    pub(super) customer_id: CustomerId,
    /// Where the goods are to come from.
    #[schema(value_type = String)]
    pub(super) store_id: StoreId,
}

/// Pieces of an article.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[schema(value_type = String)]
    pub(super) sku: Sku,
    #[schema(minimum = 1, maximum = 10_000)]
    pub(super) quantity: i64,
}

/// How many pieces.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quantity {
    #[schema(minimum = 1, maximum = 10_000)]
    pub(super) quantity: i64,
}

/// An order without a cart.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOrder {
    #[schema(value_type = String)]
    pub(super) customer_id: CustomerId,
    #[schema(value_type = String)]
    pub(super) store_id: StoreId,
    /// At most 50 different articles; lines of the same article are added up.
    pub(super) lines: Vec<Line>,
    /// When the customer ordered, when that was earlier.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) placed_at: Option<Timestamp>,
    /// What the partner calls the order, in at most 64 characters.
    #[serde(default)]
    pub(super) order_ref: Option<String>,
}

/// Why the order is not wanted any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancellation {
    /// In the customer's words, in at most 500 characters.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

/// Where to follow an order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Followed {
    #[schema(value_type = Uuid)]
    pub(super) order_id: OrderId,
    pub(super) status: &'static str,
    /// The order in the order view.
    pub(super) follow: String,
}

/// A cart.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CartBody {
    cart_id: Uuid,
    #[schema(value_type = String)]
    customer_id: CustomerId,
    #[schema(value_type = String)]
    store_id: StoreId,
    lines: Vec<CartLine>,
    /// The sum of the lines; null when there are none, or when they have no common sum.
    #[schema(value_type = Option<MoneyBody>)]
    total: Option<Money>,
    /// The order it became; then it changes no more.
    #[schema(value_type = Option<Uuid>)]
    order_id: Option<OrderId>,
}

/// An article in a cart.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CartLine {
    #[schema(value_type = String)]
    sku: Sku,
    name: Option<String>,
    quantity: i64,
    /// The price of one piece now; null when the article is no longer sold.
    #[schema(value_type = Option<MoneyBody>)]
    unit_price: Option<Money>,
}

impl CartBody {
    pub(super) fn of(desk: &Desk, cart_id: Uuid) -> Result<Self, Refusal> {
        let cart = desk.cart(cart_id)?.clone();
        let line = |(sku, quantity): (&Sku, i64)| {
            let product = desk.products().get(sku);
            let sold = product.filter(|product| !product.withdrawn);
            CartLine {
                sku: sku.clone(),
                name: product.map(|product| product.name.clone()),
                quantity,
                unit_price: sold.map(|product| product.price),
            }
        };
        Ok(Self {
            cart_id,
            customer_id: cart.customer,
            store_id: cart.store,
            lines: cart.lines.iter().map(line).collect(),
            total: desk.price(&cart.lines).ok().map(|(_, total)| total),
            order_id: cart.order,
        })
    }
}
