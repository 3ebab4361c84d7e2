//! Customers who order in a few stores at a steady rate, some of them more than there is or than
//! they can pay; some change their mind, some ask twice, some look.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use harness::eventually;
use harness::fault::Field;
use ops::{Endpoints, Product, Retailer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::{Currency, CustomerId, Money, Sku, StoreId};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{Client, pause};

const STORES: usize = 3;
const SKUS: usize = 12;
const CUSTOMERS: usize = 40;
const LINES_MAX: usize = 3;
const PIECES_MAX: i64 = 3;
/// One order in so many is cancelled; the same for those that are asked for twice.
const CANCELLED_EVERY: usize = 12;
const REPEATED_EVERY: usize = 10;
const LOOKED_AT_EVERY: usize = 3;
/// Between two looks at most.
const LOOK: Duration = Duration::from_millis(200);
/// A client asks this long for one order.
const PATIENCE: Duration = Duration::from_secs(30);
const OPEN_MAX: Duration = Duration::from_secs(60);

/// What one customer wants.
struct Wish {
    customer: String,
    body: Value,
    key: Uuid,
}

/// What they want and what there is.
pub(crate) struct Crowd(Vec<Wish>);

impl Crowd {
    /// Lists articles, fills stores and accounts, and thinks of so many orders.
    pub(crate) async fn gather(field: &Field, seed: u64, orders: usize) -> Result<Self> {
        let currency: Currency = "CAD".parse()?;
        let mut dice = StdRng::seed_from_u64(seed);
        open(field, currency).await?;
        let wish = |_| {
            let mut lines = BTreeMap::new();
            for _ in 0..dice.random_range(1..=LINES_MAX) {
                let sku = sku_name(dice.random_range(0..SKUS));
                lines.insert(sku, dice.random_range(1..=PIECES_MAX));
            }
            let line = |(sku, quantity)| json!({ "sku": sku, "quantity": quantity });
            let lines: Vec<Value> = lines.into_iter().map(line).collect();
            let customer = customer_name(dice.random_range(0..CUSTOMERS));
            let store = store_name(dice.random_range(0..STORES));
            let body = json!({ "customer_id": customer, "store_id": store, "lines": lines });
            Wish { customer, body, key: Uuid::now_v7() }
        };
        Ok(Self((0..orders).map(wish).collect()))
    }

    /// Places every order, spread evenly over this time. What got no answer is asked for again
    /// under the same key.
    pub(crate) async fn order(
        &self,
        client: &Client<'_>,
        time: Duration,
        stop: &CancellationToken,
    ) {
        let each = time / u32::try_from(self.0.len().max(1)).unwrap_or(u32::MAX);
        let mut clock = tokio::time::interval(each.max(Duration::from_millis(1)));
        let mut open = FuturesUnordered::new();
        for (number, wish) in self.0.iter().enumerate() {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = clock.tick() => {}
            }
            open.push(wish.come_true(number, client));
            // Those under way go on while the next one waits for its time.
            while let Some(Some(())) = futures::FutureExt::now_or_never(open.next()) {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = open.collect::<()>() => {}
        }
    }
}

impl Wish {
    async fn come_true(&self, number: usize, client: &Client<'_>) {
        let until = Instant::now() + PATIENCE;
        let Some(order) = client.place(&self.customer, self.key, &self.body, until).await else {
            return;
        };
        if number.is_multiple_of(REPEATED_EVERY) {
            client.place(&self.customer, self.key, &self.body, until).await;
        }
        if number.is_multiple_of(CANCELLED_EVERY) {
            client.cancel(&self.customer, &order).await;
        }
        if number.is_multiple_of(LOOKED_AT_EVERY) {
            for _ in 0..3 {
                client.look(&self.customer, &order).await;
                pause(LOOK).await;
            }
        }
    }
}

/// Before anything breaks: goods, stores and money.
async fn open(field: &Field, currency: Currency) -> Result<()> {
    let url = |name: &str| Some((name.to_owned(), field.fleet().of(name).next()?.url()));
    let endpoints = Endpoints {
        services: crate::shop::names().filter_map(url).collect(),
        ..Endpoints::default()
    };
    let retailer = Retailer::new(endpoints).with_patience(OPEN_MAX);
    let skus = (0..SKUS).map(|n| sku_name(n).parse()).collect::<Result<Vec<Sku>, _>>()?;
    let stores = (0..STORES).map(|n| store_name(n).parse()).collect::<Result<Vec<StoreId>, _>>()?;
    let product = |(n, sku): (i64, &Sku)| Product {
        sku: sku.clone(),
        name: format!("Article {n}"),
        price: Money::new(995 + 100 * n, currency),
        category: "chaos".to_owned(),
    };
    let products: Vec<Product> = (0..).zip(&skus).map(product).collect();
    // The last article is scarce, so that some orders are rejected.
    let units = |n: usize| if n + 1 == SKUS { 5 } else { 100_000 };
    let receipts: Vec<(StoreId, Sku, i64)> = stores
        .iter()
        .flat_map(|store| {
            skus.iter().enumerate().map(move |(n, sku)| (store.clone(), sku.clone(), units(n)))
        })
        .collect();
    // One customer in ten can pay only a little.
    let minor = |n: usize| if n % 10 == 9 { 10_000 } else { 1_000_000_000 };
    let deposits = (0..CUSTOMERS)
        .map(|n| Ok((customer_name(n).parse()?, Money::new(minor(n), currency))))
        .collect::<Result<Vec<(CustomerId, Money)>>>()?;
    retailer.put_products(&products, Uuid::now_v7()).await?;
    retailer.receive_stocks(&receipts, Uuid::now_v7()).await?;
    retailer.deposits(&deposits, Uuid::now_v7()).await?;
    let cart = retailer.open_cart(&customer_name(0).parse()?, &stores[0]).await?.cart_id;
    eventually(OPEN_MAX, "orders knows every price", async || {
        for sku in &skus {
            retailer.add_to_cart(cart, sku, 1).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
    .await
}

fn sku_name(n: usize) -> String {
    format!("chaos-sku-{n}")
}

fn store_name(n: usize) -> String {
    format!("chaos-store-{n}")
}

fn customer_name(n: usize) -> String {
    format!("chaos-customer-{n}")
}
