//! Five services in a row, each of which does the work of a hop: ours, or those of a peer.

mod step;

use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use futures::future::try_join_all;
use harness::{Ground, World};
use millrace::Running;
use millrace::admin::RawRecord;
use schemas::OrderId;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::hop::{announced, drawn, payment, record};
use crate::meter::{Beside, Meter};
use crate::peers::{Announces, Place, bare, make_outbox, per_message};
use crate::rounds::Sample;
pub(crate) use step::HOPS;
use step::{NAMES, SCHEMAS, SERVICES, TOPICS};

const ON_THE_WAY: usize = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(180);
/// Of a service that takes a transaction for each record.
const WORKERS: usize = 6;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Five services of ours.
    Ours,
    /// Five bare loops: what is possible.
    Bare,
    /// A transaction for each record, six workers in each service, and relays that poll.
    PerMessage,
}

/// A world with the topics of a chain, and databases for its services.
pub(crate) struct Chain {
    world: World,
    pub(crate) places: Vec<Place>,
    /// The registry's id of what comes from outside.
    schema: u32,
    pub(crate) beside: Beside,
}

/// Services at work.
pub(crate) enum AtWork {
    Ours(Vec<Running>),
    Peers(JoinSet<Result<()>>, CancellationToken),
}

impl Chain {
    pub(crate) async fn new(ground: &Ground) -> Result<Self> {
        let world = World::on(ground)?;
        world.create_topics(&TOPICS.iter().collect::<Vec<_>>()).await?;
        let subject = |number: usize| format!("{}-{}", TOPICS[number].name, NAMES[number]);
        world.register((0..=HOPS).map(|number| (subject(number), SCHEMAS[number]))).await?;
        let mut ids = vec![];
        for (number, schema) in SCHEMAS.iter().enumerate() {
            ids.push(world.registry().id_of(&subject(number), schema).await?);
        }
        // The tables are the same for every side.
        AtWork::Ours(mount(&world).await?).stop().await?;
        for service in SERVICES {
            make_outbox(&mut world.database(service).await?).await?;
        }
        let mut places = vec![];
        for (number, service) in SERVICES.iter().enumerate() {
            places.push(Place {
                bootstrap: ground.bootstrap_servers().to_owned(),
                group: format!("{}peer-{number}", world.prefix()),
                reads: TOPICS[number].name,
                writes: TOPICS[number + 1].name,
                prefix: world.prefix().to_owned(),
                database: world.database_url(service).await?,
                announces: Announces::Step(NAMES[number + 1]),
                schema: ids[number + 1],
                spans: false,
            });
        }
        let beside = Beside::of(ground).await;
        Ok(Self { world, places, schema: ids[0], beside })
    }

    /// Where orders come in, on the broker.
    pub(crate) fn first(&self) -> String {
        self.world.topic(&TOPICS[0])
    }

    /// Where they come out.
    pub(crate) fn last(&self) -> String {
        self.world.topic(&TOPICS[HOPS])
    }

    /// The order with a number, as it comes in.
    pub(crate) fn order(&self, number: u32) -> Result<RawRecord> {
        let fact = payment(order(number), number)?;
        Ok(record(NAMES[0], self.schema, Uuid::now_v7(), &fact))
    }

    /// Puts so many orders where they come in.
    pub(crate) async fn fill(&self, orders: u32) -> Result<()> {
        let (admin, first) = (&self.world.admin().await?, &self.first());
        let sending = (0..orders).map(|number| async move {
            admin.produce(first, self.order(number)?).await?;
            anyhow::Ok(())
        });
        let mut sent = futures::stream::iter(sending).buffer_unordered(ON_THE_WAY);
        while let Some(sent) = sent.next().await {
            sent?;
        }
        Ok(())
    }

    /// Lets a side work.
    pub(crate) async fn begin(&self, side: Side) -> Result<AtWork> {
        if side == Side::Ours {
            return Ok(AtWork::Ours(mount(&self.world).await?));
        }
        let (mut peers, stop) = (JoinSet::new(), CancellationToken::new());
        for place in self.places.clone() {
            let until = stop.clone();
            peers.spawn(async move {
                match side {
                    Side::Bare => bare::run(place, until).await,
                    _ => per_message::run(place, WORKERS, until).await,
                }
            });
        }
        Ok(AtWork::Peers(peers, stop))
    }

    /// From the first order that the first service handles until all are announced by the last.
    pub(crate) async fn watch(&self, orders: u32) -> Result<Sample> {
        let (admin, last) = (self.world.admin().await?, self.last());
        let mut begins = PgConnection::connect(&self.places[0].database).await?;
        let mut ends = PgConnection::connect(&self.places[HOPS - 1].database).await?;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        let watched = async {
            let (meter, before) = loop {
                ticks.tick().await;
                let before = drawn(&mut begins).await?;
                if before > 0 {
                    break (Meter::begin(self.beside), before);
                }
            };
            loop {
                ticks.tick().await;
                // Cheap until it is nearly so: whoever looks takes from what is measured.
                if drawn(&mut ends).await? < i64::from(orders) {
                    continue;
                }
                if announced(&admin, &last).await? == i64::from(orders) {
                    return anyhow::Ok(meter.end(f64::from(orders) - before as f64));
                }
            }
        };
        tokio::time::timeout(PATIENCE, watched).await.context("the chain does not end")?
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.world.close().await
    }
}

impl AtWork {
    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Ours(running) => {
                for running in running {
                    running.stop().await?;
                }
            }
            Self::Peers(mut peers, stop) => {
                stop.cancel();
                while let Some(ended) = peers.join_next().await {
                    ended??;
                }
            }
        }
        Ok(())
    }
}

/// The order with this number.
fn order(number: u32) -> OrderId {
    OrderId::new(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(number)))
}

/// The number of an order, from the key of its record.
pub(crate) fn number(key: &[u8]) -> Result<u32> {
    let order: Uuid = std::str::from_utf8(key)?.parse()?;
    Ok(order.as_u128() as u32)
}

async fn mount(world: &World) -> Result<Vec<Running>> {
    let mounting = step::services().map(|service| async {
        world.mount_with(service, |config| config.trace.endpoint = None).await
    });
    try_join_all(mounting).await
}
