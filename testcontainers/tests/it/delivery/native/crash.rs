//! A process that dies at any numbered step of the consume and publish paths loses nothing and
//! does nothing twice.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use harness::{Launch, Process, Signal, eventually};
use millrace::admin::RawRecord;

use super::gapless;
use super::{Bench, SOON};
use crate::tally;
use crate::tally::facts::{NOTES, TALLIES};
use crate::tally::sums::DEADLY;

/// Worlds that run side by side.
const AT_ONCE: usize = 4;
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_tally");

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_dies_at_any_step_applies_every_fact_once() -> Result<()> {
    // What is sent is written down now and then, and may be only once.
    let steps = [
        "consume.after_inbox=2",
        "consume.before_commit=2",
        "consume.after_commit=2",
        "consume.after_store=2",
        "relay.before_produce=2",
        "relay.after_ack=2",
        "relay.after_mark=1",
    ];
    let deaths = steps.map(|step| async move {
        let bench = Bench::new().await?;
        dies_and_recovers(&bench, step).await.with_context(|| step)?;
        bench.world.close().await
    });
    let mut running = futures::stream::iter(deaths).buffer_unordered(AT_ONCE);
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    Ok(())
}

async fn dies_and_recovers(bench: &Bench, step: &str) -> Result<()> {
    let writer = bench.world.mount(tally::writer()).await?;
    let mut doomed = start(bench, "tally", Some(step)).await?;
    let mut wanted = BTreeMap::new();
    for n in 0..24 {
        let book = format!("book-{}", n % 4);
        bench.note(&writer, &book, 1).await?;
        *wanted.entry(book).or_insert(0) += 1;
    }
    let status = doomed.wait(SOON).await.context("the failpoint was not reached")?;
    ensure!(!status.success(), "the process ended by itself");
    let mut healthy = start(bench, "tally", None).await?;
    bench.until_notes(&wanted).await?;
    bench.until_sent("tally", 24).await?;
    gapless(&bench.records(&TALLIES).await?, 24)?;
    ensure!(healthy.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    writer.stop().await?;
    Ok(())
}

/// It dies of the batch until it is careful, and then of the record until the record is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_kills_every_process_becomes_a_dead_letter() -> Result<()> {
    let bench = Bench::new().await?;
    for (book, amount) in [("before", 1), ("deadly", DEADLY), ("behind", 1)] {
        let note = bench.raw_note(book, 1, amount);
        bench.put(&NOTES, RawRecord { partition: Some(1), ..note }).await?;
    }
    let mut alive = until_survived(&bench, "500").await?;
    bench.until_notes(&BTreeMap::from([("before".into(), 1), ("behind".into(), 1)])).await?;
    let letter = bench.until_letters(1).await?.remove(0);
    let told = ("dlq_error_type".to_owned(), Some(b"crash".to_vec()));
    ensure!(letter.headers.contains(&told), "{letter:?}");
    let left = "SELECT count(*) FROM millrace.in_hand";
    eventually(SOON, "what was finished is not suspected any more", async || {
        match bench.count("tally", left).await {
            Ok(0) => Ok(()),
            left => Err(format!("{left:?}")),
        }
    })
    .await?;
    ensure!(alive.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    bench.world.close().await
}

/// Starts `tally` until it goes on, with batches of so many records at most.
async fn until_survived(bench: &Bench, batch_records_max: &str) -> Result<Process> {
    for _ in 0..10 {
        let launch = launch(bench, "tally", None).await?;
        let launch = launch.env("MILLRACE_CONSUME__BATCH_RECORDS_MAX", batch_records_max);
        let mut process = launch.start()?;
        let survived = eventually(SOON, "it dies or goes on", async || {
            let dead = process.wait(std::time::Duration::from_millis(1)).await.is_ok();
            let letters = bench.letters().await.map_err(|error| error.to_string())?.len();
            if dead || letters > 0 { Ok(!dead) } else { Err("neither".to_owned()) }
        })
        .await?;
        if survived {
            return Ok(process);
        }
    }
    bail!("it dies again and again")
}

/// What was handled before it is not committed on the broker when the process dies: each begins with that
/// again, and dies of a batch that is not its first.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_kills_behind_a_batch_that_went_well_becomes_a_dead_letter() -> Result<()> {
    let bench = Bench::new().await?;
    for (book, amount) in [("before", 1), ("deadly", DEADLY)] {
        let note = bench.raw_note(book, 1, amount);
        bench.put(&NOTES, RawRecord { partition: Some(1), ..note }).await?;
    }
    let mut alive = until_survived(&bench, "1").await?;
    bench.until_letters(1).await?;
    ensure!(alive.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    bench.world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_dies_around_its_commit_keeps_its_word_to_a_client_that_asks_again()
-> Result<()> {
    for step in ["door.before_commit", "door.after_commit"] {
        let bench = Bench::new().await?;
        let mut doomed = start(&bench, "writer", Some(step)).await?;
        let url = until_listening(&doomed).await?;
        let answer = request(&url).await;
        ensure!(answer.is_err(), "{step}: an answer came from a dead process");
        doomed.wait(SOON).await?;
        let mut healthy = start(&bench, "writer", None).await?;
        let url = until_listening(&healthy).await?;
        let (first, second) = (request(&url).await?, request(&url).await?);
        ensure!(first == second && first == 202, "{step}: {first}, then {second}");
        bench.until_sent("writer", 1).await?;
        gapless(&bench.records(&NOTES).await?, 1)?;
        healthy.stop(Signal::Term, SOON).await;
        bench.world.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_dies_around_its_commit_folds_every_fact_once() -> Result<()> {
    for step in ["view.before_commit", "view.after_commit"] {
        let bench = Bench::new().await?;
        let writer = bench.world.mount(tally::writer()).await?;
        let sums = bench.world.mount(tally::tally()).await?;
        let mut doomed = start(&bench, "ledger", Some(step)).await?;
        for _ in 0..12 {
            bench.note(&writer, "book", 1).await?;
        }
        doomed.wait(SOON).await.context("the failpoint was not reached")?;
        let mut healthy = start(&bench, "ledger", None).await?;
        eventually(SOON, "every sum is folded", async || {
            let folded = "SELECT COALESCE(sum(folded), 0)::bigint FROM shown";
            let folded = bench.count("ledger", folded).await.map_err(|error| error.to_string())?;
            if folded == 12 { Ok(()) } else { Err(format!("{folded} of 12")) }
        })
        .await?;
        healthy.stop(Signal::Term, SOON).await;
        writer.stop().await?;
        sums.stop().await?;
        bench.world.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_takes_less_than_64_mib_of_memory() -> Result<()> {
    let bench = Bench::new().await?;
    let mut process = start(&bench, "tally", None).await?;
    until_listening(&process).await?;
    let kib = resident(&process, "VmRSS")?;
    ensure!(kib > 1024 && kib < 64 * 1024, "{kib} KiB resident");
    process.stop(Signal::Term, SOON).await;
    bench.world.close().await
}

/// The memory of a process in KiB: `VmRSS` now, `VmHWM` at its peak.
pub(super) fn resident(process: &Process, which: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib = line.and_then(|text| text.split_whitespace().next());
    Ok(kib.with_context(|| format!("no {which}"))?.parse()?)
}

pub(super) async fn start(
    bench: &Bench,
    service: &str,
    failpoint: Option<&str>,
) -> Result<Process> {
    launch(bench, service, failpoint).await?.start()
}

/// A service's process that dies at a failpoint, if one is given.
pub(super) async fn launch(
    bench: &Bench,
    service: &str,
    failpoint: Option<&str>,
) -> Result<Launch> {
    let folder = bench.logs.path();
    let log = folder.join(format!("{service}-{}.log", uuid::Uuid::now_v7()));
    let mut launch = Launch::new(PROGRAM, log).args([service]).orphan_folder(folder);
    launch = bench.world.launch(service, launch).await?.env("RUST_LOG", "info");
    if let Some(step) = failpoint {
        // Small batches, so that the step comes more than once however fast the notes arrive.
        launch = launch
            .env("MILLRACE_FAILPOINT", step)
            .env("MILLRACE_CONSUME__BATCH_RECORDS_MAX", "5")
            .env("MILLRACE_OUTBOX__BATCH_RECORDS_MAX", "5");
    }
    Ok(launch)
}

/// The URL a process says it listens on, once it is ready.
pub(super) async fn until_listening(process: &Process) -> Result<String> {
    let found = eventually(SOON, "the process listens", async || {
        let log = process.log_tail(200);
        let start = log.find("http://127.0.0.1:").ok_or_else(|| log.clone())?;
        let end = log[start..].find(|c: char| c == '"' || c.is_whitespace());
        Ok(log[start..].get(..end.unwrap_or(log.len() - start)).unwrap_or_default().to_owned())
    });
    let url = found.await?;
    eventually(SOON, "the process is ready", async || {
        let answer =
            reqwest::get(format!("{url}/readyz")).await.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        if status.is_success() { Ok(()) } else { Err(text) }
    })
    .await?;
    Ok(url)
}

async fn request(url: &str) -> Result<u16> {
    let answer = reqwest::Client::new()
        .post(format!("{url}/v1/notes"))
        .header("Idempotency-Key", "the-only-one")
        .json(&serde_json::json!({ "book": "door", "amount": 1 }))
        .send()
        .await?;
    Ok(answer.status().as_u16())
}
