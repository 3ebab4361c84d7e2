//! A process that has too few of what it needs goes on as soon as it has enough again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Launch, Signal, eventually};
use tokio::net::TcpStream;

use super::crash::{PROGRAM, until_listening};
use super::{Bench, SOON};

/// Enough to start, and to serve a few.
const FILES_MAX: u32 = 64;
/// Connections that say nothing.
const SILENT: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_file_descriptors_lives_and_serves_when_it_has_some_again() -> Result<()>
{
    let bench = Bench::new().await?;
    let folder = std::env::temp_dir().join(format!("millrace-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&folder)?;
    let limited = format!("ulimit -n {FILES_MAX}; exec \"$0\" \"$@\"");
    let launch = Launch::new("/bin/sh", folder.join("writer.log"));
    let launch = launch.args(["-c", &limited, PROGRAM, "writer"]).orphan_folder(&folder);
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
    std::fs::remove_dir_all(&folder).context("its log")?;
    bench.world.close().await
}
