//! A view of many facts, made anew beside its live rows: how fast, what whoever is live notices of it,
//! and whether the rows are the same.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::{Ground, World, eventually};
use millrace::admin::Watermarks;
use millrace::control::{Build, Kind, Place};
use schemas::topics;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::facts::{FACTS, Facts, READ};
use super::states::order;
use super::{Args, Number};

const VIEW: &str = "order-view";
/// A consumer that commits one record at a time is timed over so many, after some that count not.
const ALONE: i64 = 10_000;
const WARM: i64 = 2_000;
/// New orders in each second while it is measured what they notice.
const RATE: u32 = 50;
/// Orders without a rebuild beside them.
const CALM: u32 = RATE * 30;
/// A look costs what is measured: few of them, over one connection.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(900);
const TIMES_MIN: f64 = 10.0;
const SLOWER_MAX: f64 = 1.2;

pub(crate) async fn measure(ground: &Ground, args: &Args) -> Result<Vec<Number>> {
    let world = World::on(ground)?;
    let made: Vec<_> = READ.into_iter().chain([topics::ORDER_STATE]).collect();
    world.create_topics(&made).await?;
    let facts = Facts::new(&world).await?;
    facts.fill(args.facts / FACTS).await?;
    let records = facts.records().await?;
    eprintln!("{records} records of {} facts are in the topics", args.facts);
    let alone = alone(&world).await?;
    let view = world.mount_with(order_view::service(), |config| config.trace.endpoint = None);
    let view = view.await?;
    let mut db = world.database(VIEW).await?;
    let (left, began) = (records - folded(&mut db, "millrace").await?, Instant::now());
    until_folded(&world, "millrace", records).await?;
    let live = left as f64 / began.elapsed().as_secs_f64();
    let scene = Scene { world: &world, facts: &facts };
    let calm = scene.place(args.facts..args.facts + CALM, &CancellationToken::new()).await?;
    let before = digest(&world, None).await?;
    let rebuilt = scene.rebuild().await?;
    // Half of it alone, then half of it beside live traffic.
    let (begun, began) = (building(&mut db, |_, _| true).await?, Instant::now());
    let half = building(&mut db, |folded, _| folded >= rebuilt / 2).await?;
    let (alone_took, stop, began) = (began.elapsed(), CancellationToken::new(), Instant::now());
    let (beside, all) = tokio::join!(scene.place(args.facts * 2..u32::MAX, &stop), async {
        let all = building(&mut db, |_, caught_up| caught_up).await;
        stop.cancel();
        all
    });
    let (beside, rate) = (beside?, (all? - half) as f64 / began.elapsed().as_secs_f64());
    let all = facts.records().await?;
    until_folded(&world, "millrace", all).await?;
    until_folded(&world, "build_2", all).await?;
    let (now, anew) = (digest(&world, None).await?, digest(&world, Some("build_2")).await?);
    ensure!(now != before, "the new orders are not in the view");
    view.stop().await?;
    world.close().await?;
    let fast = (half - begun) as f64 / alone_took.as_secs_f64();
    let told = format!(
        "{rate:.0} records/s beside live traffic, {alone:.0} committed one at a time; live {live:.0}"
    );
    let quiet = format!("{fast:.0} records/s without live traffic");
    let notice = format!("{:.1} ms beside the rebuild, {:.1} ms without", beside * 1e3, calm * 1e3);
    let same = format!("{rebuilt} records, some twice, some late, one topic ahead of the other");
    Ok(vec![
        Number::at_least("rebuild_times_one_at_a_time", rate / alone, TIMES_MIN, told),
        Number::at_least("rebuild_alone_times_one_at_a_time", fast / alone, TIMES_MIN, quiet),
        Number::new("live_p99_beside_rebuild", beside / calm, SLOWER_MAX, notice),
        Number::new("rows_differ_after_rebuild", f64::from(u8::from(now != anew)), 0.0, same),
    ])
}

/// Records that a view folds in a second when each has a commit of its own.
async fn alone(world: &World) -> Result<f64> {
    let mut config = world.config(VIEW).await?;
    config.consume.batch_records_max = 1;
    config.trace.endpoint = None;
    let view = millrace::mount(order_view::service(), config).await?;
    until_folded(world, "millrace", WARM).await?;
    let mut db = world.database(VIEW).await?;
    let (began, first) = (Instant::now(), folded(&mut db, "millrace").await?);
    until_folded(world, "millrace", first + ALONE).await?;
    let done = folded(&mut db, "millrace").await? - first;
    let rate = done as f64 / began.elapsed().as_secs_f64();
    view.stop().await?;
    Ok(rate)
}

/// Milliseconds since 1970, as the broker counts them.
fn millis() -> i64 {
    (time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64
}

struct Scene<'a> {
    world: &'a World,
    facts: &'a Facts<'a>,
}

impl Scene<'_> {
    /// Places orders at a steady rate until it is told to stop: the 99th percentile of the time until
    /// what an order amounts to is on its topic.
    async fn place(&self, orders: Range<u32>, stop: &CancellationToken) -> Result<f64> {
        let (admin, topic) = (self.world.admin().await?, self.world.topic(topics::ORDER_STATE));
        let begins = admin.watermarks(&topic).await?;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        let mut placed = HashMap::new();
        for number in orders {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            placed.insert(order(number).to_string(), millis());
            self.facts.place(number).await?;
        }
        let took = eventually(PATIENCE, "every order is told of", async || {
            let ends = admin.watermarks(&topic).await.map_err(|error| error.to_string())?;
            let since = begins.iter().zip(ends);
            let since = since.map(|(begin, end)| Watermarks { low: begin.high, ..end }).collect();
            let said =
                admin.read_between(&topic, since).await.map_err(|error| error.to_string())?;
            let mut took = HashMap::new();
            for record in said {
                let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
                if let (Some(placed), Some(at)) = (placed.get(&*key), record.timestamp) {
                    took.entry(key.into_owned()).or_insert((at - placed) as f64 / 1e3);
                }
            }
            match took.len() == placed.len() {
                true => Ok(took.into_values().collect::<Vec<f64>>()),
                false => Err(format!("{} of {}", took.len(), placed.len())),
            }
        });
        let mut took = took.await?;
        took.sort_by(f64::total_cmp);
        took.get(took.len() * 99 / 100).copied().context("no order was placed")
    }

    /// Asks for a build by the same code, of so many records, and does not wait for it.
    async fn rebuild(&self) -> Result<i64> {
        let (admin, mut to) = (self.world.admin().await?, vec![]);
        for topic in READ {
            for mark in admin.watermarks(&self.world.topic(topic)).await? {
                let (topic, partition) = (topic.name.to_owned(), mark.partition);
                to.push(Place { topic, partition, offset: mark.high });
            }
        }
        let records = to.iter().map(|place| place.offset).sum();
        let mut db = self.world.database(VIEW).await?;
        let live = "SELECT fold FROM millrace.projection WHERE state = 'live'";
        let fold = sqlx::query_scalar(live).fetch_one(&mut db).await?;
        let kind = Kind::Projection { action: Build::Rebuild { fold, to, records } };
        self.world.ask(&format!("retail.{VIEW}"), kind).await?;
        Ok(records)
    }
}

/// How many records the build in the making has folded when it is as far as this.
async fn building(db: &mut PgConnection, far: impl Fn(i64, bool) -> bool) -> Result<i64> {
    let (began, mut ticks) = (Instant::now(), tokio::time::interval(LOOK_EVERY));
    loop {
        ticks.tick().await;
        let build: Option<(i64, bool)> = sqlx::query_as(
            "SELECT folded, caught_up_at IS NOT NULL FROM millrace.projection
             WHERE state = 'building'",
        )
        .fetch_optional(&mut *db)
        .await?;
        match build {
            Some((folded, caught_up)) if far(folded, caught_up) => return Ok(folded),
            _ => ensure!(began.elapsed() < PATIENCE, "the build is not made"),
        }
    }
}

/// Waits until a set of tables knows so many records.
async fn until_folded(world: &World, schema: &str, records: i64) -> Result<()> {
    let began = Instant::now();
    let (mut ticks, mut db) = (tokio::time::interval(LOOK_EVERY), world.database(VIEW).await?);
    loop {
        ticks.tick().await;
        let folded = folded(&mut db, schema).await?;
        if folded >= records {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{schema} has folded {folded} of {records}");
    }
}

async fn folded(db: &mut PgConnection, schema: &str) -> Result<i64> {
    // The schema is one of ours.
    let sum = format!("SELECT COALESCE(sum(next_offset), 0)::bigint FROM {schema}.view_position");
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sum)).fetch_one(db).await.unwrap_or(0))
}

/// A fingerprint of the rows: the live ones, or those of a build.
async fn digest(world: &World, build: Option<&str>) -> Result<String> {
    let mut db = world.database(VIEW).await?;
    if let Some(schema) = build {
        let path = format!("SET search_path = {schema}, public");
        sqlx::query(sqlx::AssertSqlSafe(path)).execute(&mut db).await?;
    }
    Ok(order_view::digest(&mut db).await?)
}
