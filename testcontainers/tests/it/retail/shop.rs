//! All services in a world, with one article, one store and one customer for a story.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Ground, World, eventually};
use millrace::{Config, Money, Running, Service};
use ops::{ClientError, Endpoints, OrderView, Product, Retailer};
use schemas::{CustomerId, EVENTS, OrderId, Sku, StoreId, topics};
use uuid::Uuid;

/// Everything that happens by itself happens within this time.
pub(super) const SOON: Duration = Duration::from_secs(30);

pub(super) const SERVICES: [fn() -> Service; 7] = [
    catalogue::service,
    orders::service,
    stock::service,
    payments::service,
    sales::service,
    order_view::service,
    journal::service,
];

/// A retailer with its doors open.
pub(super) struct Shop {
    pub(super) world: World,
    pub(super) services: BTreeMap<&'static str, Running>,
    pub(super) retailer: Retailer,
    pub(super) store: StoreId,
    pub(super) customer: CustomerId,
    pub(super) mug: Sku,
}

impl Shop {
    /// Ten mugs at 19.90 in the store, and this much in the customer's account.
    pub(super) async fn open(mugs: i64, balance: &str) -> Result<Self> {
        Self::open_with(mugs, balance, |_, _| ()).await
    }

    /// The same with a change to the configuration of services by name.
    pub(super) async fn open_with(
        mugs: i64,
        balance: &str,
        change: impl Fn(&str, &mut Config),
    ) -> Result<Self> {
        Self::open_on(&Ground::shared().await?, mugs, balance, change).await
    }

    /// The same on a ground of one's own.
    pub(super) async fn open_on(
        ground: &Ground,
        mugs: i64,
        balance: &str,
        change: impl Fn(&str, &mut Config),
    ) -> Result<Self> {
        millrace::log::init(false);
        let world = World::on(ground)?;
        world.create_topics(topics::ALL).await?;
        world.register(EVENTS.iter().map(|event| (event.subject(), event.schema))).await?;
        let mount = |service: fn() -> Service| {
            let (service, change) = (service(), &change);
            let name = service.name();
            world.mount_with(service, move |config| change(name, config))
        };
        let mounted = SERVICES.map(mount);
        let mounted = futures::future::try_join_all(mounted).await?;
        let services: BTreeMap<&'static str, Running> =
            mounted.into_iter().map(|running| (running.name(), running)).collect();
        let url =
            |(name, running): (&&str, &Running)| ((*name).to_owned(), running.url().to_owned());
        let endpoints =
            Endpoints { services: services.iter().map(url).collect(), ..Endpoints::default() };
        let shop = Self {
            world,
            services,
            retailer: Retailer::new(endpoints),
            store: StoreId::new("store-1")?,
            customer: CustomerId::new("customer-1")?,
            mug: Sku::new("mug")?,
        };
        shop.fill(mugs, balance).await?;
        Ok(shop)
    }

    async fn fill(&self, mugs: i64, balance: &str) -> Result<()> {
        let price = Money::parse("19.90", "CAD".parse()?)?;
        let (name, category) = ("Mug".to_owned(), "kitchen".to_owned());
        let product = Product { sku: self.mug.clone(), name, price, category };
        self.retailer.put_product(&product).await?;
        self.retailer.receive_stock(&self.store, &self.mug, mugs, Uuid::now_v7()).await?;
        let amount = Money::parse(balance, price.currency())?;
        self.retailer.open_account(&self.customer, amount.currency()).await?;
        self.retailer.deposit(&self.customer, amount, Uuid::now_v7()).await?;
        let cart = self.retailer.open_cart(&self.customer, &self.store).await?.cart_id;
        eventually(SOON, "orders knows the mug", async || {
            let added = self.retailer.add_to_cart(cart, &self.mug, 1).await;
            added.map(drop).map_err(|error| error.to_string())
        })
        .await
    }

    /// Orders mugs without a cart.
    pub(super) async fn order(&self, mugs: i64) -> Result<OrderId> {
        let lines = [(self.mug.clone(), mugs)];
        let key = Uuid::now_v7();
        let placed = self.retailer.place_order(&self.customer, &self.store, &lines, key).await?;
        Ok(placed.order_id)
    }

    /// The order once it has ended.
    pub(super) async fn ended(&self, order: OrderId) -> Result<OrderView> {
        let wait = Some(Duration::from_secs(2));
        eventually(SOON, "the order ends", async || match self.retailer.order(order, wait).await {
            Ok(view) if view.has_ended() => Ok(view),
            Ok(view) => Err(view.status),
            Err(ClientError::NotFound { .. }) => Err("not known yet".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Waits until stock and money are as wanted: available, reserved, balance.
    pub(super) async fn until(&self, available: i64, reserved: i64, balance: &str) -> Result<()> {
        let wanted = (available, reserved, balance.to_owned());
        eventually(SOON, "stock and money settle", async || {
            let told = |error: ClientError| error.to_string();
            let level = self.retailer.level(&self.store, &self.mug).await.map_err(told)?;
            let account = self.retailer.account(&self.customer).await.map_err(told)?;
            let found = (level.available, level.reserved, account.balance.amount());
            if found == wanted { Ok(()) } else { Err(format!("{found:?}, wanted {wanted:?}")) }
        })
        .await
    }

    /// How many facts of this order a topic has.
    pub(super) async fn facts(&self, topic: &millrace::Topic, order: OrderId) -> Result<usize> {
        let records = self.world.admin().await?.read_all(&self.world.topic(topic)).await?;
        let key = order.to_string();
        Ok(records.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes())).count())
    }

    pub(super) fn service(&self, name: &str) -> Result<&Running> {
        self.services.get(name).context("a service of the shop")
    }

    pub(super) async fn close(self) -> Result<()> {
        for (_, service) in self.services {
            service.stop().await?;
        }
        self.world.close().await
    }
}

/// The facts of an order in the order of their causes.
pub(super) fn history(view: &OrderView) -> Vec<&str> {
    view.history.iter().map(|happened| happened.fact.as_str()).collect()
}

/// Fails with both when they differ.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Result<()> {
    ensure!(found == wanted, "{found:?}, wanted {wanted:?}");
    Ok(())
}
