//! The JSON that the services take and give, typed.

use schemas::{CustomerId, Money, OrderId, OrderLine, SaleId, ShortLine, Sku, StoreId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::call::Call;

/// An article of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its number.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// The price of one piece.
    pub price: Money,
    /// What kind of article it is.
    pub category: String,
}

/// The journal of an order at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// The order.
    pub order_id: OrderId,
    /// How many entries it has now.
    pub length: u64,
    /// The end of its chain now.
    pub hash: String,
    /// Who froze it, why and when.
    pub frozen: Option<Value>,
    /// How many entries the moment knows.
    pub version: u64,
    /// What they amount to; none before the first fact.
    pub state: Option<Value>,
    /// Why there is no state.
    pub note: Option<String>,
    /// In the order in which they were recorded.
    pub entries: Vec<Recorded>,
}

/// An entry of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Its place, from 1.
    pub seq: u64,
    /// Identity of the fact.
    pub event_id: Uuid,
    /// Its full name.
    pub fact: String,
    /// The service that said it.
    pub producer: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The end of the chain behind it.
    pub hash: String,
    /// What it says; null when its bytes cannot be read.
    pub data: Value,
    /// Why its bytes cannot be read.
    pub unreadable: Option<String>,
}

/// What a store has of an article, in units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The store.
    pub store: StoreId,
    /// The article.
    pub sku: Sku,
    /// What is in the store.
    pub on_hand: i64,
    /// What of it is promised to orders.
    pub reserved: i64,
    /// What an order can still take.
    pub available: i64,
}

/// What a customer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whose it is.
    pub customer: CustomerId,
    /// What is there to spend.
    pub balance: Money,
}

/// What a customer is about to order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// Its id.
    pub cart_id: Uuid,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Where the goods are to come from.
    pub store_id: StoreId,
    /// What is in it.
    pub lines: Vec<CartLine>,
    /// The sum, if there is one.
    pub total: Option<Money>,
    /// The order it became.
    pub order_id: Option<OrderId>,
}

/// An article in a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// The article.
    pub sku: Sku,
    /// How many pieces.
    pub quantity: i64,
    /// The price of one piece now, if it is still sold.
    pub unit_price: Option<Money>,
}

/// An order was taken down; what becomes of it is to be followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its id.
    pub order_id: OrderId,
    /// `placed` or `cancelled`.
    pub status: String,
    /// Where it is followed.
    pub follow: String,
}

/// An order as the order view knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Its id.
    pub order_id: OrderId,
    /// `placed`, `reserved`, `paid`, or one of the ends: `confirmed`, `rejected`, `refused`,
    /// `cancelled`, `expired`.
    pub status: String,
    /// Who placed it.
    pub customer_id: Option<CustomerId>,
    /// Where the goods come from.
    pub store_id: Option<StoreId>,
    /// What is ordered.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub total: Option<Money>,
    /// When it was placed.
    pub placed_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// When the latest fact happened.
    pub updated_at: Timestamp,
    /// Articles of which the store had too little.
    pub missing: Vec<ShortLine>,
    /// Why it ended, when somebody said so.
    pub reason: Option<String>,
    /// It has ended, and nothing that was done for it is still to be undone.
    pub settled: bool,
    /// How many facts are known.
    pub version: u64,
    /// Why what was said last is not folded: this is how the order stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
    /// What happened to it, causes before effects.
    pub history: Vec<Happened>,
}

/// One fact in the life of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Name of the fact.
    pub fact: String,
    /// The service that says so.
    pub producer: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Its place among the facts of this order from this service, from 1.
    pub version: u64,
    /// The topic it was read from, without the deployment's prefix.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
}

/// An order as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedOrder {
    /// Its id.
    pub order_id: OrderId,
    /// Where it stands, in the words of [`OrderView`].
    pub status: String,
    /// Who placed it.
    pub customer_id: Option<CustomerId>,
    /// Where the goods come from.
    pub store_id: Option<StoreId>,
    /// What it costs.
    pub total: Option<Money>,
    /// When it was placed.
    pub placed_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// When the latest fact happened.
    pub updated_at: Timestamp,
    /// How many facts are known.
    pub version: u64,
    /// Why what was said last is not folded: this is how the order stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

/// Which orders are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only those that stand here.
    pub status: Option<String>,
    /// Only those of this store.
    pub store: Option<StoreId>,
    /// Only those of this customer.
    pub customer: Option<CustomerId>,
    /// Only those that are settled, or only those that are not.
    pub settled: Option<bool>,
    /// Only those of which nothing was heard since.
    pub quiet_since: Option<Timestamp>,
    /// At most so many on a page.
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPage {
    /// The orders.
    pub items: Vec<ListedOrder>,
    /// The `cursor` of the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// A sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Its id.
    pub sale_id: SaleId,
    /// The order it came from.
    pub order_id: OrderId,
    /// Who bought.
    pub customer_id: CustomerId,
    /// Where.
    pub store_id: StoreId,
    /// `confirmed` or `cancelled`.
    pub status: String,
    /// What was sold.
    pub lines: Vec<OrderLine>,
    /// For how much.
    pub total: Money,
    /// Since when it counts.
    pub confirmed_at: Timestamp,
    /// Since when it counts no more.
    pub cancelled_at: Option<Timestamp>,
}

impl OrderView {
    /// Whether nothing more will become of it.
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "placed" | "reserved" | "paid")
    }

    /// From the fact that placed it to the fact that ended it, in milliseconds.
    pub fn took_ms(&self) -> Option<u64> {
        let micros = self.closed_at?.micros().checked_sub(self.placed_at?.micros())?;
        u64::try_from(micros / 1000).ok()
    }
}

impl OrderFilter {
    pub(super) fn query(&self, call: Call) -> Call {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let fields = [
            ("status", self.status.clone()),
            ("store", text(self.store.as_ref().map(StoreId::as_str))),
            ("customer", text(self.customer.as_ref().map(CustomerId::as_str))),
            ("settled", self.settled.map(|settled| settled.to_string())),
            ("quiet_since", self.quiet_since.map(|since| since.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", self.cursor.clone()),
        ];
        fields.into_iter().fold(call, |call, (name, value)| match value {
            Some(value) => call.query(name, value),
            None => call,
        })
    }
}
