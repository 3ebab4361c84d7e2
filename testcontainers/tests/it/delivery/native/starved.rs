//! A process that has too few of what it needs goes on as soon as it has enough again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::{Launch, Process, Signal, eventually};
use tokio::net::TcpStream;
use tokio::time::interval;

use super::crash::{PROGRAM, start, until_listening};
use super::{Bench, SOON};
use crate::tally;

/// Enough to start, and to serve a few.
const FILES_MAX: u32 = 64;
/// It may run for one of ten turns.
const TURN: Duration = Duration::from_millis(10);
/// Twenty seconds: several session time-outs of the group.
const TURNS: u64 = 2000;
const NOTE_EVERY: u64 = 100;
const LOG_LINES: usize = 10_000;
const ASSIGNED: &str = "partitions assigned";
/// Connections that say nothing.
const SILENT: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_file_descriptors_lives_and_serves_when_it_has_some_again() -> Result<()>
{
    let bench = Bench::new().await?;
    let folder = bench.logs.path();
    let limited = format!("ulimit -n {FILES_MAX}; exec \"$0\" \"$@\"");
    let launch = Launch::new("/bin/sh", folder.join("writer.log"));
    let launch = launch.args(["-c", &limited, PROGRAM, "writer"]).orphan_folder(folder);
    let mut process = bench
        .world
        .launch("writer", launch)
        .await?
        .env("RUST_LOG", "warn,millrace=info")
        .start()?;
    let url = until_listening(&process).await?;
    let address = url.trim_start_matches("http://");
    let mut silent = vec![];
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(address).await?);
    }
    eventually(SOON, "it runs out of files", async || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", process.id()));
        let open = open.map_err(|error| error.to_string())?.count();
        if open + 2 >= FILES_MAX as usize { Ok(()) } else { Err(format!("{open} are open")) }
    })
    .await?;
    drop(silent);
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    eventually(SOON, "it serves again", async || {
        let post = http.post(format!("{url}/v1/notes")).header("Idempotency-Key", "k");
        let answer = post.json(&serde_json::json!({ "book": "book", "amount": 1 })).send().await;
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(202) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    bench.until_sent("writer", 1).await?;
    ensure!(process.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    bench.world.close().await
}

/// As with a tenth of a processor: the process stands still but for a short turn now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_starved_of_processor_time_stays_in_its_group_and_loses_nothing() -> Result<()> {
    let bench = Bench::new().await?;
    let writer = bench.world.mount(tally::writer()).await?;
    let mut process = start(&bench, "tally", None).await?;
    until_listening(&process).await?;
    let assigned = assignments(&process);
    ensure!(assigned > 0, "its log tells of no assignment");
    let mut wanted = BTreeMap::new();
    let mut turns = interval(TURN);
    for turn in 0..TURNS {
        turns.tick().await;
        process.signal(if turn % 10 == 0 { Signal::Continue } else { Signal::Stop });
        if turn % NOTE_EVERY == 0 {
            let book = format!("book-{}", turn % 4);
            bench.note(&writer, &book, 1).await?;
            *wanted.entry(book).or_insert(0) += 1;
        }
    }
    ensure!(assignments(&process) == assigned, "partitions moved: {}", process.log_tail(50));
    process.signal(Signal::Continue);
    bench.until_notes(&wanted).await?;
    ensure!(assignments(&process) == assigned, "partitions moved: {}", process.log_tail(50));
    ensure!(process.stop(Signal::Term, SOON).await, "SIGTERM did not end it in time");
    writer.stop().await?;
    bench.world.close().await
}

/// How often partitions were assigned to the process, as it says itself.
fn assignments(process: &Process) -> usize {
    process.log_tail(LOG_LINES).matches(ASSIGNED).count()
}
