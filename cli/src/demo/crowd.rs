//! Customers who order in a few stores, some of them more than there is or than they can pay, and
//! some of whom change their mind. They repeat what got no answer under the same key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use harness::eventually;
use millrace::contract::{Currency, Money};
use ops::{Product, Retailer};
use schemas::{CustomerId, OrderId, Sku, StoreId};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const STORES: usize = 4;
const SKUS: usize = 12;
const CUSTOMERS: usize = 40;
const LINES_MAX: usize = 3;
const PIECES_MAX: usize = 3;
/// Requests at the same time.
const AT_ONCE: usize = 16;
/// Customers who order one after the other in a stream, and the pause of each.
const IN_STREAM: usize = 4;
const EACH: Duration = Duration::from_millis(40);
/// One order in so many is cancelled, if it has not ended.
const CANCELLED_EVERY: usize = 20;
/// Between two cancellations, so that they meet orders at every step.
const CANCEL_EVERY: Duration = Duration::from_millis(100);
const KNOWN: Duration = Duration::from_secs(20);

/// What everyone begins with and what they will order.
pub(super) struct Crowd {
    /// Units that each store received.
    pub(super) received: BTreeMap<(StoreId, Sku), i64>,
    /// What each customer paid in.
    pub(super) paid_in: BTreeMap<CustomerId, Money>,
    wishes: Vec<Wish>,
    placed: AtomicUsize,
}

#[derive(Debug)]
struct Wish {
    customer: CustomerId,
    store: StoreId,
    lines: Vec<(Sku, i64)>,
    key: Uuid,
}

/// A small generator of random numbers (SplitMix64): the same on every machine and for ever.
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Crowd {
    /// Lists articles, fills stores and accounts, and thinks of so many orders.
    pub(super) async fn gather(
        retailer: &Retailer,
        dice: &mut Dice,
        orders: usize,
    ) -> Result<Self> {
        let currency: Currency = "CAD".parse()?;
        let named = |kind: &str, count: usize| {
            (0..count).map(move |n| format!("{kind}-{n}")).collect::<Vec<_>>()
        };
        let stores = parsed::<StoreId>(&named("crowd-store", STORES))?;
        let skus = parsed::<Sku>(&named("crowd-sku", SKUS))?;
        let customers = parsed::<CustomerId>(&named("crowd-customer", CUSTOMERS))?;
        let mut crowd = Self {
            received: BTreeMap::new(),
            paid_in: BTreeMap::new(),
            wishes: Vec::new(),
            placed: AtomicUsize::new(0),
        };
        for store in &stores {
            for (n, sku) in skus.iter().enumerate() {
                // The last article is scarce, so that some orders are rejected.
                let units = if n + 1 == SKUS { 3 } else { 1000 };
                crowd.received.insert((store.clone(), sku.clone()), units);
            }
        }
        for (n, customer) in customers.iter().enumerate() {
            // One customer in ten can pay only a little.
            let minor = if n % 10 == 9 { 10_000 } else { 100_000_000 };
            crowd.paid_in.insert(customer.clone(), Money::new(minor, currency));
        }
        for _ in 0..orders {
            let mut lines = BTreeMap::new();
            for _ in 0..=dice.roll(LINES_MAX) {
                let sku = skus[dice.roll(SKUS)].clone();
                lines.insert(sku, 1 + i64::try_from(dice.roll(PIECES_MAX))?);
            }
            let customer = customers[dice.roll(CUSTOMERS)].clone();
            let store = stores[dice.roll(STORES)].clone();
            let (lines, key) = (lines.into_iter().collect(), Uuid::now_v7());
            crowd.wishes.push(Wish { customer, store, lines, key });
        }
        crowd.open(retailer, &skus, currency).await?;
        Ok(crowd)
    }

    /// How many orders are placed.
    pub(super) fn placed(&self) -> &AtomicUsize {
        &self.placed
    }

    /// Places every order, and answers their ids.
    pub(super) async fn place_all(&self, retailer: &Retailer) -> Result<Vec<OrderId>> {
        let place = async |wish: &Wish| self.place(retailer, wish).await;
        let placing = stream::iter(&self.wishes).map(place).buffer_unordered(AT_ONCE);
        placing.try_collect().await
    }

    /// Places orders in an even stream until it is stopped, and answers their ids.
    pub(super) async fn place_until(
        &self,
        retailer: &Retailer,
        stop: &CancellationToken,
    ) -> Result<Vec<OrderId>> {
        let place = async |wish: &Wish| {
            tokio::time::sleep(EACH).await;
            self.place(retailer, wish).await
        };
        let wishes = stream::iter(&self.wishes).take_until(stop.cancelled());
        wishes.map(place).buffer_unordered(IN_STREAM).try_collect().await
    }

    /// Cancels some orders, whose end may have come before.
    pub(super) async fn change_minds(&self, retailer: &Retailer, orders: &[OrderId]) {
        for order in orders.iter().step_by(CANCELLED_EVERY) {
            if let Err(error) = retailer.cancel(*order, None).await {
                tracing::debug!(%error, %order, "not cancelled");
            }
            tokio::time::sleep(CANCEL_EVERY).await;
        }
    }

    async fn place(&self, retailer: &Retailer, wish: &Wish) -> Result<OrderId> {
        let Wish { customer, store, lines, key } = wish;
        let placed = retailer.place_order(customer, store, lines, *key).await?;
        self.placed.fetch_add(1, Ordering::Relaxed);
        Ok(placed.order_id)
    }

    async fn open(&self, retailer: &Retailer, skus: &[Sku], currency: Currency) -> Result<()> {
        let product = |(n, sku): (i64, &Sku)| Product {
            sku: sku.clone(),
            name: format!("Article {n}"),
            price: Money::new(995 + 100 * n, currency),
            category: "crowd".to_owned(),
        };
        let products: Vec<Product> = (0..).zip(skus).map(product).collect();
        let received = self.received.iter();
        let receipts: Vec<(StoreId, Sku, i64)> =
            received.map(|((store, sku), units)| (store.clone(), sku.clone(), *units)).collect();
        let deposits: Vec<(CustomerId, Money)> =
            self.paid_in.iter().map(|(customer, paid)| (customer.clone(), *paid)).collect();
        retailer.put_products(&products, Uuid::now_v7()).await?;
        retailer.receive_stocks(&receipts, Uuid::now_v7()).await?;
        retailer.deposits(&deposits, Uuid::now_v7()).await?;
        let Wish { customer, store, .. } = self.wishes.first().context("there is no order")?;
        let cart = retailer.open_cart(customer, store).await?.cart_id;
        eventually(KNOWN, "orders knows every price", async || {
            for sku in skus {
                let added = retailer.add_to_cart(cart, sku, 1).await;
                added.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
        .await
    }
}

impl Dice {
    /// From 0 to `below`, exclusive.
    pub(super) fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }
}

/// Orders that have not ended.
pub(super) async fn open_orders(orders: &PgPool) -> Result<i64> {
    let open = "SELECT count(*) FROM orders WHERE deadline IS NOT NULL";
    Ok(sqlx::query_scalar(open).fetch_one(orders).await?)
}

/// Waits until every order has ended.
pub(super) async fn until_all_ended(orders: &PgPool, deadline: Duration) -> Result<()> {
    eventually(deadline, "every order ends", async || match open_orders(orders).await {
        Ok(0) => Ok(()),
        open => Err(format!("{open:?} are open")),
    })
    .await
}

fn parsed<T: std::str::FromStr>(names: &[String]) -> Result<Vec<T>, T::Err> {
    names.iter().map(|name| name.parse()).collect()
}
