//! One run: a world of its own, the defect, the work, the rest and the verdict.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::check::{Collector, Evidence, TRANSPORT, Verdict, judge};
use harness::{Ground, eventually};
use millrace::plant::{self, Plant};
use tokio::task::JoinHandle;

use crate::law::{self, LAW};
use crate::shop::{Shop, services};
use crate::work;

/// Everything has come to rest when nothing has changed for this long.
const QUIET: Duration = Duration::from_secs(2);
/// Or when so much time has passed: a defect may keep something in motion for ever.
const REST_MAX: Duration = Duration::from_secs(20);

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
    /// The shop closes beside the next run.
    pub(crate) closing: JoinHandle<()>,
}

/// Plants a defect, works, and judges.
pub(crate) async fn one(ground: &Ground, plant: Option<Plant>) -> Result<Outcome> {
    let began = Instant::now();
    // The doors are used to furnish the shop; their defects come after that.
    let at_the_door = plant.is_some_and(|plant| plant.name().starts_with("door-"));
    plant::only(plant.filter(|_| !at_the_door));
    let relays = if plant == Some(Plant::RelaySkipLocked) { 2 } else { 1 };
    let mut shop = Shop::open(ground, relays).await?;
    plant::only(plant);
    work::all(&mut shop).await?;
    let evidence = at_rest(&shop).await?;
    let verdict = judge(&evidence, &[TRANSPORT, LAW]);
    plant::only(None);
    let (took, closing) = (began.elapsed(), tokio::spawn(shop.close()));
    Ok(Outcome { verdict, took, closing })
}

/// What is known when nothing changes any more.
async fn at_rest(shop: &Shop) -> Result<Evidence> {
    let services = services();
    let collector = Collector::new(&shop.world, &services, &law::Books);
    let collect = async || collector.collect(&shop.history, &shop.poisons, &[]).await;
    let mut last: Option<(Vec<usize>, Instant)> = None;
    let rested = eventually(REST_MAX, "everything comes to rest", async || {
        let evidence = collect().await.map_err(|error| format!("{error:#}"))?;
        let now = measure(&evidence);
        match &last {
            Some((before, since)) if *before == now && since.elapsed() > QUIET => Ok(evidence),
            Some((before, _)) if *before == now => Err("it has only just come to rest".to_owned()),
            _ => {
                last = Some((now, Instant::now()));
                Err("something changes".to_owned())
            }
        }
    })
    .await;
    match rested {
        Ok(evidence) => Ok(evidence),
        Err(_) => collect().await,
    }
}

/// How much there is of everything.
fn measure(evidence: &Evidence) -> Vec<usize> {
    let mut sizes: Vec<usize> = evidence.topics.iter().map(|log| log.records.len()).collect();
    sizes.push(evidence.spans.len());
    for books in &evidence.services {
        let committed = books.committed.iter().filter_map(|at| at.offset).sum::<i64>();
        let folded = books.positions.iter().map(|at| at.next_offset).sum::<i64>();
        let unsent = books.outbox.iter().filter(|row| !row.sent).count();
        let handled = books.inbox.iter().filter(|row| row.outcome == "handled").count();
        let waiting = books.parked.iter().filter(|row| row.status == "waiting").count();
        let counts = [committed.unsigned_abs() as usize, folded.unsigned_abs() as usize];
        sizes.extend(counts);
        sizes.extend([books.inbox.len(), handled, unsent, waiting, books.parked.len()]);
    }
    sizes
}
