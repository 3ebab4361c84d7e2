//! One hop: a payment is read, a sale is decided and recorded with its inbox and outbox, and announced.
//! Ours beside the bare loop, which is the limit, and a transaction for each record.

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt;
use harness::{Ground, Part, World};
use millrace::Event;
use millrace::admin::RawRecord;
use millrace::contract::frame;
use schemas::{
    CustomerId, Money, OrderCancelled, OrderId, OrderLine, PaymentAccepted, SaleCancelled,
    SaleConfirmed, Sku, StoreId, topics,
};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Size;
use crate::meter::Meter;
use crate::peers::{Place, bare, per_message};
use crate::rounds::{Rounds, Sample, take_turns};
use crate::verdict::{Bound, Verdict};

pub(crate) const GOALS: [&str; 3] =
    ["hop_cpu_times_bare", "hop_rate_times_per_message_free", "hop_rate_times_per_message_2ms"];
const SIDES: [&str; 3] = ["millrace", "bare", "per message"];
const OURS: usize = 0;
const BARE: usize = 1;
const PER_MESSAGE: usize = 2;

/// Payments of a round; of the slow side fewer.
const RECORDS: u32 = 40_000;
const RECORDS_SLOW: u32 = 4_000;
const ON_THE_WAY: usize = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) async fn measure(
    ground: &Ground,
    disk: &str,
    size: Size,
) -> Result<(Rounds, Vec<Verdict>)> {
    let what = format!("hop, sync {disk}");
    let rounds = take_turns(&what, &SIDES, BARE, size.rounds, async |side| {
        let records = if side == PER_MESSAGE { RECORDS_SLOW } else { RECORDS };
        run(ground, side, records / size.less).await
    });
    let rounds = rounds.await?;
    let rate = |side| rounds.median(|it| it.rate, side);
    let told = format!(
        "{:.0} records/s, the bare loop {:.0}, a transaction for each {:.0}",
        rate(OURS),
        rate(BARE),
        rate(PER_MESSAGE)
    );
    let ratios = rounds.ratios(|it| it.rate, OURS, PER_MESSAGE);
    let mut verdicts = vec![];
    if disk == "0" {
        let cpu = |side| {
            let (own, postgres) =
                (rounds.median(|it| it.own_us, side), rounds.median(|it| it.postgres_us, side));
            format!("{own:.1} + {postgres:.1} us")
        };
        let used = format!("ours + PostgreSQL's: {}, the bare loop {}", cpu(OURS), cpu(BARE));
        let of = rounds.ratios(Sample::cpu_us, OURS, BARE);
        verdicts.push(Verdict::new(GOALS[0], &of, Bound::AtMost, 1.5, used));
        verdicts.push(Verdict::new(GOALS[1], &ratios, Bound::AtLeast, 3.5, told));
    } else {
        verdicts.push(Verdict::new(GOALS[2], &ratios, Bound::AtLeast, 25.0, told));
    }
    Ok((rounds, verdicts))
}

/// A world with payments that nobody has read.
struct Hop {
    world: World,
    place: Place,
    records: u32,
    /// The last payment of each partition.
    last: Vec<Uuid>,
}

async fn run(ground: &Ground, side: usize, records: u32) -> Result<Sample> {
    let hop = Hop::new(ground, records).await?;
    let postmaster = ground.process_id(Part::Postgres).await.ok();
    let stop = CancellationToken::new();
    let sample = match side {
        OURS => {
            let mount =
                hop.world.mount_with(sales::service(), |config| config.trace.endpoint = None);
            let (running, sample) = tokio::join!(mount, hop.watch(postmaster));
            running?.stop().await?;
            sample?
        }
        side => {
            let (place, until) = (hop.place.clone(), stop.clone());
            let peer = tokio::spawn(async move {
                match side {
                    BARE => bare::run(place, until).await,
                    _ => per_message::run(place, until).await,
                }
            });
            let sample = hop.watch(postmaster).await;
            stop.cancel();
            peer.await??;
            sample?
        }
    };
    hop.world.close().await?;
    Ok(sample)
}

impl Hop {
    async fn new(ground: &Ground, records: u32) -> Result<Self> {
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
        let place = Place {
            bootstrap: ground.bootstrap_servers().to_owned(),
            group: format!("{}peer", world.prefix()),
            read: world.topic(topics::PAYMENT_EVENTS),
            write: world.topic(topics::SALE_EVENTS),
            database: world.database_url("sales").await?,
            schema: world
                .registry()
                .id_of(&SaleConfirmed::subject(), SaleConfirmed::SCHEMA)
                .await?,
        };
        let last = fill(&world, &place.read, records).await?;
        let mut db = PgConnection::connect(&place.database).await?;
        sqlx::query("VACUUM ANALYZE").execute(&mut db).await?;
        Ok(Self { world, place, records, last })
    }

    /// From the first record that is handled until all are announced.
    async fn watch(&self, postmaster: Option<u32>) -> Result<Sample> {
        let mut db = PgConnection::connect(&self.place.database).await?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let watched = async {
            let (meter, first) = loop {
                ticks.tick().await;
                let count = "SELECT count(*) FROM millrace.inbox";
                let count: i64 = sqlx::query_scalar(count).fetch_one(&mut db).await?;
                if count > 0 {
                    break (Meter::begin(postmaster), count);
                }
            };
            loop {
                ticks.tick().await;
                let done: bool = sqlx::query_scalar(
                    "SELECT count(*) = cardinality($1) AND NOT EXISTS (
                         SELECT 1 FROM millrace.outbox WHERE sent_at IS NULL)
                     FROM millrace.inbox WHERE event_id = ANY($1)",
                )
                .bind(&self.last)
                .fetch_one(&mut db)
                .await?;
                if done {
                    return anyhow::Ok(meter.end((i64::from(self.records) - first) as f64));
                }
            }
        };
        tokio::time::timeout(PATIENCE, watched).await?
    }
}

/// Puts payments on the topic; the last one of each partition.
async fn fill(world: &World, topic: &str, records: u32) -> Result<Vec<Uuid>> {
    let admin = world.admin().await?;
    let subject = PaymentAccepted::subject();
    let schema = world.registry().id_of(&subject, PaymentAccepted::SCHEMA).await?;
    let sending = (0..records).map(|number| {
        let admin = admin.clone();
        async move {
            let id = Uuid::now_v7();
            let at = admin.produce(topic, payment(schema, id, number)?).await?;
            anyhow::Ok((at, id))
        }
    });
    let mut sent = futures::stream::iter(sending).buffer_unordered(ON_THE_WAY);
    let mut last = std::collections::BTreeMap::new();
    while let Some(sent) = sent.next().await {
        let ((partition, offset), id) = sent?;
        let known = last.entry(partition).or_insert((offset, id));
        *known = (*known).max((offset, id));
    }
    Ok(last.into_values().map(|(_, id)| id).collect())
}

fn payment(schema: u32, id: Uuid, number: u32) -> Result<RawRecord> {
    let price = Money::new(1990, "CAD".parse()?);
    let line = |n: u32| {
        let sku = Sku::new(&format!("article-{:05}", (number * 7 + n * 131) % 20_000))?;
        anyhow::Ok(OrderLine { sku, quantity: 1, unit_price: price })
    };
    let order = OrderId::new(Uuid::now_v7());
    let fact = PaymentAccepted {
        order_id: order,
        customer_id: CustomerId::new(&format!("customer-{:06}", number % 250_000))?,
        store_id: StoreId::new(&format!("store-{:03}", number % 500))?,
        lines: (0..3).map(line).collect::<Result<_>>()?,
        amount: Money::new(5970, "CAD".parse()?),
    };
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id.to_string()),
        ("ce_source", "/retail/payments".to_owned()),
        ("ce_type", PaymentAccepted::NAME.to_owned()),
        ("ce_subject", order.to_string()),
        ("ce_time", "2026-11-21T08:00:00Z".to_owned()),
        ("ce_sequence", format!("{:020}", 1)),
        ("ce_correlationid", order.to_string()),
        ("content-type", "application/avro".to_owned()),
    ];
    Ok(RawRecord {
        partition: None,
        key: Some(order.to_string().into_bytes()),
        payload: Some(frame(schema, &fact.to_datum())),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
    })
}
