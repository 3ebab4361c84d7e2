//! Instances of a service come and go while orders flow, each a process of its own: six join, one
//! leaves in good order, one freezes and wakes up as a zombie, one dies. Every order has one end,
//! and what was delivered twice acted once.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use harness::fault::{Crew, Fleet};
use harness::{Ground, Signal, World, eventually};
use ops::command::group;
use ops::{Endpoints, Retailer};
use sqlx::PgPool;
use sqlx::types::time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::audit::{self, Books, Published};
use super::balance;
use super::crowd::{self, Crowd, Dice};
use super::facts::Log;
use super::report::Tale;
use crate::house::{self, House};

pub(super) const ABOUT: &str =
    "Instances join, leave, freeze and die while orders flow: every order ends once.";

/// Services that grow from one instance to three.
const TEAMS: [&str; 3] = ["stock", "payments", "sales"];
const JOINING: [usize; 2] = [2, 3];
const SEED: u64 = 20_260_102;
/// More than are placed before everything has happened.
const ORDERS_MAX: usize = 5_000;
/// A member that gives no sign is missed after this time.
const SESSION: &str = "1500ms";
const PATIENCE: Duration = Duration::from_secs(60);
const DUPLICATES: &str = "inbox_duplicates_total";
/// Records that an instance took from its partitions, whether it reads their type or not.
const TAKEN: [&str; 2] = ["messaging_client_consumed_messages_total", "consumer_skipped_total"];

/// The instances, and where it can be seen what they do.
struct Teams<'a> {
    fleet: Fleet,
    log: &'a Log,
    orders: &'a PgPool,
    crowd: Crowd,
}

/// What was seen while it happened.
#[derive(Debug, Default)]
struct Seen {
    /// What happened, how long it took, and how many orders were placed meanwhile.
    changes: Vec<(&'static str, Duration, usize)>,
    /// Records that each instance of stock had taken before one of them left.
    shares: BTreeMap<String, u64>,
    /// Facts that came twice, and records that were published twice, until the one that left was
    /// replaced.
    repeated: (u64, usize),
}

pub(super) async fn tell(ground: &Ground, tale: &mut Tale) -> Result<()> {
    let house = House::build(World::on(ground)?, None).await?;
    let books = Books::of(&house)?;
    let log = Log::new(ground.admin().await?, house.world().prefix());
    let fleet = Fleet::start(house.world(), &crews()?).await?;
    let retailer = Retailer::new(endpoints(&house, &fleet)?).with_patience(PATIENCE);
    let crowd = Crowd::gather(&retailer, &mut Dice(SEED), ORDERS_MAX).await?;
    let orders = &Books::named(&books, "orders")?.database;
    let teams = Teams { fleet, log: &log, orders, crowd };

    let stop = CancellationToken::new();
    let changing = async {
        let _stops = stop.clone().drop_guard();
        teams.change().await
    };
    let (placed, seen) = tokio::join!(teams.crowd.place_until(&retailer, &stop), changing);
    let (seen, placed) = (seen?, placed?);
    crowd::until_all_ended(orders, PATIENCE).await?;
    let published = audit::until_quiet(&log, &books, PATIENCE).await?;

    seen.show(tale);
    audit::check(tale, &published, &books).await?;
    balance::check(tale, &published, &books, &teams.crowd, &placed).await?;
    tale.count("facts that came twice and acted once", teams.sum(DUPLICATES).await?);
    tale.count("records that repeat one before", published.repeated);
    teams.fleet.stop().await;
    Ok(())
}

/// Every service once, and some with instances that are to join.
fn crews() -> Result<Vec<Crew>> {
    let program = std::env::current_exe().context("finding this program")?;
    let crew = |name: &'static str| {
        let spares = if TEAMS.contains(&name) { JOINING.len() } else { 0 };
        Crew::new(name, &program)
            .args(["service", name])
            .spares(spares)
            .env("RUST_LOG", "warn")
            .env("MILLRACE_CONSUME__SESSION_TIMEOUT", SESSION)
            .env("MILLRACE_TRACE__SAMPLE_RATIO", "0")
    };
    Ok(house::names().map(crew).collect())
}

/// Clients reach the first instance of each service, which stays.
fn endpoints(house: &House, fleet: &Fleet) -> Result<Endpoints> {
    let mut endpoints = house.endpoints();
    for name in house::names() {
        let url = fleet.instance(&format!("{name}/1"))?.url();
        endpoints.services.insert(name.to_owned(), url);
    }
    Ok(endpoints)
}

impl Teams<'_> {
    /// Everything that happens to the instances.
    async fn change(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        let (mut begun, mut before) = (Instant::now(), self.placed());
        let mut changed = |seen: &mut Seen, what| {
            let (now, placed) = (Instant::now(), self.placed());
            seen.changes.push((what, now - begun, placed - before));
            (begun, before) = (now, placed);
        };
        self.join().await?;
        changed(&mut seen, "six instances joined");

        for instance in self.fleet.of("stock") {
            let taken = taken(&instance.metrics().await?);
            seen.shares.insert(instance.name().to_owned(), taken);
        }
        ensure!(self.fleet.instance("stock/3")?.stop().await, "stock/3 did not end by itself");
        self.until_members("stock", 2).await?;
        self.until_caught_up().await?;
        let published = Published::read(self.log).await?;
        seen.repeated = (self.sum(DUPLICATES).await?, published.repeated);
        changed(&mut seen, "stock/3 left in good order");

        tokio::try_join!(self.freeze_and_wake("payments/3"), self.kill("sales/3"))?;
        changed(&mut seen, "payments/3 froze and woke up, sales/3 was killed");
        Ok(seen)
    }

    /// Two more of each team, until all of them have something to do.
    async fn join(&self) -> Result<()> {
        let names: Vec<String> =
            TEAMS.iter().flat_map(|team| JOINING.map(|n| format!("{team}/{n}"))).collect();
        let joining = names.iter().map(async |name| {
            let instance = self.fleet.instance(name)?;
            instance.start().await?;
            instance.until_ready().await?;
            eventually(PATIENCE, &format!("{name} takes records"), async || {
                let metrics = instance.metrics().await.map_err(|error| error.to_string())?;
                if taken(&metrics) > 0 { Ok(()) } else { Err("none yet".to_owned()) }
            })
            .await
        });
        try_join_all(joining).await?;
        try_join_all(TEAMS.map(|team| self.until_members(team, 1 + JOINING.len()))).await?;
        Ok(())
    }

    /// When it wakes up it is no member any more, and believes that its partitions are its own.
    async fn freeze_and_wake(&self, name: &str) -> Result<()> {
        let frozen = self.fleet.instance(name)?;
        frozen.signal(Signal::Stop).await;
        self.until_members(frozen.service(), 2).await?;
        frozen.signal(Signal::Continue).await;
        self.until_members(frozen.service(), 3).await
    }

    async fn kill(&self, name: &str) -> Result<()> {
        let killed = self.fleet.instance(name)?;
        killed.kill().await;
        self.until_members(killed.service(), 2).await
    }

    async fn until_members(&self, service: &str, wanted: usize) -> Result<()> {
        let group = group(self.log.prefix(), service);
        eventually(PATIENCE, &format!("{group} has {wanted} members"), async || {
            let found = self.log.admin().group(&group).await.map_err(|error| error.to_string())?;
            if found.members == wanted { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await
    }

    /// Waits until every order that was placed before now has ended.
    async fn until_caught_up(&self) -> Result<()> {
        let now = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(self.orders);
        let now: OffsetDateTime = now.await?;
        let open = "SELECT count(*) FROM orders WHERE deadline IS NOT NULL AND placed_at < $1";
        eventually(PATIENCE, "the orders of before have ended", async || {
            let open = sqlx::query_scalar(open).bind(now).fetch_one(self.orders).await;
            let open: i64 = open.map_err(|error| error.to_string())?;
            if open == 0 { Ok(()) } else { Err(format!("{open} are open")) }
        })
        .await
    }

    /// The sum of a counter over all instances that run.
    async fn sum(&self, counter: &str) -> Result<u64> {
        let mut sum = 0;
        for instance in self.fleet.instances() {
            if instance.runs().await {
                sum += count(&instance.metrics().await?, counter);
            }
        }
        Ok(sum)
    }

    fn placed(&self) -> usize {
        self.crowd.placed().load(Ordering::Relaxed)
    }
}

impl Seen {
    fn show(&self, tale: &mut Tale) {
        for (what, took, placed) in &self.changes {
            let meanwhile = format!("{} ms, {placed} orders meanwhile", took.as_millis());
            tale.count(*what, meanwhile);
            tale.expect_that(&format!("orders flow while {what}"), *placed > 0, placed);
        }
        for (instance, taken) in &self.shares {
            tale.count(format!("records that {instance} had taken before one left"), taken);
        }
        let (facts, records) = self.repeated;
        tale.expect("facts that came twice by then", 0, facts);
        tale.expect("records that were published twice by then", 0, records);
    }
}

fn taken(metrics: &str) -> u64 {
    TAKEN.iter().map(|counter| count(metrics, counter)).sum()
}

/// The sum of all series of a counter.
fn count(metrics: &str, counter: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(counter));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
