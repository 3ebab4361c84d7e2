//! What is said about orders, written to the topics as their owners would, and then as nobody would:
//! some of it twice, some of it late, and one topic ahead of another.

use anyhow::Result;
use futures::StreamExt;
use harness::World;
use millrace::Event;
use millrace::admin::{Admin, RawRecord};
use millrace::contract::{Topic, frame};
use schemas::{
    CustomerId, EVENTS, Money, OrderConfirmed, OrderId, OrderLine, OrderPlaced, PaymentAccepted,
    SaleConfirmed, SaleId, Sku, StockReserved, StoreId, topics,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::states::order;

/// The topics that the view of orders reads.
pub(crate) const READ: [&Topic; 4] =
    [topics::ORDER_EVENTS, topics::STOCK_EVENTS, topics::PAYMENT_EVENTS, topics::SALE_EVENTS];
/// What is said about each order.
pub(crate) const FACTS: u32 = 5;
/// Orders that are written one after the other; then the next fact of each.
const BLOCK: u32 = 1_000;
/// Everything about each such order is sent twice.
const TWICE_EVERY: u32 = 50;
/// What stock and payments say of each such order comes last of all, as after a redrive.
const LATE_EVERY: u32 = 100;
const ON_THE_WAY: usize = 5_000;

/// Writes facts.
pub(crate) struct Facts<'a> {
    world: &'a World,
    admin: Admin,
    ids: Ids,
}

struct Ids {
    placed: u32,
    reserved: u32,
    accepted: u32,
    sold: u32,
    confirmed: u32,
}

/// What is common to all that is said about one order.
struct Order {
    id: OrderId,
    customer: CustomerId,
    store: StoreId,
    lines: Vec<OrderLine>,
    total: Money,
}

impl<'a> Facts<'a> {
    pub(crate) async fn new(world: &'a World) -> Result<Self> {
        let registry = world.registry();
        // The view says what it folds, so that it needs a schema of its own too.
        world.register(EVENTS.iter().map(|event| (event.subject(), event.schema))).await?;
        let ids = Ids {
            placed: registry.id_of(&OrderPlaced::subject(), OrderPlaced::SCHEMA).await?,
            reserved: registry.id_of(&StockReserved::subject(), StockReserved::SCHEMA).await?,
            accepted: registry.id_of(&PaymentAccepted::subject(), PaymentAccepted::SCHEMA).await?,
            sold: registry.id_of(&SaleConfirmed::subject(), SaleConfirmed::SCHEMA).await?,
            confirmed: registry.id_of(&OrderConfirmed::subject(), OrderConfirmed::SCHEMA).await?,
        };
        Ok(Self { world, admin: world.admin().await?, ids })
    }

    /// Everything about so many orders.
    pub(crate) async fn fill(&self, orders: u32) -> Result<()> {
        let late = |n: &u32| n.is_multiple_of(LATE_EVERY);
        for from in (0..orders).step_by(BLOCK as usize) {
            let block = || from..orders.min(from + BLOCK);
            self.send(block(), Self::sold).await?;
            self.send(block().filter(|n| !late(n)), Self::accepted).await?;
            self.send(block().filter(|n| !late(n)), Self::reserved).await?;
            self.send(block(), Self::placed).await?;
            self.send(block(), Self::confirmed).await?;
        }
        self.send((0..orders).filter(late), Self::accepted).await?;
        self.send((0..orders).filter(late), Self::reserved).await
    }

    /// A new order.
    pub(crate) async fn place(&self, number: u32) -> Result<()> {
        let (topic, record) = self.placed(&Order::new(number)?);
        self.admin.produce(&self.world.topic(topic), record).await?;
        Ok(())
    }

    /// How many records there are.
    pub(crate) async fn records(&self) -> Result<i64> {
        let mut all = 0;
        for topic in READ {
            let marks = self.admin.watermarks(&self.world.topic(topic)).await?;
            all += marks.iter().map(|mark| mark.high - mark.low).sum::<i64>();
        }
        Ok(all)
    }

    /// One fact of each of these orders; of some of them the same record twice.
    async fn send(
        &self,
        orders: impl Iterator<Item = u32>,
        fact: impl Fn(&Self, &Order) -> (&'static Topic, RawRecord),
    ) -> Result<()> {
        let records = orders.flat_map(|number| {
            let times = if number.is_multiple_of(TWICE_EVERY) { 2 } else { 1 };
            let record = Order::new(number).map(|order| fact(self, &order));
            std::iter::repeat_n(record.map_err(|error| error.to_string()), times)
        });
        let sending = futures::stream::iter(records).map(|record| async move {
            let (topic, record) = record.map_err(anyhow::Error::msg)?;
            self.admin.produce(&self.world.topic(topic), record).await?;
            anyhow::Ok(())
        });
        let mut sent = sending.buffer_unordered(ON_THE_WAY);
        while let Some(one) = sent.next().await {
            one?;
        }
        Ok(())
    }

    fn placed(&self, order: &Order) -> (&'static Topic, RawRecord) {
        let fact = OrderPlaced {
            order_id: order.id,
            customer_id: order.customer.clone(),
            store_id: order.store.clone(),
            lines: order.lines.clone(),
            total: order.total,
        };
        said(order.id, &fact, self.ids.placed, 1)
    }

    fn reserved(&self, order: &Order) -> (&'static Topic, RawRecord) {
        let fact = StockReserved {
            order_id: order.id,
            customer_id: order.customer.clone(),
            store_id: order.store.clone(),
            lines: order.lines.clone(),
            total: order.total,
        };
        said(order.id, &fact, self.ids.reserved, 1)
    }

    fn accepted(&self, order: &Order) -> (&'static Topic, RawRecord) {
        let fact = PaymentAccepted {
            order_id: order.id,
            customer_id: order.customer.clone(),
            store_id: order.store.clone(),
            lines: order.lines.clone(),
            amount: order.total,
        };
        said(order.id, &fact, self.ids.accepted, 1)
    }

    fn sold(&self, order: &Order) -> (&'static Topic, RawRecord) {
        let fact = SaleConfirmed {
            order_id: order.id,
            sale_id: SaleId::new(order.id.uuid()),
            customer_id: order.customer.clone(),
            store_id: order.store.clone(),
            total: order.total,
        };
        said(order.id, &fact, self.ids.sold, 1)
    }

    fn confirmed(&self, order: &Order) -> (&'static Topic, RawRecord) {
        let fact = OrderConfirmed {
            order_id: order.id,
            customer_id: order.customer.clone(),
            store_id: order.store.clone(),
            sale_id: SaleId::new(order.id.uuid()),
            total: order.total,
        };
        said(order.id, &fact, self.ids.confirmed, 2)
    }
}

impl Order {
    fn new(number: u32) -> Result<Self> {
        let price = Money::new(1990, "CAD".parse()?);
        let line = |n: u32| {
            let sku = Sku::new(&format!("article-{:05}", (number * 7 + n * 131) % 20_000))?;
            anyhow::Ok(OrderLine { sku, quantity: 1, unit_price: price })
        };
        Ok(Self {
            id: order(number),
            customer: CustomerId::new(&format!("customer-{:06}", number % 250_000))?,
            store: StoreId::new(&format!("store-{:03}", number % 500))?,
            lines: (0..3).map(line).collect::<Result<_>>()?,
            total: Money::new(5970, "CAD".parse()?),
        })
    }
}

fn said<E: Event>(
    order: OrderId,
    fact: &E,
    schema: u32,
    version: u64,
) -> (&'static Topic, RawRecord) {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", Uuid::now_v7().to_string()),
        ("ce_source", "/retail/bench".to_owned()),
        ("ce_type", E::NAME.to_owned()),
        ("ce_subject", order.to_string()),
        ("ce_time", now),
        ("ce_sequence", format!("{version:020}")),
        ("ce_correlationid", order.to_string()),
        ("content-type", "application/avro".to_owned()),
    ];
    let record = RawRecord {
        partition: None,
        key: Some(order.to_string().into_bytes()),
        payload: Some(frame(schema, &fact.to_datum())),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
    };
    (E::TOPIC, record)
}
