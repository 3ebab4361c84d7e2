//! The services as an operator or a customer calls them. It repeats what may be repeated while
//! somebody is away, for a bounded time, and decides nothing about orders.

mod body;
mod call;

use std::time::Duration;

use reqwest::Method;
use schemas::{Currency, CustomerId, Money, OrderId, SaleId, Sku, StoreId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::Endpoints;

pub use body::{
    Account, Cart, CartLine, Happened, Journal, Level, ListedOrder, OrderFilter, OrderPage,
    OrderView, Placed, Product, Recorded, Sale,
};
pub use call::{ClientError, Place};

use call::Call;
pub(crate) use call::innermost;

/// A client of all services. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Retailer {
    endpoints: Endpoints,
    http: reqwest::Client,
    patience: Duration,
}

impl Retailer {
    /// How long a client waits for a service that is away, unless told otherwise.
    pub const PATIENCE: Duration = Duration::from_secs(2);

    /// A client of the system that is there.
    pub fn new(endpoints: Endpoints) -> Self {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("a client without special TLS settings can be built");
        Self { endpoints, http, patience: Self::PATIENCE }
    }

    /// The same, with another bound on how long one call may be repeated.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it looks.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Lists an article, or changes it.
    pub async fn put_product(&self, product: &Product) -> Result<(), ClientError> {
        let path = ["v1", "products", product.sku.as_str()];
        let Product { name, price, category, .. } = product;
        let body = json!({ "name": name, "price": price, "category": category });
        self.done(Call::new("catalogue", Method::PUT, &path).body(body)).await
    }

    /// Lists or changes at most 500 articles: all or none.
    pub async fn put_products(&self, products: &[Product], key: Uuid) -> Result<(), ClientError> {
        let call = Call::new("catalogue", Method::POST, &["v1", "product-batches"]);
        self.done(call.key(key).body(json!({ "products": products }))).await
    }

    /// What the catalogue says of an article.
    pub async fn product(&self, sku: &Sku) -> Result<Product, ClientError> {
        self.answer(Call::new("catalogue", Method::GET, &["v1", "products", sku.as_str()])).await
    }

    /// Whether the catalogue sells an article now.
    pub(crate) async fn is_sold(&self, sku: &str) -> Result<bool, ClientError> {
        #[derive(serde::Deserialize)]
        struct Sold {
            withdrawn: bool,
        }
        let asked = self.answer(Call::new("catalogue", Method::GET, &["v1", "products", sku]));
        match asked.await {
            Ok(Sold { withdrawn }) => Ok(!withdrawn),
            Err(ClientError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes an article off the list.
    pub async fn withdraw_product(&self, sku: &Sku) -> Result<(), ClientError> {
        let path = ["v1", "products", sku.as_str()];
        self.done(Call::new("catalogue", Method::DELETE, &path)).await
    }

    /// Takes goods into a store, once for each key.
    pub async fn receive_stock(
        &self,
        store: &StoreId,
        sku: &Sku,
        quantity: i64,
        key: Uuid,
    ) -> Result<Level, ClientError> {
        let path = ["v1", "stores", store.as_str(), "stock", sku.as_str(), "receipts"];
        let call = Call::new("stock", Method::POST, &path).key(key);
        self.answer(call.body(json!({ "quantity": quantity }))).await
    }

    /// Takes in at most 500 receipts of store, article and quantity: all or none, once for each
    /// key.
    pub async fn receive_stocks(
        &self,
        receipts: &[(StoreId, Sku, i64)],
        key: Uuid,
    ) -> Result<(), ClientError> {
        let line = |(store, sku, quantity): &(StoreId, Sku, i64)| json!({ "store": store, "sku": sku, "quantity": quantity });
        let receipts: Vec<_> = receipts.iter().map(line).collect();
        let call = Call::new("stock", Method::POST, &["v1", "stock-receipts"]).key(key);
        self.done(call.body(json!({ "receipts": receipts }))).await
    }

    /// What a store has of an article.
    pub async fn level(&self, store: &StoreId, sku: &Sku) -> Result<Level, ClientError> {
        let path = ["v1", "stores", store.as_str(), "stock", sku.as_str()];
        self.answer(Call::new("stock", Method::GET, &path)).await
    }

    /// Opens an account; doing it again changes nothing.
    pub async fn open_account(
        &self,
        customer: &CustomerId,
        currency: Currency,
    ) -> Result<Account, ClientError> {
        let call = Call::new("payments", Method::PUT, &["v1", "accounts", customer.as_str()]);
        self.answer(call.body(json!({ "currency": currency }))).await
    }

    /// Pays into an account, once for each key.
    pub async fn deposit(
        &self,
        customer: &CustomerId,
        amount: Money,
        key: Uuid,
    ) -> Result<Account, ClientError> {
        let path = ["v1", "accounts", customer.as_str(), "deposits"];
        let call = Call::new("payments", Method::POST, &path).key(key);
        self.answer(call.body(json!({ "amount": amount }))).await
    }

    /// Pays into at most 500 accounts, which are opened where there are none: all or none, once
    /// for each key.
    pub async fn deposits(
        &self,
        deposits: &[(CustomerId, Money)],
        key: Uuid,
    ) -> Result<(), ClientError> {
        let line = |(customer, amount): &(CustomerId, Money)| json!({ "customer": customer, "amount": amount });
        let deposits: Vec<_> = deposits.iter().map(line).collect();
        let call = Call::new("payments", Method::POST, &["v1", "deposits"]).key(key);
        self.done(call.body(json!({ "deposits": deposits }))).await
    }

    /// What a customer has.
    pub async fn account(&self, customer: &CustomerId) -> Result<Account, ClientError> {
        self.answer(Call::new("payments", Method::GET, &["v1", "accounts", customer.as_str()]))
            .await
    }

    /// Begins a cart.
    pub async fn open_cart(
        &self,
        customer: &CustomerId,
        store: &StoreId,
    ) -> Result<Cart, ClientError> {
        let body = json!({ "customer_id": customer, "store_id": store });
        self.answer(Call::new("orders", Method::POST, &["v1", "carts"]).body(body)).await
    }

    /// Adds pieces of an article to a cart.
    pub async fn add_to_cart(
        &self,
        cart: Uuid,
        sku: &Sku,
        quantity: i64,
    ) -> Result<Cart, ClientError> {
        let path = ["v1", "carts", &cart.to_string(), "lines"];
        let body = json!({ "sku": sku, "quantity": quantity });
        self.answer(Call::new("orders", Method::POST, &path).body(body)).await
    }

    /// A cart at the prices of now.
    pub async fn cart(&self, cart: Uuid) -> Result<Cart, ClientError> {
        self.answer(Call::new("orders", Method::GET, &["v1", "carts", &cart.to_string()])).await
    }

    /// Turns a cart into an order, once for each key.
    pub async fn check_out(&self, cart: Uuid, key: Uuid) -> Result<Placed, ClientError> {
        let path = ["v1", "carts", &cart.to_string(), "checkout"];
        self.answer(Call::new("orders", Method::POST, &path).key(key)).await
    }

    /// Places an order without a cart, once for each key.
    pub async fn place_order(
        &self,
        customer: &CustomerId,
        store: &StoreId,
        lines: &[(Sku, i64)],
        key: Uuid,
    ) -> Result<Placed, ClientError> {
        let line = |(sku, quantity): &(Sku, i64)| json!({ "sku": sku, "quantity": quantity });
        let lines: Vec<_> = lines.iter().map(line).collect();
        let body = json!({ "customer_id": customer, "store_id": store, "lines": lines });
        self.answer(Call::new("orders", Method::POST, &["v1", "orders"]).key(key).body(body)).await
    }

    /// Places an order of a partner, who has a name for it and knows when it was ordered.
    pub(crate) async fn place_referenced(
        &self,
        order: &crate::import::Order,
        key: Uuid,
    ) -> Result<Placed, ClientError> {
        let call = Call::new("orders", Method::POST, &["v1", "orders"]).key(key);
        self.answer(call.body(order.body())).await
    }

    /// Cancels an order that has not ended.
    pub async fn cancel(
        &self,
        order: OrderId,
        reason: Option<&str>,
    ) -> Result<Placed, ClientError> {
        let path = ["v1", "orders", &order.to_string(), "cancel"];
        self.answer(Call::new("orders", Method::POST, &path).body(json!({ "reason": reason })))
            .await
    }

    /// An order as the order view knows it now, or after at most `wait` (25 s count, not more) once
    /// it has ended. An order that was placed a moment ago may not be known yet.
    pub async fn order(
        &self,
        order: OrderId,
        wait: Option<Duration>,
    ) -> Result<OrderView, ClientError> {
        let path = ["v1", "orders", &order.to_string()];
        let mut call = Call::new("order-view", Method::GET, &path);
        if let Some(wait) = wait {
            call = call.waits(wait);
        }
        self.answer(call).await
    }

    /// An order as soon as more than this many facts of it are known, or after at most `wait`.
    pub async fn order_news(
        &self,
        order: OrderId,
        version: u64,
        wait: Duration,
    ) -> Result<OrderView, ClientError> {
        let path = ["v1", "orders", &order.to_string()];
        let call = Call::new("order-view", Method::GET, &path).waits(wait);
        self.answer(call.query("version", version)).await
    }

    /// A page of orders, newest first.
    pub async fn orders(&self, filter: &OrderFilter) -> Result<OrderPage, ClientError> {
        self.answer(filter.query(Call::new("order-view", Method::GET, &["v1", "orders"]))).await
    }

    /// The journal of an order: as it is now, at a time, or after so many entries.
    pub async fn journal(
        &self,
        order: OrderId,
        at: Option<Timestamp>,
        version: Option<u64>,
    ) -> Result<Journal, ClientError> {
        let path = ["v1", "journal", "orders", &order.to_string()];
        let mut call = Call::new("journal", Method::GET, &path);
        if let Some(at) = at {
            call = call.query("at", at);
        }
        if let Some(version) = version {
            call = call.query("version", version);
        }
        self.answer(call).await
    }

    /// A sale.
    pub async fn sale(&self, sale: SaleId) -> Result<Sale, ClientError> {
        self.answer(Call::new("sales", Method::GET, &["v1", "sales", &sale.to_string()])).await
    }
}

#[cfg(test)]
mod tests;
