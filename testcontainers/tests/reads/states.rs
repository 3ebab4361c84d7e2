//! The topic of states, filled, and what the processes on it measure.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use harness::{Ground, World};
use millrace::admin::RawRecord;
use millrace::contract::frame;
use millrace::{Event, Money, Timestamp};
use schemas::{CustomerId, OrderId, OrderLine, OrderState, OrderStatus, Sku, StoreId, topics};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::measure::Measured;
use super::{Args, Number};

/// Records on their way to the broker.
const ON_THE_WAY: usize = 5_000;
const MIB: f64 = 1024.0 * 1024.0;
const RSS_MAX_MIB: f64 = 1024.0;
const RESTART_MAX_MS: f64 = 2_000.0;
/// The goal says seconds; half a minute is none any more.
const NEW_MAX_MS: f64 = 30_000.0;
/// A read of ours beside a read of the store.
const TIMES_MAX: f64 = 2.0;

pub(crate) async fn measure(ground: &Ground, args: &Args) -> Result<Vec<Number>> {
    let world = World::on(ground)?;
    world.create_topics(&[topics::ORDER_STATE]).await?;
    world.register([(OrderState::subject(), OrderState::SCHEMA)]).await?;
    let begun = Instant::now();
    fill(&world, args.orders).await?;
    eprintln!("{} states are in the topic after {:.1?}", args.orders, begun.elapsed());
    let folder = tempfile::tempdir()?;
    let mut config = world.replica_config("order-query");
    config.replica.dir = folder.path().join("store").display().to_string();
    config.trace.endpoint = None;
    let file = folder.path().join("config.json");
    std::fs::write(&file, serde_json::to_string(&config)?)?;
    let new: Measured = process(args, "replica", &file).await?;
    let again: Measured = process(args, "replica", &file).await?;
    let store = folder.path().join("store/replica.redb");
    let size = std::fs::metadata(&store)?.len();
    world.close().await?;
    ensure!(again.records_read == 0.0, "{} records were read again", again.records_read);
    let (orders, rss) = (args.orders, new.peak_rss.max(again.peak_rss) as f64 / MIB);
    let (p99, own) = (again.point_read_p99_us, again.store_p99_us);
    let told = format!("{orders} orders, a store of {:.0} MiB, peaks", size as f64 / MIB);
    let times = format!("{p99:.1} us, the store alone {own:.1} us, {} reads of each", args.reads);
    let read = format!("{orders} states by a new replica, ms until it is ready");
    let restart = "from the checkpoint, ms until it is ready, no record read again".to_owned();
    Ok(vec![
        Number::new("replica_rss_mib", rss, RSS_MAX_MIB, told),
        Number::new("replica_point_read_p99_times_store", p99 / own, TIMES_MAX, times),
        Number::new("replica_restart_ms", again.ready_ms, RESTART_MAX_MS, restart),
        Number::new("replica_new_ms", new.ready_ms, NEW_MAX_MS, read),
    ])
}

/// What a process of its own says at its end.
async fn process<T: DeserializeOwned>(args: &Args, part: &str, file: &Path) -> Result<T> {
    let mut program = tokio::process::Command::new(std::env::current_exe()?);
    let (orders, reads) = (args.orders.to_string(), args.reads.to_string());
    program.args(["--orders", &orders, "--reads", &reads, part]).arg(file).kill_on_drop(true);
    let output = program.stderr(std::process::Stdio::inherit()).output().await?;
    ensure!(output.status.success(), "{part}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {part} says"))
}

async fn fill(world: &World, orders: u32) -> Result<()> {
    let (admin, topic) = (world.admin().await?, world.topic(topics::ORDER_STATE));
    let schema = world.registry().id_of(&OrderState::subject(), OrderState::SCHEMA).await?;
    let (admin, topic) = (&admin, topic.as_str());
    let sending = futures::stream::iter(0..orders).map(|number| async move {
        let record = record(schema, number)?;
        admin.produce(topic, record).await?;
        anyhow::Ok(())
    });
    let mut sent = sending.buffer_unordered(ON_THE_WAY);
    while let Some(one) = sent.next().await {
        one?;
    }
    Ok(())
}

fn record(schema: u32, number: u32) -> Result<RawRecord> {
    let state = state(number)?;
    let headers = [("ce_type", OrderState::NAME.to_owned()), ("ce_sequence", format!("{:020}", 5))];
    Ok(RawRecord {
        partition: None,
        key: Some(state.order_id.to_string().into_bytes()),
        payload: Some(frame(schema, &state.to_datum())),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into()))).into(),
    })
}

/// The order with this number: its id sorts by its number, as ids sort by time.
pub(crate) fn order(number: u32) -> OrderId {
    OrderId::new(Uuid::from_u128(u128::from(number) << 80 | 0x7000_8000_0000_0000_0000))
}

fn state(number: u32) -> Result<OrderState> {
    let price = |minor: i64| Ok::<_, anyhow::Error>(Money::new(minor, "CAD".parse()?));
    let line = |n: u32| {
        let sku = Sku::new(&format!("article-{:05}", (number * 7 + n * 131) % 20_000))?;
        anyhow::Ok(OrderLine { sku, quantity: i64::from(n) + 1, unit_price: price(1990)? })
    };
    let at = |micros: i64| Timestamp::from_micros(1_790_000_000_000_000 + micros);
    let placed = i64::from(number) * 1000;
    Ok(OrderState {
        order_id: order(number),
        version: 5,
        status: OrderStatus::Confirmed,
        settled: true,
        customer_id: Some(CustomerId::new(&format!("customer-{:06}", number % 250_000))?),
        store_id: Some(StoreId::new(&format!("store-{:03}", number % 500))?),
        lines: (0..3).map(line).collect::<Result<_>>()?,
        total: Some(price(5970)?),
        placed_at: at(placed),
        closed_at: at(placed + 500),
        updated_at: at(placed + 500).unwrap_or_default(),
        missing: vec![],
        reason: None,
    })
}
