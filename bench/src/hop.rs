//! The work of one hop: payments on a topic, and the database of sales.

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use harness::{Ground, World};
use millrace::admin::{Admin, RawRecord};
use millrace::contract::frame;
use millrace::{Config, Event};
use schemas::{
    CustomerId, Money, OrderCancelled, OrderId, OrderLine, PaymentAccepted, SaleCancelled,
    SaleConfirmed, Sku, StoreId, topics,
};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::meter::{Beside, Meter};
use crate::peers::{Announces, Place, make_outbox};
use crate::rounds::Sample;

const ON_THE_WAY: usize = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(180);

/// A world with payments, and where they begin that nobody has read.
pub(crate) struct Hop {
    pub(crate) world: World,
    pub(crate) place: Place,
    pub(crate) beside: Beside,
    /// Payments of this round.
    records: u32,
    /// Ids of the outbox that earlier rounds drew, and sales they announced.
    drawn: i64,
    announced: i64,
}

impl Hop {
    pub(crate) async fn new(ground: &Ground) -> Result<Self> {
        let world = World::on(ground)?;
        let read = [topics::PAYMENT_EVENTS, topics::SALE_EVENTS, topics::ORDER_EVENTS];
        world.create_topics(&read).await?;
        world
            .register([
                (PaymentAccepted::subject(), PaymentAccepted::SCHEMA),
                (OrderCancelled::subject(), OrderCancelled::SCHEMA),
                (SaleConfirmed::subject(), SaleConfirmed::SCHEMA),
                (SaleCancelled::subject(), SaleCancelled::SCHEMA),
            ])
            .await?;
        // The tables are the same for every side.
        world.mount(sales::service()).await?.stop().await?;
        let subject = SaleConfirmed::subject();
        let place = Place {
            bootstrap: ground.bootstrap_servers().to_owned(),
            group: format!("{}peer", world.prefix()),
            reads: topics::PAYMENT_EVENTS.name,
            writes: topics::SALE_EVENTS.name,
            prefix: world.prefix().to_owned(),
            database: world.database_url("sales").await?,
            announces: Announces::Sale,
            schema: world.registry().id_of(&subject, SaleConfirmed::SCHEMA).await?,
            spans: false,
        };
        let beside = Beside::of(ground).await;
        let hop = Self { world, place, beside, records: 0, drawn: 0, announced: 0 };
        make_outbox(&mut hop.database().await?).await?;
        Ok(hop)
    }

    pub(crate) async fn database(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.place.database).await?)
    }

    /// Puts so many payments on the topic.
    pub(crate) async fn fill(&mut self, records: u32) -> Result<()> {
        fill(&self.world, &self.place.read(), records).await?;
        self.records = records;
        let mut db = self.database().await?;
        self.drawn = drawn(&mut db).await?;
        let admin = self.world.admin().await?;
        self.announced = announced(&admin, &self.world.topic(topics::SALE_EVENTS)).await?;
        // Else a round pays for what an earlier one left to be written.
        sqlx::query("VACUUM ANALYZE").execute(&mut db).await?;
        Ok(())
    }

    /// What our service does of it.
    pub(crate) async fn ours(&self) -> Result<Sample> {
        self.ours_with(|config| config.trace.endpoint = None).await
    }

    /// The same under a configuration of one's own.
    pub(crate) async fn ours_with(&self, set: impl FnOnce(&mut Config)) -> Result<Sample> {
        let mount = self.world.mount_with(sales::service(), set);
        let (running, sample) = tokio::join!(mount, self.watch());
        running?.stop().await?;
        sample
    }

    /// What a peer does of it.
    pub(crate) async fn peer<F>(
        &self,
        run: impl FnOnce(Place, CancellationToken) -> F,
    ) -> Result<Sample>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let peer = tokio::spawn(run(self.place.clone(), stop.clone()));
        let sample = self.watch().await;
        stop.cancel();
        peer.await??;
        sample
    }

    /// From the first records that are handled until all are announced.
    pub(crate) async fn watch(&self) -> Result<Sample> {
        let mut db = self.database().await?;
        let (admin, sales) = (self.world.admin().await?, self.world.topic(topics::SALE_EVENTS));
        let all = self.announced + i64::from(self.records);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let watched = async {
            let (meter, first) = loop {
                ticks.tick().await;
                let first = drawn(&mut db).await?;
                if first > self.drawn {
                    break (Meter::begin(self.beside), first - self.drawn);
                }
            };
            let near = self.drawn + i64::from(self.records);
            loop {
                ticks.tick().await;
                // Cheap until it is nearly so: whoever looks takes from what is measured.
                if drawn(&mut db).await? < near {
                    continue;
                }
                if announced(&admin, &sales).await? >= all {
                    return anyhow::Ok(meter.end((i64::from(self.records) - first) as f64));
                }
            }
        };
        tokio::time::timeout(PATIENCE, watched).await?
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.world.close().await
    }
}

/// Records on a topic to which nobody has sent anything twice.
pub(crate) async fn announced(admin: &Admin, topic: &str) -> Result<i64> {
    Ok(admin.watermarks(topic).await?.iter().map(|mark| mark.high).sum())
}

/// How many ids of an outbox were drawn, ours or that of a peer. A look costs the same however many rows there are.
pub(crate) async fn drawn(db: &mut PgConnection) -> Result<i64> {
    let drawn = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM millrace.outbox_id";
    Ok(sqlx::query_scalar(drawn).fetch_one(db).await?)
}

/// Puts payments on the topic.
async fn fill(world: &World, topic: &str, records: u32) -> Result<()> {
    let admin = world.admin().await?;
    let subject = PaymentAccepted::subject();
    let schema = world.registry().id_of(&subject, PaymentAccepted::SCHEMA).await?;
    let sending = (0..records).map(|number| {
        let admin = admin.clone();
        async move {
            let (id, order) = (Uuid::now_v7(), OrderId::new(Uuid::now_v7()));
            let fact = payment(order, number)?;
            admin.produce(topic, record(PaymentAccepted::NAME, schema, id, &fact)).await?;
            anyhow::Ok(())
        }
    });
    let mut sent = futures::stream::iter(sending).buffer_unordered(ON_THE_WAY);
    while let Some(sent) = sent.next().await {
        sent?;
    }
    Ok(())
}

/// What was paid for an order of three lines.
pub(crate) fn payment(order_id: OrderId, number: u32) -> Result<PaymentAccepted> {
    let price = Money::new(1990, "CAD".parse()?);
    let line = |n: u32| {
        let sku = Sku::new(&format!("article-{:05}", (number % 20_000 * 7 + n * 131) % 20_000))?;
        anyhow::Ok(OrderLine { sku, quantity: 1, unit_price: price })
    };
    Ok(PaymentAccepted {
        order_id,
        customer_id: CustomerId::new(&format!("customer-{:06}", number % 250_000))?,
        store_id: StoreId::new(&format!("store-{:03}", number % 500))?,
        lines: (0..3).map(line).collect::<Result<_>>()?,
        amount: Money::new(5970, "CAD".parse()?),
    })
}

/// A payment on its way, under the name of its type.
pub(crate) fn record(name: &str, schema: u32, id: Uuid, fact: &PaymentAccepted) -> RawRecord {
    let order = fact.order_id.to_string();
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id.to_string()),
        ("ce_source", "/retail/payments".to_owned()),
        ("ce_type", name.to_owned()),
        ("ce_subject", order.clone()),
        ("ce_time", "2026-11-21T08:00:00Z".to_owned()),
        ("ce_sequence", format!("{:020}", 1)),
        ("ce_correlationid", order.clone()),
        ("content-type", "application/avro".to_owned()),
    ];
    RawRecord {
        partition: None,
        key: Some(order.into_bytes()),
        payload: Some(frame(schema, &fact.to_datum())),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
    }
}
