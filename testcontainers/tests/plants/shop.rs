//! The retailer in this process, so that a defect can be planted in it: two articles, a customer
//! with money and one without.

use std::time::Duration;

use anyhow::{Context, Result};
use harness::check::{History, Poison};
use harness::{Ground, World, eventually};
use millrace::{Config, Currency, Money, Running, Service};
use ops::{Endpoints, Product, Retailer};
use schemas::{CustomerId, EVENTS, Sku, StoreId, topics};
use uuid::Uuid;

/// A defect may keep the shop from opening in full; then the work begins all the same.
const SOON: Duration = Duration::from_secs(8);
/// A relay that shares rows with another looks for them all the time.
const RESTLESS: Duration = Duration::from_millis(10);
const STOP_MAX: Duration = Duration::from_secs(10);

const SERVICES: [fn() -> Service; 6] = [
    catalogue::service,
    orders::service,
    stock::service,
    payments::service,
    sales::service,
    order_view::service,
];

/// All services, for the checker.
pub(crate) fn services() -> Vec<Service> {
    SERVICES.iter().map(|service| service()).collect()
}

/// A shop whose doors are open, but for the sales.
pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) retailer: Retailer,
    pub(crate) history: History,
    pub(crate) poisons: Vec<Poison>,
    pub(crate) store: StoreId,
    pub(crate) mug: Sku,
    pub(crate) rare: Sku,
    running: Vec<Running>,
}

impl Shop {
    /// Mounts every service but sales so many times, and furnishes the shop.
    pub(crate) async fn open(ground: &Ground, instances: usize) -> Result<Self> {
        let world = World::on(ground)?;
        world.create_topics(topics::ALL).await?;
        world.register(EVENTS.iter().map(|event| (event.subject(), event.schema))).await?;
        let early = SERVICES.iter().filter(|service| service().name() != "sales");
        let restless = |config: &mut Config| {
            if instances > 1 {
                config.outbox.poll = RESTLESS;
            }
        };
        let mounting = early.map(|service| world.mount_with(service(), restless));
        let mut running = futures::future::try_join_all(mounting).await?;
        for _ in 1..instances {
            for service in [orders::service(), stock::service()] {
                running.push(world.mount_with(service, restless).await?);
            }
        }
        let url = |running: &Running| (running.name().to_owned(), running.url().to_owned());
        let endpoints =
            Endpoints { services: running.iter().map(url).collect(), ..Endpoints::default() };
        let shop = Self {
            world,
            retailer: Retailer::new(endpoints),
            history: History::default(),
            poisons: vec![],
            store: StoreId::new("store-1")?,
            mug: Sku::new("mug")?,
            rare: Sku::new("rare")?,
            running,
        };
        shop.furnish().await?;
        Ok(shop)
    }

    async fn furnish(&self) -> Result<()> {
        let currency: Currency = "CAD".parse()?;
        let price = Money::parse("19.90", currency)?;
        for (sku, pieces) in [(&self.mug, 1_000), (&self.rare, 3)] {
            let (name, category) = (sku.to_string(), "kitchen".to_owned());
            let product = Product { sku: sku.clone(), name, price, category };
            self.retailer.put_product(&product).await?;
            self.retailer.receive_stock(&self.store, sku, pieces, Uuid::now_v7()).await?;
        }
        for (customer, amount) in [("rich", "9000.00"), ("poor", "1.00")] {
            let customer = CustomerId::new(customer)?;
            self.retailer.open_account(&customer, currency).await?;
            let amount = Money::parse(amount, currency)?;
            self.retailer.deposit(&customer, amount, Uuid::now_v7()).await?;
        }
        let cart = self.retailer.open_cart(&CustomerId::new("rich")?, &self.store).await?.cart_id;
        let known = eventually(SOON, "orders knows the articles", async || {
            for sku in [&self.mug, &self.rare] {
                let added = self.retailer.add_to_cart(cart, sku, 1).await;
                added.map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        // What is wrong will be found by the checker.
        drop(known.await);
        Ok(())
    }

    /// Sales comes late, as a new service does.
    pub(crate) async fn open_sales(&mut self) -> Result<()> {
        self.running.push(self.world.mount(sales::service()).await?);
        Ok(())
    }

    /// Sales stops with what it holds unhandled, and comes back.
    pub(crate) async fn restart_sales(&mut self) -> Result<()> {
        let sales = self.running.iter().position(|running| running.name() == "sales");
        let sales = self.running.swap_remove(sales.context("sales is open")?);
        drop(tokio::time::timeout(STOP_MAX, sales.stop()).await);
        self.open_sales().await
    }

    /// A service that is mounted.
    pub(crate) fn service(&self, name: &str) -> Result<&Running> {
        self.instances(name).next().context("a service of the shop")
    }

    /// Every instance of a service.
    pub(crate) fn instances(&self, name: &str) -> impl Iterator<Item = &Running> {
        self.running.iter().filter(move |running| running.name() == name)
    }

    /// Ends everything; a world that a defect has left in disorder is left behind.
    pub(crate) async fn close(self) {
        let stopping = self.running.into_iter().map(|running| {
            let stopped = running.stop();
            async move { drop(tokio::time::timeout(STOP_MAX, stopped).await) }
        });
        futures::future::join_all(stopping).await;
        drop(self.world.close().await);
    }
}
