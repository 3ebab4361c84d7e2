//! Where the stories are told: a ground, the six services mounted on it, and what a story needs to
//! act and to look. Every wait has a deadline and says what it waited for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, TryStreamExt, stream};
use harness::{Ground, SpanRecord, World, eventually};
use millrace::contract::{Currency, Money};
use millrace::{Registry, Running};
use ops::{Endpoints, OrderView, Product, Retailer};
use schemas::{CustomerId, OrderId, Sku, StoreId};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::RwLock;
use uuid::Uuid;

use super::audit::{Books, Published};
use super::facts::{Fact, Log};
use super::report::Tale;
use crate::house::{self, House, Mounted};

/// Nothing that a story waits for takes nearly as long on a healthy stack.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// One look of a client that waits for an order.
const LOOK: Duration = Duration::from_secs(5);
/// The price of everything in the shops of the stories.
const PRICE: &str = "19.90";
/// Requests at the same time.
const AT_ONCE: usize = 16;
/// Steps of an order, which take as long as they take: the one story of a deadline sets its own.
const STEPS: [&str; 3] = ["stock_deadline_ms", "payment_deadline_ms", "sale_deadline_ms"];
const STEP_MS: u64 = 120_000;

/// Settings of a service by their names.
pub(super) type Settings = Vec<(&'static str, Value)>;

/// A mounted house with everything around it.
pub(super) struct Stage {
    house: RwLock<House>,
    mounted: Mutex<Mounted>,
    retailer: Retailer,
    log: Log,
    books: Vec<Books>,
}

/// What a shop begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    pub(super) on_hand: i64,
    pub(super) funds: &'static str,
}

/// A store with one article, and a customer with an account.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    pub(super) store: StoreId,
    pub(super) sku: Sku,
    pub(super) customer: CustomerId,
    pub(super) price: Money,
    pub(super) on_hand: i64,
    pub(super) funds: Money,
}

/// The stock of a shop's article and the money of its customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct State {
    pub(super) on_hand: i64,
    pub(super) reserved: i64,
    pub(super) available: i64,
    pub(super) balance: Money,
}

impl Stage {
    /// Builds and mounts everything in a world of its own.
    pub(super) async fn open(ground: &Ground) -> Result<Self> {
        let mut house = House::build(World::on(ground)?, None).await?;
        for step in STEPS {
            house.set("orders", step, json!(STEP_MS))?;
        }
        let mounted = house.mount_all().await?;
        Ok(Self {
            retailer: Retailer::new(house.endpoints()),
            log: Log::new(ground.admin().await?, house.world().prefix()),
            books: Books::of(&house)?,
            house: RwLock::new(house),
            mounted: Mutex::new(mounted),
        })
    }

    /// Drains every service.
    pub(super) async fn close(self) -> Result<()> {
        house::stop_all(self.mounted.into_inner().unwrap_or_else(PoisonError::into_inner)).await
    }

    pub(super) fn retailer(&self) -> &Retailer {
        &self.retailer
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// The spans of one trace.
    pub(super) async fn trace(&self, trace: &str) -> Vec<SpanRecord> {
        self.house.read().await.world().traces().of_trace(trace)
    }

    pub(super) async fn registry(&self) -> Registry {
        self.house.read().await.world().registry()
    }

    pub(super) async fn ground(&self) -> Ground {
        self.house.read().await.world().ground().clone()
    }

    /// The books of every service.
    pub(super) fn all_books(&self) -> &[Books] {
        &self.books
    }

    /// The books of one service.
    pub(super) fn books(&self, service: &str) -> Result<&Books> {
        Books::named(&self.books, service)
    }

    /// A shop of its own for each story, so that no story disturbs another.
    pub(super) async fn shop(&self, story: &str, means: Means) -> Result<Shop> {
        let currency: Currency = "CAD".parse()?;
        let shop = Shop {
            store: format!("store-{story}").parse()?,
            sku: format!("mug-{story}").parse()?,
            customer: format!("customer-{story}").parse()?,
            price: Money::parse(PRICE, currency)?,
            on_hand: means.on_hand,
            funds: Money::parse(means.funds, currency)?,
        };
        let product = Product {
            sku: shop.sku.clone(),
            name: "Mug".to_owned(),
            price: shop.price,
            category: "kitchen".to_owned(),
        };
        let (stock, money) = (Uuid::now_v7(), Uuid::now_v7());
        tokio::try_join!(
            self.retailer.put_product(&product),
            self.retailer.receive_stock(&shop.store, &shop.sku, shop.on_hand, stock),
            async {
                self.retailer.open_account(&shop.customer, currency).await?;
                self.retailer.deposit(&shop.customer, shop.funds, money).await
            }
        )?;
        // The price has to travel from the catalogue to orders.
        eventually(PATIENCE, "orders knows the price", async || {
            self.fill_cart(&shop, 1).await.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        Ok(shop)
    }

    /// The stock and the money of a shop now.
    pub(super) async fn state(&self, shop: &Shop) -> Result<State> {
        let level = self.retailer.level(&shop.store, &shop.sku).await?;
        let account = self.retailer.account(&shop.customer).await?;
        let (on_hand, reserved, available) = (level.on_hand, level.reserved, level.available);
        Ok(State { on_hand, reserved, available, balance: account.balance })
    }

    /// A cart with so many pieces of the shop's article.
    pub(super) async fn fill_cart(&self, shop: &Shop, quantity: i64) -> Result<Uuid> {
        let cart = self.retailer.open_cart(&shop.customer, &shop.store).await?.cart_id;
        self.retailer.add_to_cart(cart, &shop.sku, quantity).await?;
        Ok(cart)
    }

    /// Fills a cart and checks it out.
    pub(super) async fn check_out(&self, shop: &Shop, quantity: i64) -> Result<OrderId> {
        let cart = self.fill_cart(shop, quantity).await?;
        Ok(self.retailer.check_out(cart, Uuid::now_v7()).await?.order_id)
    }

    /// Places so many orders of one piece each, without a cart.
    pub(super) async fn place(&self, shop: &Shop, orders: usize) -> Result<Vec<OrderId>> {
        let line = [(shop.sku.clone(), 1)];
        let place = async |_| {
            let key = Uuid::now_v7();
            let placed = self.retailer.place_order(&shop.customer, &shop.store, &line, key).await?;
            anyhow::Ok(placed.order_id)
        };
        stream::iter(0..orders).map(place).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// How many of these orders stand where.
    pub(super) async fn statuses(&self, orders: &[OrderId]) -> Result<BTreeMap<String, i64>> {
        let ids: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
        let count = "SELECT status, count(*) FROM orders WHERE order_id = ANY($1) GROUP BY status";
        let rows = sqlx::query_as(count).bind(ids).fetch_all(&self.books("orders")?.database).await;
        Ok(rows?.into_iter().collect())
    }

    /// Waits until all of these orders have ended, and says how many in which way.
    pub(super) async fn until_all_ended(
        &self,
        orders: &[OrderId],
    ) -> Result<BTreeMap<String, i64>> {
        eventually(PATIENCE, &format!("{} orders end", orders.len()), async || {
            let found = self.statuses(orders).await.map_err(|error| error.to_string())?;
            let open = ["placed", "reserved", "paid"].iter().any(|it| found.contains_key(*it));
            if open { Err(format!("{found:?}")) } else { Ok(found) }
        })
        .await
    }

    /// The order in the order view.
    pub(super) async fn view(&self, order: OrderId) -> Result<OrderView> {
        Ok(self.retailer.order(order, None).await?)
    }

    /// Follows an order to its end, as a customer does.
    pub(super) async fn until_ended(&self, order: OrderId) -> Result<OrderView> {
        eventually(PATIENCE, &format!("order {order} ends"), async || {
            let seen = self.retailer.order(order, Some(LOOK)).await;
            let seen = seen.map_err(|error| error.to_string())?;
            if seen.has_ended() { Ok(seen) } else { Err(format!("it is {}", seen.status)) }
        })
        .await
    }

    /// What happened to an order.
    pub(super) async fn facts(&self, order: OrderId) -> Result<Vec<Fact>> {
        self.log.of_order(order).await
    }

    /// Waits until a fact of this name lies in its topic for the order.
    pub(super) async fn until_said(&self, order: OrderId, name: &str) -> Result<()> {
        eventually(PATIENCE, &format!("{name} of order {order}"), async || {
            let facts = self.facts(order).await.map_err(|error| error.to_string())?;
            let said = facts.iter().any(|fact| fact.short() == name);
            if said { Ok(()) } else { Err(format!("{:?}", super::facts::names(&facts))) }
        })
        .await
    }

    /// Waits until nothing is on its way any more.
    pub(super) async fn until_quiet(&self) -> Result<Published> {
        super::audit::until_quiet(&self.log, &self.books, PATIENCE).await
    }

    /// A service that hears nothing and does nothing that is due, until it is released.
    pub(super) fn hold(&self, service: &str) -> Result<()> {
        let mounted = self.mounted();
        mounted.get(service).with_context(|| format!("{service} is not mounted"))?.hold();
        Ok(())
    }

    pub(super) fn release(&self, service: &str) -> Result<()> {
        let mounted = self.mounted();
        mounted.get(service).with_context(|| format!("{service} is not mounted"))?.release();
        Ok(())
    }

    /// Ends a service.
    pub(super) async fn unmount(&self, service: &str) -> Result<()> {
        let running = self.mounted().remove(service);
        let running = running.with_context(|| format!("{service} is not mounted"))?;
        running.stop().await.map_err(|error| anyhow!("stopping {service}: {error}"))
    }

    /// Starts a service that was ended, as it is configured now.
    pub(super) async fn mount(&self, service: &'static str) -> Result<()> {
        let running = self.house.read().await.mount(service).await?;
        self.mounted().insert(service, running);
        Ok(())
    }

    /// Starts another instance of a service with a setting of its own. It may have to wait for
    /// something before it is ready.
    pub(super) async fn another(
        &self,
        service: &'static str,
        (key, value): (&'static str, Value),
    ) -> Result<Running> {
        let mut config = self.house.read().await.config(service)?.clone();
        config.http.listen = format!("127.0.0.1:{}", harness::free_port()?);
        config.service.insert(service.to_owned(), json!({ key: value }));
        // Two instances in one process are told apart by a name of their own.
        config.kafka.properties.insert("client.id".to_owned(), format!("{service}-another"));
        let made = house::service(service).with_context(|| format!("there is no {service}"))?;
        Ok(millrace::mount(made(), config).await?)
    }

    /// Where everything is.
    pub(super) async fn endpoints(&self) -> Endpoints {
        self.house.read().await.endpoints()
    }

    /// The names of all that is mounted.
    pub(super) fn all_mounted(&self) -> Vec<&'static str> {
        self.mounted().keys().copied().collect()
    }

    /// Starts a service anew with other settings of its own, and answers those before.
    pub(super) async fn set(&self, service: &'static str, settings: Settings) -> Result<Settings> {
        self.unmount(service).await?;
        let mut before = Settings::new();
        for (key, value) in settings {
            before.push((key, self.house.write().await.set(service, key, value)?));
        }
        self.mount(service).await?;
        Ok(before)
    }

    fn mounted(&self) -> MutexGuard<'_, Mounted> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Shows what became of it.
    pub(super) fn against(&self, before: &Self, shop: &Shop, tale: &mut Tale) {
        let place = format!("{} in {}", shop.sku, shop.store);
        tale.effect(format!("available {place}"), before.available, self.available);
        tale.effect(format!("reserved  {place}"), before.reserved, self.reserved);
        let account = format!("balance   of {}", shop.customer);
        tale.effect(account, money(before.balance), money(self.balance));
    }
}

fn money(money: Money) -> String {
    format!("{} {}", money.amount(), money.currency())
}
