//! The six services as processes that are killed with -9 and started again on the same ports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use harness::{Folder, Home, Launch, Process, Signal, eventually};
use serde::Serialize;
use sqlx::PgPool;

use crate::demo::crowd::{Dice, open_orders};
use crate::house::{self, House};

/// From the start of a process until it is ready, with its group's old member still in the way.
const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(5);
/// Between two kills, at most.
const GAP_MS: usize = 200;
/// A dead member holds its partitions this long; the usual time only makes the story longer.
const SESSION: &str = "1500ms";
/// Small batches make many transactions, and so many places to die in.
const BATCH: &str = "25";

/// Running service processes.
pub(super) struct Fleet {
    members: BTreeMap<&'static str, Member>,
    http: reqwest::Client,
    // The folder goes when nothing runs in it any more.
    _folder: Folder,
}

struct Member {
    launch: Launch,
    process: Process,
    url: String,
    kills: usize,
}

/// What was killed in the midst of what.
#[derive(Debug, Default, Serialize)]
pub(super) struct Kills {
    pub(super) all: usize,
    /// Kills while orders had not ended yet.
    pub(super) while_open: usize,
}

impl Fleet {
    /// Starts every service of the house and waits until they are ready.
    pub(super) async fn start(house: &House) -> Result<Self> {
        let folder = Home::locate()?.run_folder()?;
        let program = std::env::current_exe().context("finding this program")?;
        let mut members = BTreeMap::new();
        for name in house::names() {
            let place = folder.path().join(name);
            std::fs::create_dir(&place)?;
            let launch = Launch::new(&program, place.join("log"))
                .args(["service", name])
                .folder(&place)
                .orphan_folder(&place)
                .env("RUST_LOG", "warn");
            let launch = house.world().launch(name, launch).await?;
            let launch = launch
                .env("MILLRACE_HTTP__LISTEN", &house.config(name)?.http.listen)
                .env("MILLRACE_CONSUME__SESSION_TIMEOUT", SESSION)
                .env("MILLRACE_CONSUME__BATCH_RECORDS_MAX", BATCH)
                .env("MILLRACE_OUTBOX__BATCH_RECORDS_MAX", BATCH)
                .env("MILLRACE_TRACE__SAMPLE_RATIO", "0");
            let (process, url) = (launch.start()?, house.url(name)?);
            members.insert(name, Member { launch, process, url, kills: 0 });
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        let fleet = Self { members, http, _folder: folder };
        try_join_all(house::names().map(|name| fleet.until_ready(name))).await?;
        Ok(fleet)
    }

    /// How often a service was killed.
    pub(super) fn kills_of(&self, name: &str) -> usize {
        self.members.get(name).map(|member| member.kills).unwrap_or_default()
    }

    /// Kills a service with -9.
    pub(super) fn kill(&mut self, name: &str) -> Result<()> {
        let member = self.member(name)?;
        member.process.kill();
        member.kills += 1;
        Ok(())
    }

    /// Starts a service that was killed.
    pub(super) fn start_again(&mut self, name: &str) -> Result<()> {
        let member = self.member(name)?;
        member.process = member.launch.start()?;
        Ok(())
    }

    /// Kills orders again and again while it takes orders, until `goal` of them are placed.
    pub(super) async fn kill_while_placing(
        &mut self,
        dice: &mut Dice,
        placed: &AtomicUsize,
        goal: usize,
        times: usize,
    ) -> Result<()> {
        for time in 1..=times {
            let due = goal * time / (times + 1);
            until_placed(placed, due).await?;
            self.kill("orders")?;
            pause(dice).await;
            self.start_again("orders")?;
        }
        until_placed(placed, goal).await
    }

    /// Kills every service once in each round, in an order and at moments that the dice choose.
    pub(super) async fn kill_in_rounds(
        &mut self,
        dice: &mut Dice,
        rounds: usize,
        orders: &PgPool,
    ) -> Result<Kills> {
        let mut kills = Kills::default();
        for _ in 0..rounds {
            let mut victims: Vec<&'static str> = house::names().collect();
            while !victims.is_empty() {
                let victim = victims.swap_remove(dice.roll(victims.len()));
                // One that never gets ready is not killed in the midst of anything.
                self.until_ready(victim).await?;
                pause(dice).await;
                let open = open_orders(orders).await?;
                self.kill(victim)?;
                kills.all += 1;
                kills.while_open += usize::from(open > 0);
                self.start_again(victim)?;
            }
        }
        Ok(kills)
    }

    /// Ends every process in good order.
    pub(super) async fn stop(mut self) {
        for member in self.members.values_mut() {
            member.process.signal(Signal::Term);
        }
        for member in self.members.values_mut() {
            member.process.stop(Signal::Term, STOP).await;
        }
    }

    async fn until_ready(&self, name: &str) -> Result<()> {
        let member = self.members.get(name).with_context(|| format!("no service {name}"))?;
        let url = format!("{}/readyz?verbose", member.url);
        let what = format!("{name} is ready again");
        let ready = eventually(READY, &what, async || {
            let answer = self.http.get(&url).send().await.map_err(|error| error.to_string())?;
            let (good, said) = (answer.status().is_success(), answer.text().await);
            if good { Ok(()) } else { Err(said.unwrap_or_default()) }
        });
        ready.await.with_context(|| member.process.log_tail(10))
    }

    fn member(&mut self, name: &str) -> Result<&mut Member> {
        self.members.get_mut(name).with_context(|| format!("there is no service {name}"))
    }
}

async fn until_placed(placed: &AtomicUsize, goal: usize) -> Result<()> {
    eventually(READY, &format!("{goal} orders are placed"), async || {
        let placed = placed.load(Ordering::Relaxed);
        if placed >= goal { Ok(()) } else { Err(format!("{placed} are")) }
    })
    .await
}

/// A moment of the dice's choice: the kills must not fall into step with the work.
async fn pause(dice: &mut Dice) {
    let moment = u64::try_from(dice.roll(GAP_MS)).unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(moment)).await;
}
