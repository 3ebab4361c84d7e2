//! What one process measures of itself.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::eventually;
use millrace::{Config, Running};
use order_query::Orders;
use rand::{Rng, SeedableRng, rngs::StdRng};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use super::states::order;

/// As the replica keeps them.
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const CACHE_BYTES: usize = 64 * 1024 * 1024;
const READY_MAX: Duration = Duration::from_secs(900);
const SEED: u64 = 7;

/// What a replica measured of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) ready_ms: f64,
    pub(crate) records_read: f64,
    pub(crate) point_read_p99_us: f64,
    /// Of the store's own reads of the same rows, in turns with ours.
    pub(crate) store_p99_us: f64,
    pub(crate) peak_rss: u64,
}

/// From the start of the process to a ready replica, and reads of it.
pub(crate) async fn replica(config: &Path, orders: u32, reads: u32) -> Result<Measured> {
    let begun = Instant::now();
    let config: Config = serde_json::from_slice(&std::fs::read(config)?)?;
    let folder = config.replica.dir.clone();
    let replica = millrace::mount(order_query::service(), config).await?;
    eventually(READY_MAX, "the replica is ready", async || match replica.health().started() {
        true => Ok(()),
        false => Err(format!("{:?}", replica.health().ready())),
    })
    .await?;
    let ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
    let peak_rss = peak_rss()?;
    let lookup = replica.lookup::<Orders>().context("a replica")?;
    let ours = |number| {
        let held = lookup.get(&order(number)).ok().flatten();
        held.is_some_and(|held| held.state.is_some())
    };
    let copy = Path::new(&folder).join("copy.redb");
    std::fs::copy(Path::new(&folder).join("replica.redb"), &copy)?;
    let database = Database::builder().set_cache_size(CACHE_BYTES).open(&copy)?;
    let own = |number| {
        let read = || -> Result<bool> {
            let key = order(number).uuid();
            let rows = database.begin_read()?.open_table(ROWS)?;
            Ok(rows.get(key.as_bytes().as_slice())?.is_some_and(|row| !row.value().is_empty()))
        };
        read().unwrap_or(false)
    };
    let (point_read_p99_us, store_p99_us) = p99s(orders, reads, ours, own)?;
    drop(database);
    std::fs::remove_file(copy)?;
    let records_read = records_read(&replica).await?;
    replica.stop().await?;
    Ok(Measured { ready_ms, records_read, point_read_p99_us, store_p99_us, peak_rss })
}

/// Microseconds that 99 of 100 reads of orders at random take at most, of either kind, in turns; after
/// as many that count not.
fn p99s(
    orders: u32,
    reads: u32,
    mut one: impl FnMut(u32) -> bool,
    mut other: impl FnMut(u32) -> bool,
) -> Result<(f64, f64)> {
    let mut chance = StdRng::seed_from_u64(SEED);
    let mut took: [Vec<Duration>; 2] = Default::default();
    for round in 0..2 * reads {
        for which in [round % 2, (round + 1) % 2] {
            let number = chance.random_range(0..orders);
            let begun = Instant::now();
            let found = if which == 0 { one(number) } else { other(number) };
            let elapsed = begun.elapsed();
            ensure!(found, "order {number} is not there");
            if round >= reads {
                took[which as usize].push(elapsed);
            }
        }
    }
    let p99 = |mut took: Vec<Duration>| {
        took.sort_unstable();
        took.get(took.len() * 99 / 100).map(|took| took.as_secs_f64() * 1e6).context("no reads")
    };
    let [one, other] = took;
    Ok((p99(one)?, p99(other)?))
}

async fn records_read(replica: &Running) -> Result<f64> {
    let text = reqwest::get(format!("{}/metrics", replica.url())).await?.text().await?;
    let lines = text.lines().filter(|line| line.starts_with("replica_records_total"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// The most memory that this process has had, in bytes.
fn peak_rss() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kib: u64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kib * 1024)
}
